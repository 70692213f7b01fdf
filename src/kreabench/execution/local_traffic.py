"""One level of load at a local target: requests come when they are meant to and wait in one line before the workers.

A worker that is free takes those that wait, first come, first served, at most a batch of them, and waits for nobody.
What takes time before that, loading and warming up, is over before the first request comes. The level ends by the
clock, however slow the workers are.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import NEVER_TRIED_STAGES, Record
from kreabench.core.traffic import TrafficSpec
from kreabench.execution.backlog import Backlog
from kreabench.execution.engine import GroupWork
from kreabench.execution.group_run import Surroundings
from kreabench.execution.interrupts import Interrupt, interruptible
from kreabench.execution.lane import Lane
from kreabench.execution.outcomes import Trouble, failed_sample
from kreabench.execution.replica_run import ReplicaRun
from kreabench.execution.seats import Seat, Seats
from kreabench.execution.served import unanswered_sample
from kreabench.execution.supervise import LONGEST_WAIT_S
from kreabench.execution.waiting_line import Arrival, WaitingLine

Batch = tuple[Record, ...]


class LocalTrafficRun:
    """Runs one level of load with a worker at each seat. `batches` may be called once."""

    def __init__(
        self, work: GroupWork, traffic: TrafficSpec, seats: Seats, around: Callable[[Seat], Surroundings]
    ) -> None:
        """`around`: what the worker at a seat needs from outside."""
        self._group: LoadGroup = work.group
        self._traffic = traffic
        self._seats = seats
        self._queue: deque[Request] = deque(work.pending)
        self._line = WaitingLine()
        self._begun_s: float | None = None
        """Where the level's arrivals count from, on `time.perf_counter`; None before all workers are ready."""
        self._error: BaseException | None = None
        """To be raised once what came before it is journalled."""
        devices: dict[str, str] = {}
        self._lanes: list[Lane] = []
        self._replicas: list[ReplicaRun] = []
        self._now: Callable[[], str]
        for seat in seats.taken():
            surroundings = around(seat)
            self._now = surroundings.now
            backlog = Backlog(replace(work, pending=()), devices)
            replica = ReplicaRun(backlog, surroundings, self._line, on_processor=seat.on_processor)
            lane = Lane(seat)
            lane.start(backlog, replica.steps())
            self._lanes.append(lane)
            self._replicas.append(replica)

    def batches(self) -> Generator[Batch, None, None]:
        """Every record, those that came together at once. However this ends, the workers are stopped.

        Raises StorageError after what came before it, EnvironmentProblem, and KeyboardInterrupt after Ctrl-C: what was
        not answered by then has no record.
        """
        with interruptible() as interrupt:
            try:
                while self._is_going_on():
                    if records := self._step(interrupt):
                        yield tuple(records)
                    if self._error is not None:
                        raise self._error
                    if interrupt.requested:
                        raise KeyboardInterrupt
                if records := [*self._last_answers(), *self._end()]:
                    yield tuple(records)
                if self._error is not None:
                    raise self._error
            finally:
                for lane in self._lanes:
                    lane.close()

    def _is_going_on(self) -> bool:
        if self._lost() is not None:
            return False
        return self._begun_s is None or ((len(self._line) > 0 or self._is_open()) and self._clock() < self._ends_s())

    def _lost(self) -> Trouble | None:
        """Why nothing can be drawn: a worker that never was, as fewer would be another setting, or the end of all."""
        lost = [replica.lost for replica in self._replicas if replica.lost is not None]
        return lost[-1] if lost and (self._begun_s is None or len(lost) == len(self._replicas)) else None

    def _step(self, interrupt: Interrupt) -> list[Record]:
        """Let come who is due, hand over what can be, and wait where there was nothing to do."""
        if self._begun_s is None and all(lane.is_idle for lane in self._lanes):
            self._begun_s = self._clock()
        self._let_come()
        for lane in self._lanes:
            if lane.is_idle and self._line.waiting:
                lane.go_on()
        if not any(lane.is_ready for lane in self._lanes):
            self._wait(interrupt)
            for lane in self._lanes:
                lane.poll()
        return self._advance()

    def _advance(self) -> list[Record]:
        """Whoever can goes on, to the next order: no worker waits for the journal's disk."""
        records: list[Record] = []
        for lane in self._lanes:
            try:
                while lane.is_ready:
                    record = lane.advance()
                    records += [] if record is None else [record]
                    self._let_come()
            except Exception as error:
                self._error = self._error or error
        return records

    def _let_come(self) -> None:
        """Those whose instant has come, or in a closed loop as many as have been answered."""
        now_s = self._clock()
        while self._is_open():
            request, begun_s = self._queue[0], self._begun_s or 0.0
            intended_s = now_s if request.at_s is None else begun_s + request.at_s
            if intended_s > now_s or (request.at_s is None and len(self._line) >= self._group.concurrency):
                return
            self._queue.popleft()
            late_s = now_s - intended_s
            self._line.come(Arrival(request=request, intended_s=intended_s, started_utc=self._now(), late_s=late_s))

    def _is_open(self) -> bool:
        """Whether a request may still come, now or later."""
        if self._begun_s is None or not self._queue:
            return False
        # The last instants of an open loop lie before its end, and count if they are seen a little late.
        return self._traffic.is_open or self._clock() < self._begun_s + self._traffic.duration_s

    def _ends_s(self) -> float:
        """When whatever is unanswered is cut short."""
        return (self._begun_s or 0.0) + self._traffic.duration_s + self._traffic.drain_s

    def _wait(self, interrupt: Interrupt) -> None:
        """Until a worker has said something, somebody is due, the level ends, or Ctrl-C."""
        asks = [lane.asked for lane in self._lanes if lane.asked is not None]
        moments = [ask.worker.left_s() for ask in asks]
        if self._begun_s is not None:
            moments.append(self._ends_s() - self._clock())
            if self._is_open() and self._traffic.is_open:
                moments.append(self._begun_s + (self._queue[0].at_s or 0.0) - self._clock())
        self._seats.watch(asks)
        with selectors.EpollSelector() as selector:
            selector.register(self._seats, selectors.EVENT_READ)
            selector.register(interrupt, selectors.EVENT_READ)
            selector.select(max(0.0, min([LONGEST_WAIT_S, *moments])))

    def _last_answers(self) -> list[Record]:
        """What came in time while the journal was written: the clock has ended the level meanwhile."""
        if self._begun_s is None:
            return []
        for lane in self._lanes:
            lane.poll()
        return self._advance()

    def _end(self) -> list[Record]:
        """What became of those without an answer."""
        lost = self._lost()
        if self._begun_s is None and lost is not None:
            return list(self._none_came(lost))
        self._let_come()
        left = self._line.left()
        if lost is None:
            return [unanswered_sample(self._group, arrival, self._traffic.drain_s) for arrival in left]
        error = replace(lost.error, stage="queue", transient=False, message=f"no worker is left: {lost.error.message}")
        return [self._stranded(arrival, replace(lost, error=error)) for arrival in left]

    def _none_came(self, lost: Trouble) -> Iterator[Record]:
        """No worker, no load: every request fails without having been tried. Where the model could not be loaded, a
        resume tries all of it again."""
        error = replace(lost.error, transient=False)
        if error.stage not in NEVER_TRIED_STAGES:  # found dead before the others were ready
            error = replace(error, stage="load")
        if error.stage == "load":
            error = replace(error, type="load_failed", transient=True)
        for request in self._queue:
            yield failed_sample(self._group, request, 1, replace(lost, error=error, elapsed_s=0.0))

    def _stranded(self, arrival: Arrival, lost: Trouble) -> Record:
        since_s = max(0.0, self._clock() - arrival.intended_s)
        trouble = replace(lost, elapsed_s=since_s, started_utc=arrival.started_utc, delivery=None)
        return failed_sample(self._group, arrival.request, 1, trouble)

    @staticmethod
    def _clock() -> float:
        return time.perf_counter()
