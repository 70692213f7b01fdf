"""One level of load at a hosted target: requests start when they are meant to, whatever has become of those before.

As `hosted_run`, with these differences: an order goes to the worker a little ahead of its instant, so that what the
journal's disk takes is not in anybody's latency; nothing is tried again and no refusal holds anything back, as both
would be another load; the level ends by the clock, however slow the service is. A worker that dies ends it too, as
the next one would find a service at rest.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from itertools import takewhile

from kreabench.core.errors import BudgetReached
from kreabench.core.planned import Request
from kreabench.core.records import UNANSWERED, Failure, FailureRecord, Record
from kreabench.core.traffic import TrafficSpec
from kreabench.execution.engine import GroupWork
from kreabench.execution.flights import Flight
from kreabench.execution.group_run import Surroundings
from kreabench.execution.hosted_run import MAX_IN_HAND, Batch, HostedGroupRun, whole
from kreabench.execution.interrupts import Interrupt
from kreabench.execution.supervise import WorkerProcess

LEAD_S = 0.5
"""How long before its instant an order is journalled and handed over."""


class TrafficRun(HostedGroupRun):
    """Runs one level of load with one worker. `batches` may be called once."""

    def __init__(self, work: GroupWork, around: Surroundings, traffic: TrafficSpec) -> None:
        # The worker's clock, as it is told instants of it.
        super().__init__(work, around, clock=time.perf_counter)
        self._traffic = traffic
        self._begun_s: float | None = None
        """Where the level's arrivals count from; None before the worker is there."""
        self._halted = False
        self._over_budget: BudgetReached | None = None

    def batches(self) -> Generator[Batch, None, None]:
        """As of `HostedGroupRun`; a spent budget is raised after everything in flight has ended."""
        yield from super().batches()
        if self._over_budget is not None:
            raise self._over_budget

    def _is_going_on(self) -> bool:
        if self._halted:
            return False
        return bool(self._requests.flights) or self._is_sending()

    def _is_sending(self) -> bool:
        """Whether a request may still be sent, now or later."""
        if self._answers.storage is not None or self._answers.worn or self._over_budget is not None:
            return False
        is_over = self._begun_s is not None and self._clock() >= self._begun_s + self._traffic.duration_s
        # The last instants of an open loop lie before its end, and are sent if they are a little late.
        return bool(self._requests.queue) and (self._traffic.is_open or not is_over)

    def _step(self, interrupt: Interrupt) -> Iterator[Batch]:
        if self._worker is None:
            yield from whole(self._open(interrupt))
            self._begun_s = self._clock() + (LEAD_S if self._traffic.is_open else 0.0)
        elif self._clock() >= self._ends_s():
            self._halted = True
            yield (self._ended(),)
            yield from self._wind_down(interrupt)
        else:
            yield from self._send(self._worker)
            if self._requests.flights or self._is_sending():
                yield from whole(self._take(self._worker))

    def _ended(self) -> Record:
        """That the clock ended the level, and nothing else: what is unanswered counts against the service."""
        drain_s = self._traffic.drain_s
        error = Failure(
            type=UNANSWERED[0],
            stage=UNANSWERED[1],
            message=f"requests had no answer when the level was ended, load.drain_s={drain_s:g} s after its arrivals",
            remedy="That is what this load does. To see how long such requests take, raise load.drain_s.",
            transient=False,
        )
        return FailureRecord(
            group_id=self._group.id,
            setting_id=None,
            request_id=None,
            attempt=1,
            started_utc=self._around.now(),
            error=error,
        )

    def _ends_s(self) -> float:
        """When whatever is unanswered is cut short."""
        assert self._begun_s is not None  # noqa: S101 - there is a worker
        return self._begun_s + self._traffic.duration_s + self._traffic.drain_s

    def _intended_s(self, request: Request) -> float | None:
        return None if request.at_s is None or self._begun_s is None else self._begun_s + request.at_s

    def _chosen(self) -> list[Flight]:
        """What is due. Once the budget has refused one, nothing more is sent: it would come late."""
        chosen: list[Flight] = []
        for _ in range(self._places()):
            request = self._requests.queue[0]
            try:
                self._around.admit(self._group, request)
            except BudgetReached as reached:
                self._over_budget = reached
                break
            self._requests.queue.popleft()
            chosen.append(self._flight(request, None))
        return chosen

    def _places(self) -> int:
        if not self._is_sending() or self._begun_s is None:
            return 0
        queue = self._requests.queue
        if self._traffic.is_open:
            until_s = self._clock() - self._begun_s + LEAD_S
            return sum(1 for _ in takewhile(lambda request: (request.at_s or 0.0) <= until_s, queue))
        concurrency = self._group.concurrency
        most = concurrency if concurrency == 1 else MAX_IN_HAND * concurrency
        free = min(concurrency - self._requests.in_flight(), most - len(self._requests.flights))
        return max(0, min(free, len(queue)))

    def _patience(self) -> float:
        """Seconds until the next order is due, or the level ends."""
        moments = [self._ends_s()]
        if self._is_sending() and self._traffic.is_open and self._begun_s is not None:
            moments.append(self._begun_s + (self._requests.queue[0].at_s or 0.0) - LEAD_S)
        return max(0.0, min(moments) - self._clock())

    def _must_end(self) -> bool:
        """No request has a limit of its own: the level has."""
        return False

    def _gone(self, worker: WorkerProcess) -> list[Record]:
        records = super()._gone(worker)
        self._halted = True
        return records
