"""One worker of a level of load at a local target: warmed up, then a batch at a time from the line that all share."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from kreabench.core.errors import StorageError
from kreabench.core.planned import Request
from kreabench.core.records import SHARED, Failure, FailureRecord, Record, SampleRecord
from kreabench.execution.backlog import Backlog
from kreabench.execution.engine import MAX_WORKER_DEATHS
from kreabench.execution.group_run import GroupRun, Surroundings
from kreabench.execution.messages import BatchDone, Done, GenerateBatch
from kreabench.execution.outcomes import Trouble, failed_sample, failure_cost, load_failure, warmup_record
from kreabench.execution.served import served_sample
from kreabench.execution.steps import End, Idle, Steps, WorkerHandle
from kreabench.execution.supervise import LONGEST_WAIT_S
from kreabench.execution.waiting_line import Arrival, WaitingLine


class ReplicaRun(GroupRun):
    """Draws what waits. Nothing is tried again, as that would be another load; a worker that is of no more use is
    replaced while the others go on, until two in a row have died without an answer. `steps` may be called once."""

    def __init__(self, backlog: Backlog, around: Surroundings, line: WaitingLine, *, on_processor: bool) -> None:
        """`backlog` has nothing waiting: it only knows what device draws the target."""
        super().__init__(backlog, around)
        (self._setting,) = backlog.group.settings
        self._line = line
        self._on_processor = on_processor
        self._deaths = 0
        """Workers that died since the last answer."""
        self._free_s: float | None = None
        """Since when the worker could have had another batch, by its own word; None where it has said nothing yet."""
        self.lost: Trouble | None = None
        """Why there will be no other worker; None while there is one, or will be."""

    def steps(self) -> Steps:
        """As of `GroupRun`, but it loads before anybody waits, and is idle once it is ready."""
        try:
            while self.lost is None:
                if self._worker is None:
                    yield from self._load()
                elif not self._line.waiting:
                    if isinstance((yield Idle()), End):
                        yield from self._release()
                        return
                elif self._worker.alive():
                    yield from self._next_batch(self._worker)
                else:
                    yield from self._found_dead(self._worker)
        finally:
            if self._worker is not None:
                self._worker.stop()

    def _limits_s(self) -> dict[str, float]:
        """No request has a limit of its own: the level has."""
        return {**super()._limits_s(), "generate": LONGEST_WAIT_S}

    def _load_failed(self, trouble: Trouble) -> Iterator[Record]:
        self._count(trouble, "load")
        yield load_failure(self._group, trouble, max(1, self._deaths))

    def _count(self, trouble: Trouble, stage: str) -> None:
        """A worker could not be made ready, or died."""
        self._deaths += trouble.died
        if not trouble.died or self._deaths >= MAX_WORKER_DEATHS:
            self.lost = replace(trouble, error=replace(trouble.error, stage=stage))

    def _warm_up(self, worker: WorkerHandle) -> Steps:
        """Every size that a batch can have: each may compile, and needs memory of its own."""
        self._free_s = None
        for size in range(1, self._setting.batch_size + 1):
            order = GenerateBatch(setting_id=self._setting.id, requests=self._first(size), store=False)
            for _ in range(self._group.warmup):
                answer = yield from self._ask(worker, order, "warmup")
                if isinstance(answer, Trouble):
                    yield from self._warmup_lost(answer, size)
                    return
                assert isinstance(answer, BatchDone)  # noqa: S101 - the only other answer to `GenerateBatch`
                self._free_s = answer.ended_s
                yield warmup_record(self._group, self._setting, _whole(answer), size)

    def _first(self, number: int) -> tuple[Request, ...]:
        """Requests of the level; some twice where it has too few."""
        requests = self._group.requests
        return tuple(requests[index % len(requests)] for index in range(number))

    def _warmup_lost(self, trouble: Trouble, size: int) -> Steps:
        self._count(trouble, "warmup")
        said = trouble.error.message if size == 1 else f"{trouble.error.message} (a batch of {size})"
        yield FailureRecord(
            group_id=self._group.id,
            setting_id=self._setting.id,
            request_id=None,
            attempt=max(1, self._deaths),
            started_utc=trouble.started_utc,
            error=replace(trouble.error, stage="warmup", message=said),
            cost=failure_cost(self._group.target, self._setting, trouble),
        )
        yield from self._release()

    def _next_batch(self, worker: WorkerHandle) -> Steps:
        arrivals = self._line.take(self._setting.batch_size)
        requests = tuple(arrival.request for arrival in arrivals)
        answer = yield from self._ask(worker, GenerateBatch(setting_id=self._setting.id, requests=requests), "generate")
        flags = (SHARED,) if self._line.settle(arrivals) and self._on_processor else ()
        if isinstance(answer, Trouble):
            self._free_s = None
            yield from self._batch_failed(arrivals, answer)
            return
        assert isinstance(answer, BatchDone)  # noqa: S101 - the only other answer to `GenerateBatch`
        self._deaths = 0
        free_s, self._free_s = self._free_s, answer.ended_s
        storage: Failure | None = None
        for number, arrival in enumerate(arrivals):
            sample = served_sample(self._group, arrival, answer, number, flags, free_s=free_s)
            yield sample
            if sample.error is not None and sample.error.type == "storage":
                storage = sample.error
        if storage is not None:
            raise StorageError(storage.message, remedy=storage.remedy)

    def _batch_failed(self, arrivals: Sequence[Arrival], trouble: Trouble) -> Steps:
        """Each of them has failed, whichever was to blame."""
        for arrival in arrivals:
            yield self._failed(arrival, trouble, len(arrivals))
        if trouble.died:
            self._count(trouble, "generate")
        else:
            self._deaths = 0
        if self.lost is not None:
            yield load_failure(self._group, trouble, self._deaths)
        if trouble.fatal or trouble.died:
            yield from self._release()

    def _failed(self, arrival: Arrival, trouble: Trouble, batch: int) -> SampleRecord:
        together = "" if batch == 1 else f" (in a batch of {batch})"
        error = replace(trouble.error, transient=False, message=f"{trouble.error.message}{together}")
        cost = failure_cost(self._group.target, self._setting, replace(trouble, elapsed_s=trouble.elapsed_s / batch))
        since_s = max(0.0, time.perf_counter() - arrival.intended_s)
        trouble = replace(trouble, error=error, elapsed_s=since_s, started_utc=arrival.started_utc)
        return failed_sample(self._group, arrival.request, 1, trouble, cost)

    def _found_dead(self, worker: WorkerHandle) -> Generator[Record, Any, None]:
        """It died with nothing in hand: nobody is blamed."""
        trouble = self._trouble_of_death(worker.bury(), "generate", self._around.now())
        self._worker = None
        self._count(trouble, "generate")
        yield load_failure(self._group, trouble, self._deaths)


def _whole(answer: BatchDone) -> Done:
    """A call as if one request had had all of it: a warm-up is nobody's part."""
    first = answer.deliveries[0]
    device, number = first.device, len(answer.deliveries)
    if device is not None and device.energy_j is not None:
        device = replace(device, energy_j=device.energy_j * number)
    return Done(started_utc=answer.started_utc, delivery=replace(first, device=device))
