"""Where a job stands: asked once, or told as it changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from kreabench.emulator.answers import Rejected, Reset, Silence, detail, gateway_error, silence, status_body
from kreabench.emulator.jobs import Job, State
from kreabench.emulator.routes.requests import known_job, wants_logs
from kreabench.emulator.service import Service

COMMENT_S = 15.0
"""A comment line keeps a quiet stream open."""


class Watching:
    """GET status and status/stream on the queue host."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def status(self, request: Request) -> Response:
        """202 while the job waits or runs, 200 once it is completed."""
        job = known_job(self._service, request)
        self._strike(job)
        if job.strike("hang_status"):
            return Silence(self._service.connections, self._service.closing)
        position = self._service.dispatcher.position(job)
        body = status_body(self._service.place, job, job.state, position, with_logs=wants_logs(request))
        code = 200 if job.state == "COMPLETED" else 202
        return JSONResponse(body, status_code=code, headers={"x-fal-request-id": job.id})

    async def stream(self, request: Request) -> Response:
        """One event for each change, from the state of now; the stream ends after COMPLETED."""
        job = known_job(self._service, request)
        if job.fault == "no_stream":
            return detail(404, f"Path {request.url.path} not found")
        self._strike(job)
        return StreamingResponse(
            self._events(job, request, wants_logs(request)),
            media_type="text/event-stream",
            headers={"x-fal-request-id": job.id, "cache-control": "no-cache"},
        )

    def _strike(self, job: Job) -> None:
        struck = job.strike("reset_status", "gateway")
        if struck is not None:
            raise Rejected(gateway_error() if struck == "gateway" else Reset(self._service.connections))

    async def _events(self, job: Job, request: Request, with_logs: bool) -> AsyncIterator[str]:
        changes: asyncio.Queue[State] = asyncio.Queue()
        job.watchers.add(changes)
        changes.put_nowait(job.state)
        told = ""
        try:
            while not self._service.closing.is_set():
                try:
                    state = await asyncio.wait_for(changes.get(), COMMENT_S)
                except TimeoutError:
                    yield ": ping\n\n"
                    continue
                position = self._service.dispatcher.position(job) if state == "IN_QUEUE" else 0
                body = json.dumps(status_body(self._service.place, job, state, position, with_logs=with_logs))
                if body != told:
                    told = body
                    yield f"data: {body}\n\n"
                if state == "COMPLETED" or job.strike("drop_stream"):
                    return
                if job.strike("hang_stream"):
                    await silence(request.receive, self._service.closing)
                    return
        finally:
            job.watchers.discard(changes)
