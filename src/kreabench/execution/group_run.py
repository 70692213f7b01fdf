"""One load group of a local target: who is blamed for a failure, and what happens next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from kreabench.core.errors import StorageError
from kreabench.core.planned import Request, Setting
from kreabench.core.records import Failure, FailureRecord, LoadRecord, Record, SampleRecord
from kreabench.core.specs import EngineSpec
from kreabench.execution.engine import MAX_WORKER_DEATHS, Admit, GroupWork
from kreabench.execution.messages import Done, Failed, Generate, Open, Opened, Order, Warmup
from kreabench.execution.outcomes import (
    Trouble,
    delivered_sample,
    failed_sample,
    failure_cost,
    trouble_of_death,
    trouble_of_failed,
    warmup_record,
)
from kreabench.execution.supervise import Death, WorkerProcess


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a group's run needs from outside."""

    spec: EngineSpec
    run_path: Path
    admit: Admit
    launch: Callable[[], WorkerProcess]
    log_name: str
    """The worker's log, relative to the run directory: for messages."""
    now: Callable[[], str]
    """UTC as records carry it; used where no worker can say when something began."""


class GroupRun:
    """Runs one load group with one worker and one request at a time. `batches` may be called once."""

    def __init__(self, work: GroupWork, around: Surroundings) -> None:
        self._group = work.group
        self._around = around
        self._settings = {setting.id: setting for setting in work.group.settings}
        self._queue = deque(work.pending)
        self._deaths = dict(work.deaths)
        """Request id → workers that died with it in hand."""
        self._tries = dict(work.tries)
        """Request id → attempts that have ended."""
        self._load_deaths = 0
        self._warmup_deaths: dict[str, int] = {}
        self._idle_deaths = 0
        """Workers found dead while idle since the last answer to a request."""
        self._worker: WorkerProcess | None = None

    def batches(self) -> Iterator[tuple[Record, ...]]:
        """Every record as it happens, before anything that takes time. However this ends, the worker is stopped."""
        # Closed also when the caller throws something in: a traceback that somebody keeps would keep the worker alive.
        with closing(self._records()) as records:
            for record in records:
                yield (record,)

    def give_up(self, error: Failure) -> Iterator[tuple[Record, ...]]:
        """Nothing can be loaded: say so, and fail every request that is left so that a later resume tries it again."""
        trouble = Trouble(error=error, started_utc=self._around.now(), elapsed_s=0.0, died=False)
        for record in self._load_failed(trouble):
            yield (record,)

    def _records(self) -> Generator[Record, None, None]:
        try:
            while self._queue:
                if self._worker is None:
                    yield from self._load()
                elif self._worker.alive():
                    yield from self._next_request(self._worker)
                else:
                    yield from self._found_dead(self._worker)
        finally:
            self._drop_worker()

    def _load(self) -> Iterator[Record]:
        group = self._group
        self._worker = worker = self._around.launch()
        order = Open(
            target=group.target,
            accelerations=group.accelerations,
            settings=group.settings,
            run_path=str(self._around.run_path),
        )
        answer = self._ask(worker, order, "load")
        if isinstance(answer, Trouble):
            yield from self._load_failed(answer)
            self._drop_worker()
            return
        assert isinstance(answer, Opened)  # noqa: S101 - the only other answer to `Open`
        self._load_deaths = 0
        yield LoadRecord(
            group_id=group.id,
            target=group.target.name,
            started_utc=answer.started_utc,
            load_s=answer.load_s,
            identity=answer.identity,
            calibration=answer.calibration,
        )
        yield from self._warm_up(worker)

    def _load_failed(self, trouble: Trouble) -> Iterator[Record]:
        self._load_deaths += trouble.died
        yield FailureRecord(
            group_id=self._group.id,
            setting_id=None,
            request_id=None,
            attempt=max(1, self._load_deaths),
            started_utc=trouble.started_utc,
            error=replace(trouble.error, stage="load"),
        )
        if not trouble.died or self._load_deaths >= MAX_WORKER_DEATHS:
            error = replace(trouble.error, type="load_failed", stage="load", transient=True)
            yield from self._fail_all(replace(trouble, error=error))

    def _warm_up(self, worker: WorkerProcess) -> Iterator[Record]:
        """Warm up every setting that still has requests; ends early when the worker has to be replaced."""
        for setting in self._group.settings:
            for request in [request for request in self._queue if request.setting_id == setting.id]:
                if not (yield from self._warm_up_with(worker, setting, request)):
                    break
            if self._worker is None:
                return

    def _warm_up_with(self, worker: WorkerProcess, setting: Setting, request: Request) -> Generator[Record, None, bool]:
        """Returns whether another request has to do, as this one's own input picture cannot be used."""
        for _ in range(self._group.warmup):
            self._around.admit(self._group, None)
            answer = self._ask(worker, Warmup(setting_id=setting.id, request=request), "warmup")
            if isinstance(answer, Trouble) and _is_of_picture(answer):
                self._queue.remove(request)
                yield failed_sample(self._group, request, self._attempt(request), answer)
                return True
            if isinstance(answer, Trouble):
                yield from self._warmup_failed(setting, answer)
                return False
            assert isinstance(answer, Done)  # noqa: S101 - the only other answer to `Warmup`
            yield warmup_record(self._group, setting, answer)
        self._warmup_deaths.pop(setting.id, None)
        return False

    def _warmup_failed(self, setting: Setting, trouble: Trouble) -> Iterator[Record]:
        deaths = self._warmup_deaths.get(setting.id, 0) + trouble.died
        self._warmup_deaths[setting.id] = deaths
        final = not trouble.died or deaths >= MAX_WORKER_DEATHS
        error = replace(
            trouble.error, stage="warmup", transient=trouble.error.transient and not (trouble.died and final)
        )
        yield FailureRecord(
            group_id=self._group.id,
            setting_id=setting.id,
            request_id=None,
            attempt=max(1, deaths),
            started_utc=trouble.started_utc,
            error=error,
            cost=failure_cost(self._group.target, setting, trouble),
        )
        if final:
            yield from self._fail_all(replace(trouble, error=error, delivery=None), setting)
        if trouble.fatal:
            self._drop_worker()

    def _next_request(self, worker: WorkerProcess) -> Iterator[Record]:
        request = self._queue[0]
        self._around.admit(self._group, request)
        answer = self._ask(worker, Generate(setting_id=request.setting_id, request=request), "generate")
        if isinstance(answer, Trouble) and answer.died:
            yield self._died(request, answer)
            if answer.fatal:
                self._drop_worker()
            return
        self._idle_deaths = 0
        self._queue.popleft()
        attempt = self._attempt(request)
        if isinstance(answer, Trouble):
            cost = failure_cost(self._group.target, self._settings[request.setting_id], answer)
            yield failed_sample(self._group, request, attempt, answer, cost)
            if answer.error.type == "storage":
                # Every further picture would be drawn, and perhaps paid for, only to be lost.
                raise StorageError(answer.error.message, remedy=answer.error.remedy)
            if answer.fatal:
                self._drop_worker()
            return
        assert isinstance(answer, Done)  # noqa: S101 - the only other answer to `Generate`
        yield delivered_sample(self._group, request, attempt, answer)

    def _died(self, request: Request, trouble: Trouble) -> Record:
        """Blame the request: it is tried once more, at once, in a fresh worker; then it has failed for good."""
        attempt = self._attempt(request)
        self._tries[request.id] = attempt
        self._deaths[request.id] = self._deaths.get(request.id, 0) + 1
        final = self._deaths[request.id] >= MAX_WORKER_DEATHS
        trouble = replace(trouble, error=replace(trouble.error, transient=not final))
        cost = failure_cost(self._group.target, self._settings[request.setting_id], trouble)
        if final:
            self._queue.popleft()
            return failed_sample(self._group, request, attempt, trouble, cost)
        return FailureRecord(
            group_id=self._group.id,
            setting_id=request.setting_id,
            request_id=request.id,
            attempt=attempt,
            started_utc=trouble.started_utc,
            error=trouble.error,
            cost=cost,
        )

    def _found_dead(self, worker: WorkerProcess) -> Iterator[Record]:
        """An idle worker died. Nobody is blamed the first time; without an answer since, the next request is.

        Otherwise a worker that dies after each load would be started for ever.
        """
        death = worker.bury()
        self._worker = None
        self._idle_deaths += 1
        if self._idle_deaths >= MAX_WORKER_DEATHS:
            yield self._died(self._queue[0], self._trouble_of_death(death, "generate", self._around.now()))

    def _fail_all(self, trouble: Trouble, setting: Setting | None = None) -> Iterator[SampleRecord]:
        """Every request that is left, or every one of `setting`, fails without having been tried."""
        failed = [request for request in self._queue if setting is None or request.setting_id == setting.id]
        self._queue = deque(request for request in self._queue if setting and request.setting_id != setting.id)
        for request in failed:
            yield failed_sample(self._group, request, self._attempt(request), trouble)

    def _attempt(self, request: Request) -> int:
        return self._tries.get(request.id, 0) + 1

    def _ask(self, worker: WorkerProcess, order: Order, stage: str) -> Opened | Done | Trouble:
        """Send an order and wait. A worker that died is let go of; one with a fatal failure is the caller's to drop."""
        spec = self._around.spec
        limits = {"load": spec.load_timeout_s, "warmup": spec.warmup_timeout_s, "generate": spec.sample_timeout_s}
        started_utc = self._around.now()
        answer = worker.ask(order, limits[stage])
        if isinstance(answer, Death):
            self._worker = None
            return self._trouble_of_death(answer, stage, started_utc)
        if isinstance(answer, Failed):
            return trouble_of_failed(answer)
        assert isinstance(answer, Opened | Done)  # noqa: S101 - the others are about hosted requests
        return answer

    def _trouble_of_death(self, death: Death, stage: str, started_utc: str) -> Trouble:
        key = {"load": "load_timeout_s", "warmup": "warmup_timeout_s", "generate": "sample_timeout_s"}[stage]
        return trouble_of_death(
            death, stage=stage, limit_key=f"engine.{key}", log_name=self._around.log_name, started_utc=started_utc
        )

    def _drop_worker(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            worker.stop()


def _is_of_picture(trouble: Trouble) -> bool:
    """The request's input picture is gone or damaged: its failure, not that of the setting it was to warm up."""
    error = trouble.error
    return not trouble.died and error.stage == "encode_image" and error.type in {"invalid_request", "bad_image"}
