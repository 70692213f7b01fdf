"""The status events of one request: what the service pushes, where asking would see it late."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from fal_client.client import Status, SyncRequestHandle
from httpx_sse import EventSource

from kreabench.backends.fal_wire import Wire, abort_stream

_UNSUPPORTED = {404, 405, 406, 501}
_HEADERS = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
_FINISH_S = 1.0
"""How long the service may take to end a stream after its last event, before its connection is given up."""


class NoEvents(Exception):
    """The service has none for this request."""


class EventsBroken(Exception):
    """The stream cannot be read, or not any further."""

    def __init__(self, *, fault: bool) -> None:
        super().__init__()
        self.fault = fault
        """Whether something on the way failed, and the stream did not just end or fall silent."""


class Watchdog:
    """Ends streams that the service does not end: one thread for a session, as one for each stream would cost much."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadlines: dict[EventStream, float] = {}
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @contextlib.contextmanager
    def guards(self, stream: EventStream) -> Iterator[None]:
        """A block that may wait for `stream`, but not much longer than a second."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="fal-watchdog", daemon=True)
                self._thread.start()
            self._deadlines[stream] = time.monotonic() + _FINISH_S
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[stream]

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        with self._lock:  # else it may be there and not started yet
            thread = self._thread
        if thread is not None:
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_FINISH_S / 2):
            with self._lock:
                late = [stream for stream, deadline in self._deadlines.items() if time.monotonic() > deadline]
            for stream in late:
                stream.abort()


class EventStream:
    """One GET of `status/stream`, read until its reader has seen enough."""

    def __init__(
        self, handle: SyncRequestHandle, wire: Wire, *, timeout: httpx.Timeout, clock: Callable[[], float]
    ) -> None:
        self._handle = handle
        self._wire = wire
        self._timeout = timeout
        self._clock = clock
        self._stack = contextlib.ExitStack()
        self._events: Iterator[Any] = iter(())
        self._network_stream: Any = None
        self._told = clock()
        """When it last told a status, or was made."""
        self.round_trip_s = 0.0
        """From sending the request to the headers of its answer: pushed events are late by about half of it."""

    def open(self) -> None:
        """Raises NoEvents or EventsBroken."""
        try:
            response = self._stack.enter_context(
                self._handle.client.stream(
                    "GET", f"{self._handle.status_url}/stream?logs=0", headers=_HEADERS, timeout=self._timeout
                )
            )
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError):
            raise EventsBroken(fault=True) from None
        self.round_trip_s = self._clock() - self._wire.exchanges[-1].sent
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code in _UNSUPPORTED or (response.is_success and kind != "text/event-stream"):
            self.close()
            raise NoEvents
        if not response.is_success:
            self.close()
            raise EventsBroken(fault=True)
        self._network_stream = response.extensions.get("network_stream")
        self._events = EventSource(_Impatient(response, self._check_patience)).iter_sse()  # type: ignore[arg-type]

    def next(self) -> tuple[Status, float] | None:
        """The next status and when it came; None where the stream has ended. Raises EventsBroken."""
        while True:
            try:
                event = next(self._events, None)
            except httpx.ReadTimeout:
                raise EventsBroken(fault=False) from None
            except (httpx.HTTPError, httpx.StreamError):
                raise EventsBroken(fault=True) from None
            at = self._clock()
            if event is None:
                return None
            status = _parse(self._handle, event.data)
            if status is not None:
                self._told = at
                return status, at

    def _check_patience(self) -> None:
        """Bytes that tell nothing, such as comments, are as good as silence. Raises httpx.ReadTimeout."""
        limit_s = self._timeout.read
        if limit_s is not None and self._clock() - self._told > limit_s:
            raise httpx.ReadTimeout("the stream tells no status")

    def finish(self, watchdog: Watchdog) -> None:
        """Read to the end, so that the connection can be used again; not for long. Not to be timed."""
        with watchdog.guards(self), contextlib.suppress(httpx.HTTPError, httpx.StreamError, RuntimeError):
            for _ in self._events:
                pass
        self.close()

    def close(self) -> None:
        """Give the stream up; its connection, too, unless it was read to the end."""
        with contextlib.suppress(httpx.HTTPError, RuntimeError):
            self._stack.close()

    def abort(self) -> None:
        """From another thread: whoever is reading sees a broken stream."""
        if self._network_stream is not None:
            abort_stream(self._network_stream)


class _Impatient:
    """What `EventSource` needs of a response, and a look at the clock whenever something has come."""

    def __init__(self, response: httpx.Response, check: Callable[[], None]) -> None:
        self.headers = response.headers
        self._response = response
        self._check = check

    def iter_text(self) -> Iterator[str]:
        for text in self._response.iter_text():
            self._check()
            yield text


def _parse(handle: SyncRequestHandle, text: str) -> Status | None:
    """As the library reads a status, but lenient: events may lack what answers have, and others may be in between."""
    try:
        return handle._parse_status({"logs": None, "queue_position": 0} | json.loads(text))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
