"""Below HTTP: the connection of a request, so that it can be reset, cut short, and its first and last byte timed."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from kreabench.emulator.jobs import Moment

_LINGER_0 = struct.pack("ii", 1, 0)
"""Closing sends a reset instead of the orderly end."""

_LOOK_S = 0.0005
_GIVE_UP_S = 30.0


class _Gathering:
    """A transport that sends what is written in one turn of the event loop at once: half the system calls."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts and data:
            asyncio.get_running_loop().call_soon(self._flush)
        if data:
            self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._parts)) + int(self._transport.get_write_buffer_size())

    def _flush(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._transport.write(data)


class Connections:
    """Every open connection by its peer; the key is what a request's scope has as `client`."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Any] = {}

    def protocol(self) -> type[H11Protocol]:
        """A protocol for uvicorn whose connections are known here."""
        known = self._open

        class Tracked(H11Protocol):
            first_byte: Moment

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(_Gathering(transport))  # type: ignore[arg-type]
                self.first_byte = Moment.now()
                if self.client is not None:
                    known[self.client] = self

            def data_received(self, data: bytes) -> None:
                if self.cycle is None or self.cycle.response_complete:
                    self.first_byte = Moment.now()
                super().data_received(data)

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    known.pop(self.client, None)
                super().connection_lost(exc)

        return Tracked

    def first_byte(self, scope: Any) -> Moment:
        """When the request began to arrive."""
        protocol = self._of(scope)
        return Moment.now() if protocol is None else protocol.first_byte

    async def flushed(self, scope: Any) -> Moment:
        """When everything that was written has been handed to the kernel."""
        deadline = asyncio.get_running_loop().time() + _GIVE_UP_S
        while (protocol := self._of(scope)) is not None and protocol.transport.get_write_buffer_size() > 0:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_LOOK_S)
        return Moment.now()

    async def reset(self, scope: Any) -> None:
        """End the connection with a reset (RST), whatever was going on."""
        protocol = self._of(scope)
        if protocol is not None:
            protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            protocol.transport.abort()
        await self._gone(scope)

    async def hang_up(self, scope: Any) -> None:
        """End the connection in order, after what was written and before what was promised."""
        protocol = self._of(scope)
        if protocol is not None:
            protocol.transport.close()
        await self._gone(scope)

    def _of(self, scope: Any) -> Any:
        return self._open.get(scope["client"])

    async def _gone(self, scope: Any) -> None:
        # A handler that returns without an answer while the connection still stands would be reported as a bug.
        deadline = asyncio.get_running_loop().time() + _GIVE_UP_S
        while self._of(scope) is not None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK_S)
