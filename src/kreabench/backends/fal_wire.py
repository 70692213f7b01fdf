"""The connections of one session: every request is traced, so that what a call sent and when it connected is known.

A call of the back end runs in one thread, and all that the thread sends while its `Wire` is current is noted there;
what another thread sends over the same client is not.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

KEEPALIVE_S = 120.0
"""How long an unused connection is kept: longer than most inferences, whose result must not wait for a connection."""

_RUNNER = "x-fal-served-from"
_OPENINGS = ("connect_tcp", "connect_unix_socket", "start_tls")

_current = threading.local()


class Exchange:
    """One HTTP request: when it was made, when its connection was opened, when its first byte was sent."""

    __slots__ = ("_clock", "_connections", "connect_began", "connect_ended", "made", "sent")

    def __init__(self, clock: Callable[[], float], connections: Connections) -> None:
        self._clock = clock
        self._connections = connections
        self.made = clock()
        self.sent = self.made
        self.connect_began: float | None = None
        self.connect_ended: float | None = None

    @property
    def connect_s(self) -> float | None:
        """TCP and TLS; None where a connection was there already."""
        if self.connect_began is None or self.connect_ended is None:
            return None
        return self.connect_ended - self.connect_began

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """For httpcore, which calls it with names such as `connection.connect_tcp.started`."""
        name, _, moment = event.partition(".")[2].rpartition(".")
        if name in _OPENINGS:
            if self.connect_began is None:
                self.connect_began = self._clock()
            if moment == "complete":
                self.connect_ended = self._clock()
                self._connections.add(info.get("return_value"))
        elif name == "send_request_headers" and moment == "started":
            # Through a proxy there are two: the one that opens the tunnel, then the request itself.
            self.sent = self._clock()


class Wire:
    """What one call of the back end has sent, and the headers of the service's answers to it."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.headers: dict[str, str] = {}
        """Names in lower case; of several answers the last. The client library drops them."""
        self.runners: list[str] = []
        """All that the answers named, each once, in order."""

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Within the block, what this thread sends is noted here."""
        _current.wire = self
        try:
            yield
        finally:
            _current.wire = None

    def note_answer(self, headers: Mapping[str, str]) -> None:
        """Of the service itself, not of its storage."""
        self.headers.update(headers)
        runner = headers.get(_RUNNER)
        if runner is not None and runner not in self.runners:
            self.runners.append(runner)

    def connects_s(self, since: int) -> float:
        """Seconds spent on opening connections by the exchanges from number `since` on."""
        return sum(exchange.connect_s or 0.0 for exchange in self.exchanges[since:])


class Connections:
    """Every connection that the session opened and that is still there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, stream: Any) -> None:
        """A network stream of httpcore. Of a connection that is then encrypted there are two; the first is dead."""
        if stream is not None:
            with self._lock:
                self._streams.add(stream)

    def abort(self) -> None:
        """End every read and write that is under way, in whichever thread."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            abort_stream(stream)


def abort_stream(stream: Any) -> None:
    """End what is under way on a network stream of httpcore; its reader sees a closed connection."""
    with contextlib.suppress(OSError):
        # Not `SSLSocket.shutdown`, which takes the encryption away from under the thread that is reading.
        socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)


class Network:
    """Makes the clients of a session. Raises OSError, also ssl.SSLError, where the trusted certificates are not to
    be read."""

    def __init__(self, *, clock: Callable[[], float], transport: httpx.BaseTransport | None = None) -> None:
        self.connections = Connections()
        self._clock = clock
        self._transport = transport
        self._context: ssl.SSLContext = httpx.create_ssl_context()
        self._clients: list[httpx.Client] = []

    def client(
        self, *, timeout: httpx.Timeout, service: bool, follow_redirects: bool = False, **options: Any
    ) -> httpx.Client:
        """A client for any number of threads, through the environment's proxies; `service` notes answers' headers."""
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._trace]}
        if service:
            hooks["response"] = [_note_answer]
        client = httpx.Client(
            verify=self._context,
            transport=self._transport,
            timeout=timeout,
            follow_redirects=follow_redirects,
            # Never a wait for a free connection within the client: how many there can be is the session's concern.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_S),
            event_hooks=hooks,
            **options,
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            client.close()

    def _trace(self, request: httpx.Request) -> None:
        exchange = Exchange(self._clock, self.connections)
        request.extensions["trace"] = exchange.trace
        wire: Wire | None = getattr(_current, "wire", None)
        if wire is not None:
            wire.exchanges.append(exchange)


def _note_answer(response: httpx.Response) -> None:
    wire: Wire | None = getattr(_current, "wire", None)
    if wire is not None:
        wire.note_answer(response.headers)
