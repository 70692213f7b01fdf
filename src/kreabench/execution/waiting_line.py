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
        self._calls_in_hand: set[str] = set()
        """Ids of the first requests of the batches that workers have."""
        self._shared: set[str] = set()
        """Those of them that had others beside them at any time."""

    def __len__(self) -> int:
        """Those that have come and have no answer."""
        return len(self.waiting) + len(self.in_hand)

    def come(self, arrival: Arrival) -> None:
        """Somebody joins at the end."""
        self.waiting.append(arrival)

    def take(self, most: int) -> list[Arrival]:
        """The first ones of those that wait, at most so many: in a worker's hand from now on."""
        taken = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        self.in_hand.update((arrival.request.id, arrival) for arrival in taken)
        self._calls_in_hand.add(taken[0].request.id)
        if len(self._calls_in_hand) > 1:
            self._shared |= self._calls_in_hand
        return taken

    def settle(self, arrivals: Sequence[Arrival]) -> bool:
        """What was taken together has its answers. Returns whether others were in hand beside it at any time."""
        for arrival in arrivals:
            del self.in_hand[arrival.request.id]
        call = arrivals[0].request.id
        was_shared = call in self._shared
        self._calls_in_hand.remove(call)
        self._shared.discard(call)
        return was_shared

    def left(self) -> list[Arrival]:
        """Everybody without an answer, in the order in which they came; nobody is there any more."""
        left = [*self.in_hand.values(), *self.waiting]
        self.in_hand.clear()
        self.waiting.clear()
        return left
