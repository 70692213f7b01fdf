"""What the service says: bodies and headers of its answers, and answers that never come."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kreabench.emulator.connections import Connections
from kreabench.emulator.jobs import Delivered, Job, Refused
from kreabench.emulator.service import Place, TooMany
from kreabench.emulator.truth import utc

_NGINX_502 = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


class Rejected(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Reset(Response):
    """No answer: the connection is reset."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Instead of answering."""
        await self._connections.reset(scope)


class Silence(Response):
    """No answer: the connection stays open until the client gives up or the service ends."""

    def __init__(self, connections: Connections, closing: asyncio.Event) -> None:
        super().__init__()
        self._connections = connections
        self._closing = closing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Instead of answering."""
        await silence(receive, self._closing)
        await self._connections.hang_up(scope)


async def silence(receive: Any, closing: asyncio.Event) -> None:
    """Until the client hangs up, or the service ends."""
    gone, end = asyncio.ensure_future(_until_gone(receive)), asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait({gone, end}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (gone, end):
            task.cancel()


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def detail(status_code: int, text: str, **more: Any) -> JSONResponse:
    """`{"detail": text}`."""
    return JSONResponse({"detail": text, **more}, status_code=status_code)


def gateway_error() -> Response:
    """What a proxy in front of the service says."""
    return Response(_NGINX_502, status_code=502, media_type="text/html")


def not_found(request: Request) -> Response:
    """Of a path that leads nowhere."""
    return detail(404, f"Path {request.url.path} not found")


def too_many(refusal: TooMany) -> Response:
    """429 for a request of which no job was made."""
    kind = "concurrent_requests_limit"
    headers = {"X-Fal-Error-Type": kind, "X-Fal-Needs-Retry": "1"}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    body = {"detail": "Too many concurrent requests", "error_type": kind}
    return JSONResponse(body, status_code=429, headers=headers)


def job_urls(place: Place, job: Job) -> dict[str, str]:
    """The four that every client needs."""
    base = f"{place.queue_url}/{job.asked.endpoint.app}/requests/{job.id}"
    return {
        "request_id": job.id,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }


def status_body(place: Place, job: Job, state: str, position: int, *, with_logs: bool) -> dict[str, Any]:
    """Of a status call and of a status event; `state` is the one to tell of, which may lie behind the job's own."""
    body: dict[str, Any] = {"status": state, **job_urls(place, job)}
    if state == "IN_QUEUE":
        return {**body, "queue_position": position}
    body["logs"] = _logs(job, state) if with_logs else None
    if state == "COMPLETED":
        body["metrics"] = {} if job.running_s is None else {"inference_time": job.running_s}
        if isinstance(job.outcome, Refused):
            body["error"] = error_text(job.outcome)
            if job.outcome.error_type is not None:
                body["error_type"] = job.outcome.error_type
    return body


def _logs(job: Job, state: str) -> list[dict[str, str]]:
    moments = [("started", job.started)] + ([("finished", job.finished)] if state == "COMPLETED" else [])
    return [
        {"message": text, "level": "INFO", "source": job.runner or "", "timestamp": utc(moment.utc_s)}
        for text, moment in moments
        if moment is not None
    ]


def error_text(refused: Refused) -> str:
    """One line for the status of a job that failed."""
    found = refused.body["detail"]
    return found if isinstance(found, str) else "Input validation failed"


def result(place: Place, job: Job) -> Response:
    """The answer to a completed job's result call, and to `run`."""
    if isinstance(job.outcome, Delivered):
        headers = {"x-fal-request-id": job.id, "X-Fal-Served-From": job.runner or ""}
        if job.fault != "no_units":
            headers["X-Fal-Billable-Units"] = f"{job.outcome.bill.units:g}"
        return JSONResponse(result_body(place, job, job.outcome), headers=headers)
    assert job.outcome is not None, "a completed job has an outcome"  # noqa: S101
    return _refusal(job, job.outcome)


def _refusal(job: Job, refused: Refused) -> Response:
    headers = {"x-fal-request-id": job.id}
    if job.runner is not None:
        headers["X-Fal-Served-From"] = job.runner
    body = dict(refused.body)
    if refused.error_type is not None:
        headers["X-Fal-Error-Type"] = refused.error_type
        body["error_type"] = refused.error_type
    if refused.user_timeout:
        headers["X-Fal-Request-Timeout-Type"] = "user"
    return JSONResponse(body, status_code=refused.status_code, headers=headers)


def result_body(place: Place, job: Job, delivered: Delivered) -> dict[str, Any]:
    """Of FLUX.1's endpoints; those without a number of images (FLUX.2) answer with images and seed alone."""
    width, height = delivered.size
    images = [
        {"url": _picture_url(place, job, delivered, index), "content_type": media_type(delivered)}
        | {"width": width, "height": height}
        for index in range(len(delivered.pictures))
    ]
    body: dict[str, Any] = {"images": images, "seed": delivered.seed}
    if "num_images" in delivered.wanted.endpoint.inputs:
        body["timings"] = {"inference": delivered.inference_s}
        body["has_nsfw_concepts"] = list(delivered.flagged)
        body["prompt"] = delivered.wanted.prompt
    return body


def _picture_url(place: Place, job: Job, delivered: Delivered, index: int) -> str:
    if delivered.wanted.sync_mode:
        encoded = base64.b64encode(delivered.pictures[index]).decode("ascii")
        return f"data:{media_type(delivered)};base64,{encoded}"
    return f"{place.queue_url}/files/{job.id}/{file_name(delivered, index)}"


def media_type(delivered: Delivered) -> str:
    """Of its pictures."""
    return f"image/{delivered.wanted.output_format}"


def file_name(delivered: Delivered, index: int) -> str:
    """Of one picture, within the job's folder."""
    return f"{index}.{delivered.wanted.output_format}"
