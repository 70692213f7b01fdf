"""A connection that ends where its other end dawdles: a few hundred of these would lock all voters out."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S = 30.0
"""A request is whole and answered after two such times at most; so long it may take until the next one begins."""


class Connection(H11Protocol):
    """HTTP, with an end to headers, bodies and readers that never come to theirs (Slowloris)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(PATIENCE_S, self._look, self.cycle)

    def _look(self, before: Any) -> None:
        """`before`: the request of the last time, None where there was none."""
        if self.cycle is before:
            self.transport.abort()
        else:
            self._wait()
