"""The HTTP face of the emulated service. One listener; the Host header tells the run host from the queue host.

Protocol: fal.ai's queue API as fal-client 1.0.3 speaks it (submit, status, result, cancel, run). Not emulated:
streaming, status events, webhooks, uploads.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Never

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Host, Route, Router

from kreabench.emulator.jobs import Delivered, Job, JobQueue, QueueFull, Refused
from kreabench.emulator.schema import ENDPOINT
from kreabench.emulator.truth import utc

RUN_HOST = "localhost"
QUEUE_HOST = "127.0.0.1"

_MAX_BODY_BYTES = 1_000_000
_APP = "/".join(ENDPOINT.split("/")[:2])
"""Owner and alias: status, result and cancel drop the rest of the endpoint id."""

Handler = Callable[[Request], Awaitable[Response]]


class _Rejected(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def build_app(
    queue: JobQueue, *, port: int, runner_name: str, on_ready: Callable[[], None] = lambda: None
) -> Starlette:
    """The application; `on_ready` is called once the server is about to answer."""
    api = _Api(queue, port=port, runner_name=runner_name)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        on_ready()
        yield

    run_routes = [Route(f"/{ENDPOINT}", _guarded(api.run), methods=["POST"])]
    request_path = f"/{_APP}/requests/{{request_id}}"
    queue_routes = [
        Route(f"/{ENDPOINT}", _guarded(api.submit), methods=["POST"]),
        Route(f"{request_path}/status", _guarded(api.status), methods=["GET"]),
        Route(request_path, _guarded(api.result), methods=["GET"]),
        Route(f"{request_path}/response", _guarded(api.result), methods=["GET"]),
        Route(f"{request_path}/cancel", _guarded(api.cancel), methods=["PUT"]),
        Route("/files/{request_id}/{name}", api.picture, methods=["GET"]),
    ]
    return Starlette(
        routes=[
            Host(RUN_HOST, Router(run_routes, default=_unknown)),
            Host(QUEUE_HOST, Router(queue_routes, default=_unknown)),
        ],
        lifespan=lifespan,
    )


async def _unknown(scope: Any, receive: Any, send: Any) -> None:
    await JSONResponse({"detail": f"Path {scope['path']} not found"}, status_code=404)(scope, receive, send)


def _guarded(handler: Handler) -> Handler:
    """Wants a key of the right form; any key will do, as nothing here costs anything."""

    async def guarded(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "key" or not token or " " in token:
            return JSONResponse({"detail": "Authentication is required to access this application"}, status_code=401)
        try:
            return await handler(request)
        except _Rejected as rejected:
            return rejected.response

    return guarded


class _Api:
    def __init__(self, queue: JobQueue, *, port: int, runner_name: str) -> None:
        self._queue = queue
        self._base_url = f"https://{QUEUE_HOST}:{port}"
        self._runner_name = runner_name

    async def run(self, request: Request) -> Response:
        job = await self._accept(request)
        # Shielded: a client that hangs up ends this handler, never the job's own future.
        await asyncio.shield(asyncio.wrap_future(job.done))
        return self._answer(job)

    async def submit(self, request: Request) -> Response:
        job = await self._accept(request)
        return JSONResponse(
            {"status": "IN_QUEUE", "queue_position": self._queue.position(job), **self._urls(job)},
            headers={"x-fal-request-id": job.id},
        )

    async def status(self, request: Request) -> Response:
        job = self._known(request)
        state = job.state  # once: the runner may move on while this answer is made
        body: dict[str, Any] = {"status": state, **self._urls(job)}
        if state == "IN_QUEUE":
            body["queue_position"] = self._queue.position(job)
        else:
            body["logs"] = self._logs(job) if request.query_params.get("logs", "").lower() in {"1", "true"} else None
        if state == "COMPLETED":
            body["metrics"] = {} if job.running_s is None else {"inference_time": job.running_s}
            if isinstance(job.outcome, Refused):
                body["error"] = _error_text(job.outcome)
                body["error_type"] = job.outcome.error_type
        code = 200 if state == "COMPLETED" else 202
        return JSONResponse(body, status_code=code, headers={"x-fal-request-id": job.id})

    async def result(self, request: Request) -> Response:
        job = self._known(request)
        if job.state != "COMPLETED":
            # Assumed: no public page says how the service answers a result that is not there yet.
            return JSONResponse(
                {"detail": "Request is still in progress"}, status_code=400, headers={"x-fal-request-id": job.id}
            )
        return self._answer(job)

    async def cancel(self, request: Request) -> Response:
        job = self._queue.find(request.path_params["request_id"])
        if job is None:
            return JSONResponse({"status": "NOT_FOUND"}, status_code=404)
        if not self._queue.cancel(job):
            return JSONResponse({"status": "ALREADY_COMPLETED"}, status_code=400)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, status_code=202)

    async def picture(self, request: Request) -> Response:
        """Public, like the service's own media addresses: the unguessable request id is the only secret."""
        job = self._queue.find(request.path_params["request_id"])
        if job is not None and isinstance(job.outcome, Delivered):
            for index, content in enumerate(job.outcome.pictures):
                if request.path_params["name"] == _file_name(job.outcome, index):
                    return Response(content, media_type=_media_type(job.outcome))
        return JSONResponse({"detail": "File not found"}, status_code=404)

    async def _accept(self, request: Request) -> Job:
        if "fal_webhook" in request.query_params:
            raise _Rejected(JSONResponse({"detail": "Webhooks are not emulated"}, status_code=400))
        job = Job(body=await _read_json(request), start_timeout_s=_start_timeout_s(request))
        try:
            self._queue.submit(job)
        except QueueFull:
            refused = Refused(
                status_code=429, body={"detail": "Too many requests"}, error_type="concurrent_requests_limit"
            )
            raise _Rejected(self._refusal(job, refused)) from None
        return job

    def _known(self, request: Request) -> Job:
        job = self._queue.find(request.path_params["request_id"])
        if job is None:
            raise _Rejected(JSONResponse({"detail": "Request not found"}, status_code=404))
        return job

    def _answer(self, job: Job) -> Response:
        if isinstance(job.outcome, Delivered):
            headers = {
                "x-fal-request-id": job.id,
                "X-Fal-Served-From": self._runner_name,
                "X-Fal-Billable-Units": f"{job.outcome.billable_units:g}",
            }
            return JSONResponse(self._result_body(job, job.outcome), headers=headers)
        assert job.outcome is not None, "a completed job has an outcome"  # noqa: S101
        return self._refusal(job, job.outcome)

    def _refusal(self, job: Job, refused: Refused) -> Response:
        headers = {"x-fal-request-id": job.id}
        body = dict(refused.body)
        if refused.error_type is not None:
            headers["X-Fal-Error-Type"] = refused.error_type
            body["error_type"] = refused.error_type
        if refused.user_timeout:
            headers["X-Fal-Request-Timeout-Type"] = "user"
        if refused.status_code == 429:
            headers["X-Fal-Needs-Retry"] = "1"
        return JSONResponse(body, status_code=refused.status_code, headers=headers)

    def _result_body(self, job: Job, delivered: Delivered) -> dict[str, Any]:
        width, height = delivered.wanted.delivered_size
        images = [
            {
                "url": self._picture_url(job, delivered, index),
                "content_type": _media_type(delivered),
                "width": width,
                "height": height,
            }
            for index in range(len(delivered.pictures))
        ]
        return {
            "images": images,
            "timings": {"inference": delivered.inference_s},
            "seed": delivered.seed,
            "has_nsfw_concepts": [False] * len(images),
            "prompt": delivered.wanted.prompt,
        }

    def _picture_url(self, job: Job, delivered: Delivered, index: int) -> str:
        if delivered.wanted.sync_mode:
            encoded = base64.b64encode(delivered.pictures[index]).decode("ascii")
            return f"data:{_media_type(delivered)};base64,{encoded}"
        return f"{self._base_url}/files/{job.id}/{_file_name(delivered, index)}"

    def _urls(self, job: Job) -> dict[str, str]:
        base = f"{self._base_url}/{_APP}/requests/{job.id}"
        return {
            "request_id": job.id,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    def _logs(self, job: Job) -> list[dict[str, str]]:
        moments = (("started", job.started), ("finished", job.finished))
        return [
            {"message": text, "level": "INFO", "source": self._runner_name, "timestamp": utc(moment.utc_s)}
            for text, moment in moments
            if moment is not None
        ]


def _media_type(delivered: Delivered) -> str:
    return f"image/{delivered.wanted.output_format}"


def _file_name(delivered: Delivered, index: int) -> str:
    return f"{index}.{delivered.wanted.output_format}"


def _error_text(refused: Refused) -> str:
    detail = refused.body["detail"]
    return detail if isinstance(detail, str) else "Input validation failed"


def _start_timeout_s(request: Request) -> float | None:
    text = request.headers.get("x-fal-request-timeout")
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        body = {"detail": "X-Fal-Request-Timeout should be a number of seconds", "error_type": "bad_request"}
        raise _Rejected(JSONResponse(body, status_code=400)) from None


async def _read_json(request: Request) -> Any:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_BODY_BYTES:
            raise _Rejected(JSONResponse({"detail": "Request body is too large"}, status_code=413))
    try:
        return json.loads(bytes(content), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # also text that is not UTF-8
        body = {"detail": "Request body is not JSON", "error_type": "bad_request"}
        raise _Rejected(JSONResponse(body, status_code=400)) from None


def _no_constant(name: str) -> Never:
    """Python reads NaN and Infinity, which JSON does not have and no answer could repeat."""
    raise ValueError(f"{name} is not JSON")
