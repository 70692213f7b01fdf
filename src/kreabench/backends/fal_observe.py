"""Seeing when a request leaves the queue and when it is done: by the service's events, or by asking again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import httpx
from fal_client.client import Completed, InProgress, Status, SyncRequestHandle

from kreabench.backends.fal_calls import FalCall
from kreabench.backends.fal_events import EventsBroken, EventStream, NoEvents, Watchdog
from kreabench.backends.fal_failures import INFERENCE, QUEUE
from kreabench.backends.options import FalOptions
from kreabench.core.errors import GenerationError

READS_PER_S = 300.0
"""Status reads a second of all requests of a session together."""

_OPENINGS = 4
"""Event streams opened for one request, before it is asked for instead."""

ObservedBy = Literal["status_events", "polling"]


class Interrupted(Exception):
    """The session is being closed: nobody waits any more."""


@dataclass(kw_only=True)
class Edges:
    """What has been seen of one request's way, on the session's clock."""

    known: float
    """Since no earlier than this can the state that was seen last have changed."""
    started: float | None = None
    """When it was first seen in progress; None where no look found it there."""
    completed: Completed | None = None
    completed_at: float = 0.0
    resolution_s: float = 0.0
    """The widest time between a change and seeing it, at most."""
    seen: int = 0
    """Status answers and events read."""
    rerouted: bool = False
    """It went back into the queue."""
    observed_by: ObservedBy = "polling"
    """How the end was seen."""
    submitted: float = field(init=False)

    def __post_init__(self) -> None:
        self.submitted = self.known

    @property
    def done(self) -> bool:
        """Whether it was seen completed."""
        return self.completed is not None

    @property
    def stage(self) -> str:
        """Of failures at this point."""
        return QUEUE if self.started is None else INFERENCE

    @property
    def waiting(self) -> bool:
        """Whether it is not known to have left the queue."""
        return self.started is None and self.completed is None

    @property
    def running(self) -> bool:
        """Whether it was seen in progress, and not done yet."""
        return self.started is not None and self.completed is None

    def see(self, status: Status, *, at: float, since: float, by: ObservedBy) -> None:
        """A status that came `at`; what it shows anew happened between `since` and then."""
        self.seen += 1
        if isinstance(status, Completed):
            self.completed, self.completed_at, self.observed_by = status, at, by
            self.resolution_s = max(self.resolution_s, at - since)
        elif isinstance(status, InProgress):
            if self.started is None:
                self.started = at
                self.resolution_s = max(self.resolution_s, at - since)
        elif self.started is not None:
            self.rerouted = True


class Watch:
    """One wait for one request."""

    def __init__(self, call: FalCall, handle: SyncRequestHandle, edges: Edges) -> None:
        self.call = call
        self.handle = handle
        self.edges = edges
        self.stream: EventStream | None = None
        """Open, or to be read to its end once the clock has stopped."""

    def abort(self) -> None:
        """From another thread: end a read that may last."""
        stream = self.stream
        if stream is not None:
            stream.abort()

    def finish(self, watchdog: Watchdog) -> None:
        """After the clock has stopped."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.finish(watchdog) if self.edges.done else stream.close()


class Observer:
    """Waits for the requests of one session, as the options say and the service allows."""

    def __init__(
        self,
        options: FalOptions,
        *,
        timeout: httpx.Timeout,
        clock: Callable[[], float],
        pause: Callable[[float], bool],
        closing: threading.Event,
    ) -> None:
        self._options = options
        self._timeout = timeout
        self._clock = clock
        self._pause = pause
        self._closing = closing
        self._events = options.observe != "polling"
        self._lock = threading.Lock()
        self._asking = 0

    def wait(self, watch: Watch, *, events: bool = True) -> None:
        """Until the request is done. Raises GenerationError, or Interrupted when the session is closed."""
        self._check_closing()
        if events and self._events:
            self._follow(watch)
        if not watch.edges.done:
            self._poll(watch)

    def _follow(self, watch: Watch) -> None:
        """By events; gives up without having seen the end where there are none, or none any more."""
        for _ in range(_OPENINGS):
            try:
                self._read_stream(watch)
            except NoEvents:
                self._drop_stream(watch)
                self._ask(watch)
                # The status was given, so it is not the request that is unknown.
                self._events = self._options.observe == "status_events"
                return
            except EventsBroken as broken:
                watch.call.asked_again += broken.fault and not self._closing.is_set()
                self._drop_stream(watch)
            if watch.edges.done:
                return
            if self._ask(watch):
                return
            self._rest(self._options.poll_interval_s)

    def _read_stream(self, watch: Watch) -> None:
        edges = watch.edges
        stream = watch.stream = EventStream(watch.handle, watch.call.wire, timeout=self._timeout, clock=self._clock)
        stream.open()
        pushed = False
        while not edges.done:
            # Looked at after the stream can be found, so that a closing session either ends it or is seen here.
            self._check_closing()
            found = stream.next()
            if found is None:
                self._drop_stream(watch)
                return
            status, at = found
            # The first event tells the state as it is; those after it are sent as it changes.
            edges.see(status, at=at, since=at - stream.round_trip_s if pushed else edges.known, by="status_events")
            edges.known = at
            pushed = True
            self._check_patience(watch, at)

    def _drop_stream(self, watch: Watch) -> None:
        stream, watch.stream = watch.stream, None
        if stream is not None:
            stream.close()

    def _poll(self, watch: Watch) -> None:
        with self._lock:
            self._asking += 1
        try:
            while True:
                if self._ask(watch):
                    return
                self._rest(max(self._options.poll_interval_s, self._asking / READS_PER_S))
        finally:
            with self._lock:
                self._asking -= 1

    def _ask(self, watch: Watch) -> bool:
        """Once; whether it is done."""
        self._check_closing()
        edges = watch.edges
        asked = self._clock()
        status = watch.call.status(watch.handle, stage=edges.stage)
        at = self._clock()
        edges.see(status, at=at, since=edges.known, by="polling")
        edges.known = asked
        self._check_patience(watch, at)
        return edges.done

    def _rest(self, seconds: float) -> None:
        if not self._pause(seconds):
            raise Interrupted

    def _check_closing(self) -> None:
        if self._closing.is_set():
            raise Interrupted

    def _check_patience(self, watch: Watch, now: float) -> None:
        """The service should end a request at its start timeout; ours is the last word when it does not."""
        options, waited_s = self._options, now - watch.edges.submitted
        if not watch.edges.waiting or waited_s <= options.start_timeout_s + options.request_timeout_s:
            return
        gone = watch.call.cancel(watch.handle)
        raise GenerationError(
            f"the request was still queued after {waited_s:.0f} s (start timeout {options.start_timeout_s:g} s)",
            type="timeout",
            stage=QUEUE,
            transient=True,
            fetch_again=not gone,
            remedy="It was cancelled. Try again later with `kreabench resume`, or raise options.start_timeout_s.",
        )
