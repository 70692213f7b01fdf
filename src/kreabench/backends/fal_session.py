"""Requests to the fal queue, many at once, and how long each stage took. Imported in the worker only.

Stages, on one monotonic clock; with the residual they sum to end-to-end:

client               the intended start → the first byte is sent, less connect; preparing input pictures is left out
upload               input pictures alone: the first upload begins → the address of the last has arrived
connect              TCP and TLS of the connection that submits, where one had to be opened
submit               the first byte of the POST is sent → its answer is parsed
queue                … → the request was first seen in progress
inference            … → it was seen completed
queue_and_inference  in place of these two where it was never seen in progress
result               … → the result is parsed
download             the first GET is sent → the last byte of the last picture has arrived, one picture at a time

The edges of queue and inference are late by up to `resolution_s`. End-to-end holds that delay, as any client's does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fal_client.client
from fal_client.client import SyncRequestHandle

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.fal_arguments import build_arguments, safety_checked
from kreabench.backends.fal_calls import FalCall, FalClients
from kreabench.backends.fal_events import Watchdog
from kreabench.backends.fal_hosted import hosted_call
from kreabench.backends.fal_inputs import CONTENT_TYPE, InputPictures, PreparedPicture
from kreabench.backends.fal_jobs import Job, Jobs, abandoned, not_sent, was_cancelled
from kreabench.backends.fal_observe import Edges, Interrupted, Observer, Watch
from kreabench.backends.fal_result import Result, announced_otherwise, pictures_of, read_result
from kreabench.backends.fal_stopwatch import Stopwatch
from kreabench.backends.fal_wire import KEEPALIVE_S
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import TargetSpec

_GRACE_S = 2.0
"""What calls under way have to end by themselves when the session is closed: to cancel, to read an answer."""
_LAST_GRACE_S = 0.5
"""What they have after their connections were cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delivered:
    """Result and pictures, as fetched."""

    result: Result
    contents: list[bytes]
    flags: tuple[str, ...]


