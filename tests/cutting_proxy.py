"""A relay between a client and a loopback service that can be cut like a cable, and mended."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tests.engine_support import wait_until, worker_pids

_RESET = struct.pack("ii", 1, 0)
_CHUNK = 65_536


class CuttingProxy:
    """Relays bytes to and from a port of this machine; they stay encrypted, so it knows no more than their number."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._upstream_port = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.is_cut = threading.Event()
        self.cut_after_bytes: int | None = None
        """Of one connection, sent by the service: cut then."""

    def through(self, upstream_port: int) -> int:
        """Relay to `upstream_port`; the port to connect to."""
        self._upstream_port = upstream_port
        threading.Thread(target=self._accept, daemon=True).start()
        return self.port

    def cut(self) -> None:
        """Break every connection in the middle, and each new one as soon as it is made."""
        with _workers_stopped():
            with self._lock:
                self.is_cut.set()
            self._break()

    def break_connections(self) -> None:
        """Break every connection; new ones are served."""
        with _workers_stopped():
            self._break()

    def mend(self) -> None:
        self.cut_after_bytes = None
        self.is_cut.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _break(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for end in broken:
            _reset(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                service = socket.create_connection(("127.0.0.1", self._upstream_port))
            except OSError:
                _reset(client)
                continue
            with self._lock:
                is_cut = self.is_cut.is_set()
                if not is_cut:
                    self._open |= {client, service}
            if is_cut:
                _reset(client)
                _reset(service)
                continue
            for source, sink, counted in ((client, service, False), (service, client, True)):
                threading.Thread(target=self._relay, args=(source, sink, counted), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                passed += len(chunk)
                if counted and self.cut_after_bytes is not None and passed >= self.cut_after_bytes:
                    sink.sendall(chunk[: len(chunk) // 2])
                    self.cut()
                    return
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def _workers_stopped() -> Iterator[None]:
    """A line is cut at one moment: no worker may send into a connection that is broken a little later than another."""
    workers = worker_pids()
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(_is_stopped(pid) for pid in workers), "workers stopped")
        yield
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE})
    except psutil.NoSuchProcess:
        return True


def _reset(end: socket.socket) -> None:
    """Close without a farewell, waking whoever reads."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def cutting_proxy() -> Iterator[CuttingProxy]:
    proxy = CuttingProxy()
    try:
        yield proxy
    finally:
        proxy.close()
