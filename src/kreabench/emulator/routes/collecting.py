"""What came of a job: its result, its pictures; and ending it."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kreabench.emulator.answers import Reset, Silence, detail, file_name, gateway_error, media_type, result
from kreabench.emulator.jobs import Delivered, Job
from kreabench.emulator.routes.requests import known_job
from kreabench.emulator.service import Service

_CHUNK_BYTES = 64 * 1024
_SLOW_S = 2.0
_SLOW_STEPS = 20
_TEXT = b"This is not the picture that you are looking for.\n"


def broken_result(service: Service, job: Job) -> Response | None:
    """What comes instead of the result, the first time, where a fault says so."""
    struck = job.strike("reset_result", "hang_result", "gateway")
    if struck == "reset_result":
        return Reset(service.connections)
    if struck == "hang_result":
        return Silence(service.connections, service.closing)
    return gateway_error() if struck == "gateway" else None


class Collecting:
    """GET the result, PUT cancel, GET pictures."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def result(self, request: Request) -> Response:
        """The result with its headers, or the error that the job ended in."""
        job = known_job(self._service, request)
        if job.state != "COMPLETED":
            # Assumed: no public page says how the service answers a result that is not there yet.
            answer = detail(400, "Request is still in progress")
            answer.headers["x-fal-request-id"] = job.id
            return answer
        return broken_result(self._service, job) or _Result(self._service, job)

    async def cancel(self, request: Request) -> Response:
        """202, 400 or 404, with the status in words."""
        job = self._service.dispatcher.find(request.path_params["request_id"])
        if job is None or job.asked.endpoint.app != request.path_params["app"]:
            return JSONResponse({"status": "NOT_FOUND"}, status_code=404)
        if not self._service.dispatcher.cancel(job):
            return JSONResponse({"status": "ALREADY_COMPLETED"}, status_code=400)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, status_code=202)

    async def file(self, request: Request) -> Response:
        """Public, like the service's own media addresses: the unguessable folder is the only secret."""
        folder, name = request.path_params["folder"], request.path_params["name"]
        upload = self._service.uploads.get(folder, name)
        if upload is not None:
            return Response(upload.content, headers={"content-type": upload.content_type})
        job = self._service.dispatcher.find(folder)
        if job is not None and isinstance(job.outcome, Delivered):
            for index, content in enumerate(job.outcome.pictures):
                if name == file_name(job.outcome, index):
                    return _Picture(self._service, job, index, content, media_type(job.outcome))
        return detail(404, "File not found")


class _Result(Response):
    """The result; when it has gone out, that is noted."""

    def __init__(self, service: Service, job: Job) -> None:
        super().__init__()
        self._service = service
        self._job = job

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await result(self._service.place, self._job)(scope, receive, send)
        moment = await self._service.connections.flushed(scope)
        self._job.result_sent = self._job.result_sent or moment
        self._service.settle(self._job)


class _Picture(Response):
    """One picture, or what a fault leaves of it; its last byte is timed."""

    def __init__(self, service: Service, job: Job, index: int, content: bytes, media: str) -> None:
        super().__init__()
        self._service = service
        self._job = job
        self._index = index
        self._content = content
        self._media = media

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        fault = self._job.fault
        if fault == "expired_link":
            await detail(404, "File not found")(scope, receive, send)
        elif fault == "truncated":
            await self._start(send, len(self._content))
            await send(
                {"type": "http.response.body", "body": self._content[: len(self._content) // 2], "more_body": True}
            )
            await self._service.connections.flushed(scope)
            await self._service.connections.hang_up(scope)
        else:
            content = self._content
            if fault == "not_an_image":
                content = _TEXT
            elif fault == "truncated_file":
                content = content[: len(content) * 2 // 3]
            await self._send(send, content, slow=fault == "slow_download")
        if scope["method"] == "HEAD":
            return
        moment = await self._service.connections.flushed(scope)
        self._job.pictures_sent.setdefault(self._index, moment)
        self._service.settle(self._job)

    async def _start(self, send: Any, length: int) -> None:
        headers = [(b"content-type", self._media.encode()), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send(self, send: Any, content: bytes, *, slow: bool) -> None:
        await self._start(send, len(content))
        step = -(-len(content) // _SLOW_STEPS) if slow else _CHUNK_BYTES
        for begin in range(0, len(content), step):
            if slow:
                await asyncio.sleep(_SLOW_S / _SLOW_STEPS)
            part = content[begin : begin + step]
            await send({"type": "http.response.body", "body": part, "more_body": begin + step < len(content)})
