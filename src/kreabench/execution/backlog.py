"""What is left of one load group: shared by all workers that have its model loaded."""

from __future__ import annotations

from collections import deque

from kreabench.core.planned import Request
from kreabench.execution.engine import MAX_WORKER_DEATHS, GroupWork


class Backlog:
    """Requests that wait, those that workers have in hand, and what is known of each."""

    def __init__(self, work: GroupWork, devices: dict[str, str] | None = None) -> None:
        self.group = work.group
        self.devices: dict[str, str] = {} if devices is None else devices
        """Target → kind of device that draws it, as `device_in_words` has it; shared by all groups."""
        if work.device is not None:
            self.devices[work.group.target.name] = work.device
        self.queue = deque(work.pending)
        self.in_hand: set[str] = set()
        """Request ids."""
        self.loads = work.loads
        self.load_deaths = 0
        self.doubted: set[str] = set()
        """Ids of settings whose warm-up one place has given up, while nobody had warmed them up."""
        self.warmed: set[str] = set()
        """Ids of settings that some worker warmed up."""
        self.load_s: float | None = None
        """What it took last time to start a worker, load the model and warm up; None before."""
        self._drawn_s = 0.0
        self._drawn = 0
        self._deaths = dict(work.deaths)
        self._tries = dict(work.tries)

    def take(self) -> Request:
        """The next request, which is in somebody's hand from now on."""
        request = self.queue.popleft()
        self.in_hand.add(request.id)
        return request

    def settle(self, request: Request) -> None:
        """The request is final."""
        self.in_hand.discard(request.id)

    def died(self, request: Request) -> bool:
        """A worker died with the request in hand: it comes first again. Whether it has failed for good instead."""
        self.in_hand.discard(request.id)
        self._tries[request.id] = self.attempt(request)
        self._deaths[request.id] = self._deaths.get(request.id, 0) + 1
        final = self._deaths[request.id] >= MAX_WORKER_DEATHS
        if not final:
            self.queue.appendleft(request)
        return final

    def attempt(self, request: Request) -> int:
        """The number of the try that is under way, or else of the next one."""
        return self._tries.get(request.id, 0) + 1

    def take_all(self, setting_id: str | None = None) -> list[Request]:
        """Every request that waits, or every one of a setting; none of them waits any more."""
        taken = [request for request in self.queue if setting_id in (None, request.setting_id)]
        self.queue = deque(request for request in self.queue if setting_id not in (None, request.setting_id))
        return taken

    def drew(self, seconds: float) -> None:
        """A request took so long, from its order to its answer."""
        self._drawn_s += seconds
        self._drawn += 1

    def is_done(self) -> bool:
        """Whether nothing waits and nothing can come back."""
        return not self.queue and not self.in_hand

    def gain_s(self, workers: int) -> float:
        """Seconds that one more worker would spare the `workers` it has; at most 0 where loading costs more.

        Unknown, and therefore 0, until the model was loaded once and something was drawn.
        """
        if self.load_s is None or not self._drawn:
            return 0.0
        left_s = len(self.queue) * self._drawn_s / self._drawn / max(1, workers)
        return left_s - self.load_s
