"""Requests to the fal queue, one after another, and how long each stage took. Imported in the worker only.

Stages, on one monotonic clock; with the residual they sum to end-to-end:

submit               the POST is sent → its answer is parsed
queue                … → the first status answer that is not IN_QUEUE has arrived
inference            … → the status answer COMPLETED has arrived
queue_and_inference  in place of these two where no poll saw the request in progress
result               … → the result is parsed
download             the first GET is sent → the last byte of the last picture has arrived, one picture at a time

The edges of queue and inference are seen by polling, late by up to `resolution_s`: the longest time between sending
the last poll before such an edge and the answer that showed it. End-to-end holds that delay too, as any client's does.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import fal_client.client
import msgspec
from fal_client.client import Completed, InProgress, Queued, SyncRequestHandle

from kreabench.backends.base import GeneratedImage, Generation
from kreabench.backends.fal_calls import FalCalls
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError
from kreabench.core.records import HostedCall, Timings

_SEEDS = range(2**64)
"""What the table of samples can hold; any other number is no seed that could be asked for again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Picture:
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """The part of the endpoint's output that is used."""

    images: list[_Picture]
    seed: int | None = None
    has_nsfw_concepts: list[bool] | None = None


class _Stopwatch:
    """Stage lengths from laps. What lies between a lap and a `skip` after it is left to the residual."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = self._last = clock()
        self.stages: dict[str, float] = {}

    def lap(self, stage: str, at: float | None = None) -> None:
        now = self._clock() if at is None else at
        self.stages[stage] = now - self._last
        self._last = now

    def skip(self) -> None:
        self._last = self._clock()

    def timings(self, *, resolution_s: float, first_call: bool) -> Timings:
        """End-to-end is up to the last lap."""
        total = self._last - self._begun
        return Timings(
            end_to_end_s=total,
            stages_s=dict(self.stages),
            residual_s=total - math.fsum(self.stages.values()),
            first_call=first_call,
            resolution_s=resolution_s,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waited:
    """What polling showed."""

    completed: Completed
    polls: int
    resolution_s: float


class FalSession:
    """Knows the order of calls and the clock; `FalCalls` knows the client library."""

    def __init__(
        self,
        calls: FalCalls,
        *,
        emulated: bool,
        options: FalOptions,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._calls = calls
        self._emulated = emulated
        self._options = options
        self._clock = clock
        self._sleep = sleep
        self._pending: SyncRequestHandle | None = None
        self._called = False

    def identity(self) -> dict[str, Any]:
        """Who is asked and how. No secret."""
        return {
            "endpoint": self._calls.endpoint,
            "queue_host": urlsplit(fal_client.client.QUEUE_URL_FORMAT).hostname,
            "emulated": self._emulated,
            "fal_client": version("fal-client"),
            "httpx": version("httpx"),
            "poll_interval_s": self._options.poll_interval_s,
            "service_retries": False,
            "service_fallback": False,
            "connection": "opened by the first request and, after a pause of 5 s, by the next: part of their times",
        }

    def generate(self, arguments: Mapping[str, Any], *, num_images: int) -> Generation:
        """One request from submission to the last byte. Raises GenerationError.

        The first call of a session opens the connections and says so (`first_call`). A request is submitted once. When
        an exception stops the wait for it, it is cancelled; a killed worker (time limit, Ctrl-C of the run) cannot.
        """
        self._calls.forget()
        first_call, self._called = not self._called, True
        watch = _Stopwatch(self._clock)
        handle = self._calls.submit(arguments)
        with self._cancelled_on_error(handle):
            watch.lap("submit")
            waited = self._wait(handle, watch)
        result = self._result(handle, waited.completed, num_images)
        watch.lap("result")
        watch.skip()
        contents = [self._calls.picture(picture.url) for picture in result.images]
        watch.lap("download")
        return Generation(
            images=_images(contents, result, safety_checker=self._options.enable_safety_checker),
            timings=watch.timings(resolution_s=waited.resolution_s, first_call=first_call),
            memory=None,
            steps_run=None,
            hosted=self._hosted(handle, waited, watch),
        )

    def close(self) -> None:
        """Cancel what is pending, then close all connections."""
        self._cancel_pending()
        self._calls.close()

    def _wait(self, handle: SyncRequestHandle, watch: _Stopwatch) -> _Waited:
        """Poll until COMPLETED, taking the laps of queue and inference."""
        submitted = asked_before = self._clock()
        started = False
        polls = 0
        resolution_s = 0.0
        while True:
            asked = self._clock()
            status = self._calls.status(handle, stage="inference" if started else "queue")
            answered = self._clock()
            polls += 1
            if isinstance(status, Completed) or (isinstance(status, InProgress) and not started):
                resolution_s = max(resolution_s, answered - asked_before)
            if isinstance(status, Completed):
                watch.lap("inference" if started else "queue_and_inference", answered)
                return _Waited(completed=status, polls=polls, resolution_s=resolution_s)
            if isinstance(status, InProgress) and not started:
                started = True
                watch.lap("queue", answered)
            elif isinstance(status, Queued) and not started:
                self._check_patience(answered - submitted)
            asked_before = asked
            self._sleep(self._options.poll_interval_s)

    def _check_patience(self, waited_s: float) -> None:
        """The service should end a request at its start timeout; ours is the last word when it does not."""
        start_timeout_s = self._options.start_timeout_s
        if waited_s > start_timeout_s + self._options.request_timeout_s:
            raise GenerationError(
                f"the request was still queued after {waited_s:.0f} s (start timeout {start_timeout_s:g} s)",
                type="timeout",
                stage="queue",
                transient=True,
                remedy="It was cancelled. Try again later with `kreabench resume`, or raise options.start_timeout_s.",
            )

    def _result(self, handle: SyncRequestHandle, completed: Completed, num_images: int) -> _Result:
        raw = self._calls.result(handle)
        if completed.error is not None:
            raise GenerationError(
                self._calls.failures.scrub(f"{completed.error} ({completed.error_type})"),
                type="bad_image",
                stage="result",
                remedy="The service reports a failure and yet delivers a result; neither is believed.",
            )
        try:
            result = msgspec.convert(raw, _Result)
        except msgspec.ValidationError as error:
            raise self._calls.failures.not_understood(error, "result") from None
        if len(result.images) != num_images:
            raise GenerationError(
                f"asked for {num_images} pictures, the result names {len(result.images)}",
                type="bad_image",
                stage="result",
                remedy="The request has been billed; see the service's dashboard.",
            )
        return result

    @contextlib.contextmanager
    def _cancelled_on_error(self, handle: SyncRequestHandle) -> Iterator[None]:
        self._pending = handle
        try:
            yield
        except BaseException:
            self._cancel_pending()
            raise
        self._pending = None

    def _cancel_pending(self) -> None:
        handle, self._pending = self._pending, None
        if handle is not None:
            self._calls.cancel(handle)

    def _hosted(self, handle: SyncRequestHandle, waited: _Waited, watch: _Stopwatch) -> HostedCall:
        metrics = waited.completed.metrics
        runner = self._calls.headers.get("x-fal-served-from")
        scrub = self._calls.failures.scrub
        return HostedCall(
            service_request_id=scrub(str(handle.request_id)),
            attempts=1 + self._calls.asked_again,
            polls=waited.polls,
            queue_s=watch.stages.get("queue"),
            inference_s=_number(metrics.get("inference_time")) if isinstance(metrics, dict) else None,
            runner=None if runner is None else scrub(runner),
            billable_units=_number(self._calls.headers.get("x-fal-billable-units")),
        )


def _images(contents: list[bytes], result: _Result, *, safety_checker: bool) -> tuple[GeneratedImage, ...]:
    flags = result.has_nsfw_concepts or []
    known = safety_checker and len(flags) == len(contents)
    return tuple(
        GeneratedImage(
            content=content,
            # The service tells one seed; how it derives those of further pictures is not documented.
            seed=result.seed if index == 0 and result.seed in _SEEDS else None,
            nsfw=flags[index] if known else None,
        )
        for index, content in enumerate(contents)
    )


def _number(value: Any) -> float | None:
    """An amount (seconds, billed units) that may come as text; None where there is none that can be true."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