class FalSession:
    """Knows the order of calls and the clock; `FalCall` knows the client library."""

    def __init__(
        self,
        target: TargetSpec,
        *,
        options: FalOptions,
        levels: Mapping[str, str | None],
        key: str,
        key_env: str,
        concurrency: int,
        inputs: Path | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None] | None,
    ) -> None:
        self._target = target
        self._options = options
        self._levels = levels
        self._clock = clock
        self._jobs = Jobs(sleep=sleep)
        self._clients = FalClients(
            endpoint=target.model,
            key=key,
            key_env=key_env,
            emulated=target.emulated,
            options=options,
            concurrency=concurrency,
            clock=clock,
            pause=self._jobs.pause,
        )
        self._watchdog = Watchdog()
        self._inputs = InputPictures(target, way=options.input_images, folder=inputs, clock=clock)
        self._observer = Observer(
            options,
            timeout=self._clients.timeout,
            clock=clock,
            pause=self._jobs.pause,
            closing=self._jobs.closing,
        )

    def identity(self) -> dict[str, Any]:
        """Who is asked and how. No secret."""
        return {
            "endpoint": self._target.model,
            "queue_host": urlsplit(fal_client.client.QUEUE_URL_FORMAT).hostname,
            "emulated": self._target.emulated,
            "fal_client": version("fal-client"),
            "httpx": version("httpx"),
            "observe": self._options.observe,
            "poll_interval_s": self._options.poll_interval_s,
            "service_retries": False,
            "service_fallback": False,
            "backup_hosts": False,
            "connections": "in place of the library's own, without its backup hosts: some for each request in flight, "
            f"opened by the first that has them, kept for {KEEPALIVE_S:g} s",
        }

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        """One request from its intended start to the last byte. Raises GenerationError.

        It is submitted at most once. Where it ends without its result and might still have one, `fetch_again` says so.
        """
        call = self._clients.call()
        try:
            job = self._jobs.admit(call)
        except Interrupted:
            call.release()
            raise not_sent() from None
        try:
            with call.wire.current():
                return self._carry_out(job, setting, request, ticket)
        except Interrupted:
            raise self._give_up(job) from None
        except GenerationError as error:
            if self._jobs.closing.is_set() and error.fetch_again:
                raise abandoned(error.stage) from None
            raise
        except RuntimeError:
            # httpx says so of a client that was closed, and close() does not wait for ever.
            if not self._jobs.closing.is_set():
                raise
            raise (not_sent() if job.watch is None else abandoned(job.watch.edges.stage)) from None
        finally:
            self._jobs.dismiss(job)
            if job.watch is not None:
                job.watch.finish(self._watchdog)
            call.release()

    def close(self) -> None:
        """End all calls under way within about three seconds, then close all connections."""
        self._jobs.close(_GRACE_S)
        self._clients.network.connections.abort()
        self._jobs.wait(_LAST_GRACE_S)
        self._watchdog.close()
        self._clients.close()

    def _carry_out(self, job: Job, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        if ticket.earlier_id is not None:
            return self._recover(job, setting, request, ticket.earlier_id)
        try:
            return self._draw(job, setting, request, ticket)
        except (KeyboardInterrupt, SystemExit):
            if job.watch is not None and job.watch.edges.waiting:
                job.call.cancel(job.watch.handle)
            raise

    def _draw(self, job: Job, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        pictures, prepared_s = self._inputs.prepare(setting, request)
        level = self._levels[setting.acceleration]
        arguments = build_arguments(self._target, setting, request, level, [picture.address for picture in pictures])
        clock = Stopwatch(ticket.intended_s + prepared_s)
        flags: tuple[str, ...] = ()
        if any(picture.content for picture in pictures):
            clock.lap("client", self._clock())
            addresses = [_upload(job.call, picture) for picture in pictures]
            arguments = build_arguments(self._target, setting, request, level, addresses)
            clock.lap("upload", self._clock())
            flags = _connected(job.call, "upload", since=0)
        if self._jobs.closing.is_set():
            raise Interrupted
        handle, connected = self._submit(job, arguments, clock)
        ticket.submitted(job.call.failures.scrub(str(handle.request_id)))
        watch = job.watch
        assert watch is not None, "set by the submission"  # noqa: S101
        self._observer.wait(watch)
        under_way = self._jobs.count()
        _lap_edges(clock, watch.edges)
        delivered = self._deliver(job.call, watch, setting, clock)
        return Generation(
            images=pictures_of(delivered.result, delivered.contents, checked=safety_checked(self._target)),
            timings=clock.timings(resolution_s=watch.edges.resolution_s, first_call=connected),
            memory=None,
            steps_run=None,
            hosted=hosted_call(watch, self._jobs, delivered.result, request, under_way, clock.stages.get("queue")),
            # A first call is no timing, and that it connects is no news.
            flags=(*(() if connected else (*flags, *delivered.flags)), *announced_otherwise(delivered.result, setting)),
        )

    def _recover(self, job: Job, setting: Setting, request: Request, earlier_id: str) -> Generation:
        """The result of what an earlier session submitted. Only what is done here has a time."""
        handle = job.call.handle(earlier_id)
        watch = job.watch = Watch(job.call, handle, Edges(known=self._clock()))
        self._observer.wait(watch, events=False)
        under_way = self._jobs.count()
        clock = Stopwatch(watch.edges.completed_at)
        delivered = self._deliver(job.call, watch, setting, clock)
        return Generation(
            images=pictures_of(delivered.result, delivered.contents, checked=safety_checked(self._target)),
            timings=clock.timings(resolution_s=None, first_call=True),
            memory=None,
            steps_run=None,
            hosted=hosted_call(watch, self._jobs, delivered.result, request, under_way, recovered=True),
            flags=announced_otherwise(delivered.result, setting),
        )

    def _submit(self, job: Job, arguments: Mapping[str, Any], clock: Stopwatch) -> tuple[SyncRequestHandle, bool]:
        """The handle, and whether a connection had to be opened."""
        exchanges = job.call.wire.exchanges
        number_of_post = len(exchanges)
        handle = job.call.submit(arguments)
        answered = self._clock()
        job.watch = Watch(job.call, handle, Edges(known=answered))
        post = exchanges[number_of_post]
        connect_s = post.connect_s
        ready = post.sent - (connect_s or 0.0)
        if "upload" in clock.stages:
            clock.skip(ready)
        else:
            clock.lap("client", ready)
        if connect_s is not None:
            clock.lap("connect", post.sent)
        clock.lap("submit", answered)
        return handle, connect_s is not None

    def _deliver(self, call: FalCall, watch: Watch, setting: Setting, clock: Stopwatch) -> _Delivered:
        completed = watch.edges.completed
        assert completed is not None, "the observer waited for it"  # noqa: S101
        exchanges = call.wire.exchanges
        last_look = len(exchanges) - (watch.edges.observed_by == "polling")
        flags = _connected(call, "the last status", since=last_look)
        before_result = len(exchanges)
        raw = call.result(watch.handle)
        result = read_result(raw, completed, setting, call.failures)
        clock.lap("result", self._clock())
        flags += _connected(call, "result", since=before_result)
        before_download = len(exchanges)
        clock.skip(self._clock())
        contents = [call.picture(picture.url) for picture in result.images]
        clock.lap("download", self._clock())
        flags += _connected(call, "download", since=before_download)
        return _Delivered(result=result, contents=contents, flags=flags)

    def _give_up(self, job: Job) -> GenerationError:
        """The session is being closed: what is still queued is cancelled, what runs is left for later."""
        if job.watch is None:
            return not_sent()
        edges = job.watch.edges
        if not edges.waiting or not job.call.cancel(job.watch.handle):
            return abandoned(edges.stage)
        return was_cancelled(edges.stage)


def _upload(call: FalCall, picture: PreparedPicture) -> str:
    return call.upload(picture.content, CONTENT_TYPE, picture.file_name)


def _lap_edges(clock: Stopwatch, edges: Edges) -> None:
    if edges.started is None:
        clock.lap("queue_and_inference", edges.completed_at)
        return
    clock.lap("queue", edges.started)
    clock.lap("inference", edges.completed_at)


def _connected(call: FalCall, stage: str, *, since: int) -> tuple[str, ...]:
    """What to say of connections that `stage` had to wait for."""
    seconds = call.wire.connects_s(since)
    return (f"a connection had to be opened within {stage} ({seconds * 1000:.0f} ms)",) if seconds > 0 else ()
