"""Making jobs: through the queue, by a direct call, and by a direct call whose answer is a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from kreabench.emulator.answers import Rejected, Reset, Silence, job_urls, result, result_body, too_many
from kreabench.emulator.jobs import Delivered, Job, Moment
from kreabench.emulator.routes.collecting import broken_result
from kreabench.emulator.routes.requests import read_asked
from kreabench.emulator.service import Service, TooMany


async def _once(event: str) -> AsyncIterator[str]:
    yield event


class Noted(Response):
    """An answer whose last byte is timed."""

    def __init__(self, service: Service, answer: Response, note: Callable[[Moment], None]) -> None:
        super().__init__(status_code=answer.status_code)
        self._service = service
        self._answer = answer
        self._note = note

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The answer, and then the note."""
        await self._answer(scope, receive, send)
        self._note(await self._service.connections.flushed(scope))


class Submitting:
    """POST on the run host and on the queue host."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def submit(self, request: Request) -> Response:
        """Into the queue."""
        job, broken = await self._accept(request, "queue")
        if broken is not None:
            return broken
        body = {"status": "IN_QUEUE", "queue_position": self._service.dispatcher.position(job)}
        answer = JSONResponse({**body, **job_urls(self._service.place, job)}, headers={"x-fal-request-id": job.id})

        def sent(moment: Moment) -> None:
            job.submit_sent = moment

        return Noted(self._service, answer, sent)

    async def run(self, request: Request) -> Response:
        """A direct call: the answer is the result."""
        job, broken = await self._accept(request, "run")
        if broken is not None:
            return broken
        await self._done(job)
        broken = broken_result(self._service, job)
        return broken or Noted(
            self._service, result(self._service.place, job), lambda moment: self._handed(job, moment)
        )

    async def stream(self, request: Request) -> Response:
        """A direct call whose answer is server-sent events. Assumed: one event, the result."""
        job, broken = await self._accept(request, "stream")
        if broken is not None:
            return broken
        await self._done(job)
        outcome = job.outcome
        broken = broken_result(self._service, job)
        if broken is not None or not isinstance(outcome, Delivered):
            refusal = result(self._service.place, job)
            return broken or Noted(self._service, refusal, lambda moment: self._handed(job, moment))
        event = f"data: {json.dumps(result_body(self._service.place, job, outcome))}\n\n"
        headers = dict(result(self._service.place, job).headers)
        kept = {name: headers[name] for name in headers if name.startswith("x-fal")}
        answer = StreamingResponse(_once(event), media_type="text/event-stream", headers=kept)
        return Noted(self._service, answer, lambda moment: self._handed(job, moment))

    def _handed(self, job: Job, moment: Moment) -> None:
        job.result_sent = job.result_sent or moment
        self._service.settle(job)

    async def _done(self, job: Job) -> None:
        done, closing = asyncio.ensure_future(job.done.wait()), asyncio.ensure_future(self._service.closing.wait())
        try:
            await asyncio.wait({done, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (done, closing):
                task.cancel()
        if not job.done.is_set():  # the service ends
            raise Rejected(Reset(self._service.connections))

    async def _accept(self, request: Request, via: Literal["queue", "run", "stream"]) -> tuple[Job, Response | None]:
        """The job, and what is answered instead where a fault strikes. Raises Rejected."""
        received = self._service.connections.first_byte(request.scope)
        asked = await read_asked(self._service, request, via)
        job = self._service.submission(asked, received)
        if job.strike("reset_before"):
            self._service.books.refused_submit("reset_before fault")
            raise Rejected(Reset(self._service.connections))
        try:
            self._service.accept(job)
        except TooMany as refusal:
            raise Rejected(too_many(refusal)) from None
        if job.strike("reset"):
            return job, Reset(self._service.connections)
        if job.strike("hang_submit"):
            return job, Silence(self._service.connections, self._service.closing)
        return job, None
