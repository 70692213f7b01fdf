"""What running a load group and the pool that runs it say to each other, so that one thread can drive many workers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from kreabench.core.records import Record
from kreabench.execution.messages import Answer, Order
from kreabench.execution.supervise import Death


class WorkerHandle(Protocol):
    """A worker as the driver sees it, wherever it runs. Nothing here waits, but for `stop` and for a corpse."""

    def alive(self) -> bool:
        """Whether it can be asked, as far as is known without asking it."""

    def begin(self, order: Order, limit_s: float) -> None:
        """Hand over an order that may take `limit_s`; one to close is answered by a death."""

    def poll(self) -> Answer | Death | None:
        """The answer to the order that was begun; None while there is none. One that is late is ended."""

    def left_s(self) -> float:
        """Seconds that the order may still take."""

    def bury(self) -> Death:
        """How one ended that is not alive."""

    def stop(self) -> None:
        """End it: politely when it is idle, at once when it has an order in hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """To be sent the answer to this order, or the worker's death."""

    worker: WorkerHandle
    order: Order
    limit_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Idle:
    """Nothing waits now. To be sent nothing: look again; or the end: let the worker go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """The answer to `Idle` when the worker is not needed any more."""


Steps = Generator[Record | Ask | Idle, Answer | Death | End | None, None]
"""A record is answered by nothing, once it is journalled."""
