"""The HTTP of huggingface_hub while it draws a picture: watched, bounded, and sending exactly one POST a call.

The library sends everything through one client of the process, which it lets the program make. Ours hands each request
to `WatchedTransport`, which tells three kinds apart:

- the POST that has the picture drawn: sent once. A second one in the same call, or a redirect, is an error. Nothing
  below it repeats a request that has left.
- a GET with the key: the state of the provider's job (WaveSpeed, Z.ai). Sent to the origin of the POST alone, and asked
  again a few times after a fault of the way there.
- a GET without the key: the picture at an address that the answer named (fal, Replicate, WaveSpeed). The library would
  fetch any address; here `fal_download.Downloader` does, with its rules (https, allowed hosts, public, bounded).

The client of OpenAI's image interface sends through it too: its POST, and pictures by address.

Each call in flight has a lane: an HTTP client of its own, whose connection is kept for the next call. That tells which
call opened a connection, and lets `abort` end a call that waits for an answer.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import httpx
import httpx2

from kreabench.backends.base import Ticket
from kreabench.backends.fal_download import Downloader, DownloadRules, PictureRefused
from kreabench.backends.hf_inference_errors import ProviderAnswer, ProviderFailures
from kreabench.core.errors import GenerationError

_ASK_AGAIN_AFTER_S = (0.1, 0.4, 1.6)
"""Pauses before a state or a picture is asked for again; such reads change nothing there."""
_PASSING_STATUS = {429, 500, 502, 503, 504}
_DRAIN_S = 5.0
"""How long calls may take to end once nothing more is sent: their pictures are paid for already."""
_OPENED = ("connect_tcp.complete", "start_tls.complete")


class Lane:
    """One HTTP client with its connection."""

    def __init__(self, timeout_s: float) -> None:
        # Not the library's transport: this honours proxies and certificates as any client of httpx does.
        self.http = httpx2.Client(timeout=timeout_s, follow_redirects=False)
        self.stream: Any = None
        """Of the connection opened last."""

    def abort(self) -> None:
        """Wake whoever waits for an answer: closing alone would leave them waiting."""
        raw = self.stream.get_extra_info("socket") if self.stream is not None else None
        if raw is not None:
            with contextlib.suppress(OSError, ValueError):
                raw.shutdown(socket.SHUT_RDWR)


@dataclass(kw_only=True, slots=True)
class Call:
    """What was seen of one call of the library; times on the session's clock."""

    lane: Lane
    first: bool
    """No call went before it."""
    clock: Callable[[], float]
    deadline_s: float
    told: Callable[[ProviderAnswer], None]
    """Hears the first answer at once."""
    begun_s: float | None = None
    """The POST was handed to the connection."""
    origin: httpx2.URL | None = None
    """Scheme, host and port of the POST: where the key may go."""
    sent: bool = False
    """The first byte of the POST has left, as far as is known."""
    connect_s: float | None = None
    """Opening the POST's connection; None where one was open."""
    answered_s: float | None = None
    """The answer to the POST, or to the last read of the job's state, was whole."""
    asked_s: list[float] = field(default_factory=list)
    """When each read of the job's state was sent."""
    gap_s: float | None = None
    """The longest that the end of the job can have gone unseen: from the read before the last to the last's answer."""
    download_s: tuple[float, float] | None = None
    """Begin of the first picture's and end of the last one's."""
    repeats: int = 0
    """Reads that had to be asked again."""
    answer: ProviderAnswer | None = None
    """To the POST."""
    body: Any = None
    """JSON of the last answer, where it was any."""
    content: bytes | None = None
    """The picture, as the library was about to decode it."""
    ended_s: float = 0.0
    _connecting_s: float = 0.0

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """What the connection reports while it works."""
        if name.endswith("connect_tcp.started"):
            self._connecting_s = self.clock()
        elif name.endswith(_OPENED):
            self.lane.stream = info.get("return_value")
            if self.answered_s is None:
                self.connect_s = self.clock() - self._connecting_s
        elif name.endswith("send_request_headers.started"):
            self.sent = True


