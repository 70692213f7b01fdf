"""The queue and the runners: which job starts when and where. One event loop, no threads, no polling."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from kreabench.emulator.faults import BEFORE_WORK
from kreabench.emulator.jobs import Delivered, Job, Moment, Outcome, Refused, client_cancelled, start_timeout

KEPT_RESULTS = 4096
KEPT_BYTES = 256 * 2**20
MAX_QUEUED = 1000
UNSTORED_S, UNSTORED_LARGE_S, LARGE_BYTES = 3600.0, 360.0, 10_000
"""How long results live that the client asked not to store, and those of `LARGE_BYTES` or more."""

Work = Callable[[Job], Awaitable[Outcome | None]]
"""Carries out a job that has started; None where its runner was lost and it goes back into the queue."""


@dataclass(kw_only=True, eq=False)
class Runner:
    """A machine that works on one job at a time."""

    name: str = field(default_factory=lambda: f"emulated-runner-{uuid.uuid4().hex[:12]}")
    warm: bool = False
    busy: bool = False


class QueueFull(Exception):
    """No further job is taken; memory stays bounded."""


class Dispatcher:
    """All jobs that are known. Used from one event loop."""

    def __init__(
        self,
        work: Work,
        *,
        runners: int = 1,
        concurrency: int | None = None,
        cold_start_s: float = 0.0,
        on_finish: Callable[[Job], None] = lambda _: None,
        on_forget: Callable[[Job], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._runners: Sequence[Runner] = [Runner(warm=cold_start_s <= 0) for _ in range(runners)]
        self._limit = runners if concurrency is None else min(runners, concurrency)
        self._concurrency = concurrency
        self._cold_start_s = cold_start_s
        self._on_finish = on_finish
        self._on_forget = on_forget
        self._clock = clock
        self._waiting: list[Job] = []
        self._jobs: dict[str, Job] = {}
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._kept_bytes = 0
        self._hints: dict[str, Runner] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pump_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def submit(self, job: Job) -> None:
        """Put `job` at the end of its priority. Raises QueueFull."""
        if len(self._waiting) >= MAX_QUEUED:
            raise QueueFull
        self._jobs[job.id] = job
        self._enqueue(job)
        if job.asked.start_timeout_s is not None:
            delay_s = job.accepted.monotonic_s + job.asked.start_timeout_s - time.monotonic()
            self._timers[job.id] = asyncio.get_running_loop().call_later(delay_s, self._expire, job)
        self._pump()

    def find(self, job_id: str) -> Job | None:
        """The job, unless it never was or its result is no longer kept."""
        job = self._jobs.get(job_id)
        if job is not None and self._gone(job):
            self._forget(job.id)
            return None
        return job

    def jobs(self) -> tuple[Job, ...]:
        """Every job that is still known, in order of submission."""
        return tuple(self._jobs.values())

    def position(self, job: Job) -> int:
        """How many jobs wait before it."""
        return self._waiting.index(job) if job in self._waiting else 0

    def in_progress(self) -> int:
        """Jobs that a runner has."""
        return sum(runner.busy for runner in self._runners)

    def unfinished(self) -> int:
        """Jobs that wait or run."""
        return len(self._waiting) + self.in_progress()

    def at_limit(self) -> bool:
        """Whether a direct call would pass the account's limit."""
        return self._concurrency is not None and self.in_progress() >= self._concurrency

    def cancel(self, job: Job) -> bool:
        """Take `job` out of the queue, or have its result thrown away. False when it is already completed."""
        if job.state == "COMPLETED":
            return False
        job.cancelled.set()
        if job.state == "IN_QUEUE":
            self.finish(job, client_cancelled())
        return True

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Record the outcome; from here on the client sees it. Old results beyond the bounds are forgotten."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._tell_waiting()
        if (timer := self._timers.pop(job.id, None)) is not None:
            timer.cancel()
        job.outcome = outcome
        job.finished = Moment.now()
        job.move("COMPLETED")
        job.done.set()
        self._on_finish(job)
        self._kept[job.id] = job.size_bytes
        self._kept_bytes += job.size_bytes
        while len(self._kept) > KEPT_RESULTS or (len(self._kept) > 1 and self._kept_bytes > KEPT_BYTES):
            self._forget(next(iter(self._kept)))

    async def close(self) -> None:
        """Cut short what is running, which stays unfinished, and start nothing more."""
        self._closed = True
        for timer in [*self._timers.values(), *([self._pump_timer] if self._pump_timer else [])]:
            timer.cancel()
        for job in self._jobs.values():
            job.tell()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enqueue(self, job: Job, *, first: bool = False) -> None:
        same_or_before = (
            [] if first else [other for other in self._waiting if other.asked.low_priority <= job.asked.low_priority]
        )
        self._waiting.insert(len(same_or_before), job)

    def _pump(self) -> None:
        """Start whatever may start now, and wake up again when the next job has waited its time."""
        if self._closed:
            return
        now, next_s, moved = time.monotonic(), math.inf, False
        for job in list(self._waiting):
            if self.in_progress() >= self._limit:
                break
            ready_s = job.accepted.monotonic_s + job.queue_s
            runner = self._free_runner(job) if ready_s <= now else None
            if ready_s > now:
                next_s = min(next_s, ready_s)
            elif runner is not None:
                self._waiting.remove(job)
                moved = runner.busy = True
                task = asyncio.create_task(self._carry_out(job, runner))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if moved:
            self._tell_waiting()
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        if next_s < math.inf:
            self._pump_timer = asyncio.get_running_loop().call_later(max(0.0, next_s - now), self._pump)

    def _free_runner(self, job: Job) -> Runner | None:
        hinted = self._hints.get(job.asked.hint or "")
        if hinted is not None and not hinted.busy and not job.runners:
            return hinted
        leave = job.runner if len(self._runners) > 1 and not job.asked.disable_fallback else None
        free = [runner for runner in self._runners if not runner.busy and runner.name != leave]
        return next((runner for runner in free if runner.warm), free[0] if free else None)

    async def _carry_out(self, job: Job, runner: Runner) -> None:
        try:
            if not runner.warm:
                await asyncio.sleep(self._cold_start_s)
                runner.warm = True
            if job.state != "IN_QUEUE":  # cancelled or expired while the runner loaded
                return
            if job.fault in BEFORE_WORK:
                self.finish(job, _refused(*BEFORE_WORK[job.fault]))
                return
            self._start(job, runner)
            outcome = await self._unless_cancelled(job)
            if outcome is not None:
                self.finish(job, outcome)
            else:
                self._enqueue(job, first=True)
                job.started = None
                job.move("IN_QUEUE")
        finally:
            runner.busy = False
            self._pump()

    def _start(self, job: Job, runner: Runner) -> None:
        if (timer := self._timers.pop(job.id, None)) is not None:
            timer.cancel()
        if job.asked.hint is not None:
            self._hints[job.asked.hint] = runner
        job.runners.append(runner.name)
        job.started = Moment.now()
        job.move("IN_PROGRESS")

    async def _unless_cancelled(self, job: Job) -> Outcome | None:
        work = asyncio.ensure_future(self._work(job))
        stop = asyncio.ensure_future(job.cancelled.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else client_cancelled()
        finally:
            for task in (work, stop):
                task.cancel()

    def _expire(self, job: Job) -> None:
        self._timers.pop(job.id, None)
        if job.state == "IN_QUEUE":
            self.finish(job, start_timeout())

    def _tell_waiting(self) -> None:
        for job in self._waiting:
            job.tell()

    def _gone(self, job: Job) -> bool:
        if job.asked.store or job.finished is None:
            return False
        inside = isinstance(job.outcome, Delivered) and job.outcome.wanted.sync_mode
        large = inside and job.size_bytes >= LARGE_BYTES  # the pictures are inside the result then
        return self._clock() - job.finished.monotonic_s > (UNSTORED_LARGE_S if large else UNSTORED_S)

    def _forget(self, job_id: str) -> None:
        self._kept_bytes -= self._kept.pop(job_id, 0)
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._on_forget(job)


def _refused(status_code: int, error_type: str, detail: str) -> Refused:
    return Refused(status_code=status_code, body={"detail": detail}, error_type=error_type)
