"""The one queue in front of the local workers of a level of load: who has come, who is being drawn, who waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kreabench.core.planned import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A request that has come."""

    request: Request
    intended_s: float
    """When it was meant to come, on `time.perf_counter`."""
    started_utc: str
    late_s: float = 0.0
    """How much later it came, as this process was busy."""


class WaitingLine:
    """First come, first served."""

    def __init__(self) -> None:
        self.waiting: deque[Arrival] = deque()
        self.in_hand: dict[str, Arrival] = {}
        """Request id → one that a worker has."""
        self.calls = 0
        """Batches that were taken so far."""
        self._calls_in_hand = 0

    def __len__(self) -> int:
        """Those that have come and have no answer."""
        return len(self.waiting) + len(self.in_hand)

    def come(self, arrival: Arrival) -> None:
        """Somebody joins at the end."""
        self.waiting.append(arrival)

    def take(self, most: int) -> list[Arrival]:
        """The first ones, at most so many: in a worker's hand from now on."""
        taken = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        self.in_hand.update((arrival.request.id, arrival) for arrival in taken)
        self.calls += 1
        self._calls_in_hand += 1
        return taken

    def settle(self, arrivals: Sequence[Arrival]) -> None:
        """What was taken together has its answers."""
        for arrival in arrivals:
            del self.in_hand[arrival.request.id]
        self._calls_in_hand -= 1

    def is_shared(self, calls_before: int) -> bool:
        """Whether a call, before which `calls_before` were taken, had others beside it at any time; while it is there
        still."""
        return self._calls_in_hand > 1 or self.calls > calls_before + 1

    def left(self) -> list[Arrival]:
        """Everybody without an answer, in the order in which they came; nobody is there any more."""
        left = [*self.in_hand.values(), *self.waiting]
        self.in_hand.clear()
        self.waiting.clear()
        return left