CURRENT: ContextVar[Call | None] = ContextVar("kreabench_hf_inference_call", default=None)
"""The call of this thread, if it is in one."""


class WatchedTransport(httpx2.BaseTransport):
    """Below the library's client. Calls run in threads of their own; requests outside a call just pass."""

    def __init__(
        self,
        *,
        failures: ProviderFailures,
        rules: DownloadRules,
        timeout_s: float,
        max_bytes: int,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._failures = failures
        self._pictures = httpx.Client(timeout=timeout_s)
        self._downloader = Downloader(rules, client=self._pictures, clock=clock)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._idle: list[Lane] = []
        self._busy: list[Lane] = []
        self._hub = Lane(timeout_s)
        self._called = False
        self.closing = False

    @contextlib.contextmanager
    def call(self, ticket: Ticket, told: Callable[[ProviderAnswer, Ticket], None]) -> Iterator[Call]:
        """A call that may be sent now. Raises GenerationError for one that an earlier session sent, and at the end."""
        if ticket.earlier_id is not None:
            raise GenerationError(
                f"an earlier session sent this request ({self._failures.scrub(ticket.earlier_id)})",
                type="expired",
                stage="result",
                remedy="This service gives no way to fetch it. To send it again: `kreabench resume --retry-failed`.",
            )
        if self.closing:
            raise closed_before_sending()
        with self._lock:
            first, self._called = not self._called, True
        with self._lane() as lane:
            yield Call(
                lane=lane,
                first=first,
                clock=self._clock,
                deadline_s=self._clock() + self._timeout_s,
                told=lambda answer: told(answer, ticket),
            )

    @contextlib.contextmanager
    def _lane(self) -> Iterator[Lane]:
        """A lane for one call: the one used last, so that its connection is still open."""
        with self._lock:
            lane = self._idle.pop() if self._idle else Lane(self._timeout_s)
            self._busy.append(lane)
        try:
            yield lane
        finally:
            with self._lock:
                self._busy.remove(lane)
                self._idle.append(lane)

    def in_flight(self) -> int:
        """Calls under way."""
        with self._lock:
            return len(self._busy)

    def end_calls(self) -> None:
        """Let what is being drawn end, for a few seconds: it is paid for. Then end it."""
        self.closing = True
        self._wait_for_calls()
        self._abort()
        self._wait_for_calls()

    def _wait_for_calls(self) -> None:
        give_up_s = time.monotonic() + _DRAIN_S
        while self.in_flight() and time.monotonic() < give_up_s:
            time.sleep(0.02)

    def _abort(self) -> None:
        with self._lock:
            lanes = list(self._busy)
        for lane in lanes:
            lane.abort()

    def close_all(self) -> None:
        """Close every connection, at the end: the library closes its client also in between."""
        with self._lock:
            lanes = [*self._idle, *self._busy, self._hub]
        for lane in lanes:
            lane.http.close()
        self._pictures.close()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request of the library. Raises GenerationError within a call, which the library lets through."""
        call = CURRENT.get()
        if call is None:
            return self._hub.http.send(request, stream=True, follow_redirects=True)
        if request.method == "POST":
            return self._post(call, request)
        if "authorization" in request.headers:
            return self._read_state(call, request)
        return self._fetch(call, request)

    def _post(self, call: Call, request: httpx2.Request) -> httpx2.Response:
        if call.begun_s is not None:
            raise GenerationError(
                "the library was about to send the request a second time; it was not let",
                type="internal",
                stage="call",
                remedy="Please report this with the version of huggingface_hub.",
            )
        if self.closing:
            raise closed_before_sending()
        call.origin = request.url.copy_with(raw_path=b"/")
        call.begun_s = call.clock()
        try:
            answer, response = self._exchange(call, request)
        except httpx2.HTTPError as error:
            raise self._broken(error, call) from None
        call.answered_s, call.answer, call.body = call.clock(), answer, answer.body
        call.told(answer)
        if not response.is_success:
            raise self._failures.from_answer(answer, "call")
        return response

    def _broken(self, error: Exception, call: Call) -> GenerationError:
        """The connection ended before an answer was whole: perhaps by our own hand."""
        if self.closing and call.sent:
            return _ended_at_work()
        return self._failures.from_transport(error, "call", sent=call.sent)

    def _read_state(self, call: Call, request: httpx2.Request) -> httpx2.Response:
        if request.url.copy_with(raw_path=b"/") != call.origin:
            raise GenerationError(
                "the answer names another host to ask with the key; it was not asked",
                type="network",
                stage="call",
                remedy="The request was carried out and may have been billed.",
            )
        call.asked_s.append(call.clock())
        for pause_s in (*_ASK_AGAIN_AFTER_S, None):
            self._check_patience(call)
            try:
                answer, response = self._exchange(call, request)
            except httpx2.HTTPError as error:
                if pause_s is None or self.closing:
                    raise self._failures.from_transport(error, "call", sent=True) from None
            else:
                if response.is_success:
                    break
                if pause_s is None or answer.status_code not in _PASSING_STATUS:
                    raise self._failures.from_read(answer, "call")
            call.repeats += 1
            self._sleep(pause_s)
        call.answered_s, call.body = call.clock(), answer.body
        before_s = call.asked_s[-2] if len(call.asked_s) > 1 else call.begun_s or call.asked_s[-1]
        call.gap_s = call.answered_s - before_s
        return response

    def _fetch(self, call: Call, request: httpx2.Request) -> httpx2.Response:
        begun_s = call.clock()
        for pause_s in (*_ASK_AGAIN_AFTER_S, None):
            try:
                content = self._downloader.fetch(str(request.url))
                break
            except httpx.HTTPError as error:
                passing = isinstance(error, httpx.TransportError) and not self.closing
                if pause_s is None or not passing:
                    raise self._failures.from_transport(error, "download", sent=True) from None
            except httpx.InvalidURL as error:
                raise self._failures.from_transport(error, "download", sent=True) from None
            except PictureRefused as refused:
                raise self._failures.from_picture(refused.answer.status_code) from None
            call.repeats += 1
            self._sleep(pause_s)
        call.download_s = (begun_s if call.download_s is None else call.download_s[0], call.clock())
        return httpx2.Response(200, content=content, request=request)

    def _check_patience(self, call: Call) -> None:
        if self.closing:
            raise _ended_at_work()
        if call.clock() > call.deadline_s:
            raise self._failures.too_late(self._timeout_s)

    def _exchange(self, call: Call, request: httpx2.Request) -> tuple[ProviderAnswer, httpx2.Response]:
        """Send and read all of the answer, within the deadline and a size. Raises httpx2.HTTPError."""
        request.extensions = {**request.extensions, "trace": call.trace}
        limit = 2 * self._max_bytes  # a picture in base64, and what stands around it
        content = bytearray()
        response = call.lane.http.send(request, stream=True)
        try:
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > limit:
                    raise _too_large(f"an answer of more than {limit} bytes")
                if call.clock() > call.deadline_s:
                    raise self._failures.too_late(self._timeout_s)
        finally:
            response.close()
        whole = httpx2.Response(response.status_code, headers=response.headers, content=bytes(content), request=request)
        return _answer(whole), whole


def closed_before_sending() -> GenerationError:
    """The session ends, and this request has not left."""
    return GenerationError(
        "the run was ended before this request was sent",
        type="cancelled",
        stage="client",
        transient=True,
        remedy="`kreabench resume` sends it.",
    )


def _ended_at_work() -> GenerationError:
    """The session ends, and did not wait for the answer to this request."""
    return GenerationError(
        "the run was ended while the provider was at work",
        type="network",
        stage="call",
        remedy="It may have been carried out and billed; this provider gives no way to fetch it later.",
    )


def _too_large(what: str) -> GenerationError:
    remedy = "Raise options.max_download_bytes if such a size is right. The request may have been billed."
    return GenerationError(f"the provider sent {what}", type="bad_image", stage="call", remedy=remedy)


def _answer(response: httpx2.Response) -> ProviderAnswer:
    try:
        body = response.json()
    except ValueError:
        body = None
    text = response.text if body is None and not response.is_success else ""
    return ProviderAnswer(status_code=response.status_code, headers=response.headers, body=body, text=text)
