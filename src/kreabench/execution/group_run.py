"""One worker and one load group of a local target: who is blamed for a failure, and what happens next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from kreabench.core.device_names import device_in_words
from kreabench.core.engine_spec import EngineSpec
from kreabench.core.errors import EnvironmentProblem, Problem, StorageError
from kreabench.core.planned import Request, Setting
from kreabench.core.records import Failure, FailureRecord, Record, SampleRecord
from kreabench.execution.backlog import Backlog
from kreabench.execution.engine import MAX_WORKER_DEATHS, Admit
from kreabench.execution.messages import (
    BatchDone,
    Close,
    Done,
    Failed,
    Generate,
    Opened,
    Order,
    Warmup,
    open_order,
)
from kreabench.execution.outcomes import (
    Trouble,
    delivered_sample,
    failed_sample,
    failure_cost,
    is_of_picture,
    load_failure,
    load_record,
    trouble_of_death,
    trouble_of_failed,
    warmup_record,
)
from kreabench.execution.steps import Ask, End, Idle, Steps, WorkerHandle
from kreabench.execution.supervise import CLOSE_GRACE_S, Death


class Beside(Protocol):
    """What goes on beside a hosted group: it becomes readable, or its time comes, when something is to be done."""

    def fileno(self) -> int: ...

    def patience_s(self) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a group's run needs from outside."""

    spec: EngineSpec
    run_path: Path
    admit: Admit
    launch: Callable[[], Any]
    log_name: str
    """The worker's log, relative to the run directory: for messages."""
    now: Callable[[], str]
    """UTC as records carry it; used where no worker can say when something began."""
    elsewhere: Callable[[Failure], bool] = lambda error: False
    """Asked when the model cannot be loaded or warmed up here: whether other workers go on with the group."""
    usable: Callable[[], bool] = lambda: True
    """Whether another worker can be launched in the place of one that died."""
    beside: Beside | None = None
    """What a hosted group is to give way to between two waits."""


class GroupRun:
    """Draws from a backlog with one worker and one request at a time. `steps` may be called once."""

    def __init__(self, backlog: Backlog, around: Surroundings) -> None:
        self._backlog = backlog
        self._group = backlog.group
        self._around = around
        self._settings = {setting.id: setting for setting in backlog.group.settings}
        self._warmup_deaths: Counter[str] = Counter()
        """Setting id → workers that died of its warm-up here, one after the other."""
        self._idle_deaths = 0
        """Workers found dead while idle since the last answer to a request."""
        self._worker: WorkerHandle | None = None
        self._over = False
        """Whether this worker's place is of no use to the group, though others may go on with it."""

    def steps(self) -> Steps:
        """Every record as it happens, before anything that takes time. However this ends, the worker is stopped."""
        try:
            while not self._over and self._around.usable():
                if not self._backlog.queue:
                    if isinstance((yield Idle()), End):
                        yield from self._release()
                        return
                elif self._worker is None:
                    yield from self._load()
                elif self._worker.alive():
                    yield from self._next_request(self._worker)
                else:
                    yield from self._found_dead(self._worker)
        finally:
            if self._worker is not None:
                self._worker.stop()

    def _release(self) -> Steps:
        """Let the worker go, without holding up the others."""
        worker, self._worker = self._worker, None
        if worker is not None:
            try:
                yield Ask(worker=worker, order=Close(), limit_s=CLOSE_GRACE_S)
            finally:
                worker.stop()

    def _load(self) -> Steps:
        group = self._group
        began_s = time.monotonic()
        self._worker = worker = self._around.launch()
        answer = yield from self._ask(worker, open_order(group, self._around.run_path), "load")
        if isinstance(answer, Trouble):
            yield from self._load_failed(answer)
            yield from self._release()
            return
        assert isinstance(answer, Opened)  # noqa: S101 - the only other answer to `Open`
        self._check_device(answer)
        self._backlog.load_deaths = 0
        if answer.started_utc not in self._backlog.loads:  # else it is one of before a resume, kept loaded
            yield load_record(group, answer)
        yield from self._warm_up(worker)
        self._backlog.load_s = max(time.monotonic() - began_s, answer.load_s)

    def _check_device(self, answer: Opened) -> None:
        """Raises EnvironmentProblem where another kind of device drew the target before."""
        name, device = self._group.target.name, device_in_words(answer.identity)
        before = self._backlog.devices.setdefault(name, device)
        if before != device:
            expected = f"{before}, which drew the rest of the run: no median is of two kinds of device"
            remedy = (
                "Go on where there is such a device (engine.devices, engine.accelerator_type), or start another run "
                "here with another name=…"
            )
            raise EnvironmentProblem([Problem(key=f"device of {name}", found=device, expected=expected, remedy=remedy)])

    def _load_failed(self, trouble: Trouble) -> Iterator[Record]:
        self._backlog.load_deaths += trouble.died
        yield load_failure(self._group, trouble, max(1, self._backlog.load_deaths))
        if not trouble.died or self._backlog.load_deaths >= MAX_WORKER_DEATHS:
            if self._around.elsewhere(trouble.error):
                self._over = True
                return
            error = replace(trouble.error, type="load_failed", stage="load", transient=True)
            yield from self._fail_all(replace(trouble, error=error))

    def give_up(self, error: Failure) -> Iterator[Record]:
        """Nothing can be loaded: say so, and fail every request that is left so that a later resume tries it again."""
        yield from self._load_failed(Trouble(error=error, started_utc=self._around.now(), elapsed_s=0.0, died=False))

    def _warm_up(self, worker: WorkerHandle) -> Steps:
        """Warm up every setting that still has requests; ends early when the worker has to be replaced."""
        for setting in self._group.settings:
            for request in [request for request in self._backlog.queue if request.setting_id == setting.id]:
                if not (yield from self._warm_up_with(worker, setting, request)):
                    break
            if self._worker is None:
                return

    def _warm_up_with(
        self, worker: WorkerHandle, setting: Setting, request: Request
    ) -> Generator[Record | Ask | Idle, Any, bool]:
        """Returns whether another request has to do, as this one's own input picture cannot be used."""
        for _ in range(self._group.warmup):
            self._around.admit(self._group, None)
            answer = yield from self._ask(worker, Warmup(setting_id=setting.id, request=request), "warmup")
            if isinstance(answer, Trouble) and is_of_picture(answer):
                if request in self._backlog.queue:  # else another worker has found the same
                    self._backlog.queue.remove(request)
                    yield failed_sample(self._group, request, self._backlog.attempt(request), answer)
                return True
            if isinstance(answer, Trouble):
                yield from self._warmup_failed(setting, answer)
                return False
            assert isinstance(answer, Done)  # noqa: S101 - the only other answer to `Warmup`
            yield warmup_record(self._group, setting, answer)
        del self._warmup_deaths[setting.id]
        self._backlog.warmed.add(setting.id)
        return False

    def _warmup_failed(self, setting: Setting, trouble: Trouble) -> Steps:
        self._warmup_deaths[setting.id] += trouble.died
        deaths = self._warmup_deaths[setting.id]
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
        if final and self._blames_place(setting, trouble) and self._around.elsewhere(trouble.error):
            self._over = True
        elif final:
            yield from self._fail_all(replace(trouble, error=error, delivery=None), setting.id)
        if trouble.fatal or self._over:
            yield from self._release()

    def _blames_place(self, setting: Setting, trouble: Trouble) -> bool:
        """Whether somewhere else a setting may do that cannot be warmed up here: it did, or workers died of it, which
        may be the place's fault until a second place says the same. A worker that only refuses is believed at once."""
        first = trouble.died and setting.id not in self._backlog.doubted
        self._backlog.doubted.add(setting.id)
        return setting.id in self._backlog.warmed or first

    def _next_request(self, worker: WorkerHandle) -> Steps:
        backlog = self._backlog
        self._around.admit(self._group, backlog.queue[0])
        request, began_s = backlog.take(), time.monotonic()
        answer = yield from self._ask(worker, Generate(setting_id=request.setting_id, request=request), "generate")
        if isinstance(answer, Trouble) and answer.died:
            yield self._died(request, answer)
            if answer.fatal:
                yield from self._release()
            return
        self._idle_deaths = 0
        attempt = backlog.attempt(request)
        backlog.settle(request)
        if isinstance(answer, Trouble):
            cost = failure_cost(self._group.target, self._settings[request.setting_id], answer)
            yield failed_sample(self._group, request, attempt, answer, cost)
            if answer.error.type == "storage":
                # Every further picture would be drawn, and perhaps paid for, only to be lost.
                raise StorageError(answer.error.message, remedy=answer.error.remedy)
            if answer.fatal:
                yield from self._release()
            return
        assert isinstance(answer, Done)  # noqa: S101 - the only other answer to `Generate`
        if not answer.delivery.timings.first_call:  # which says little about the next ones
            backlog.drew(time.monotonic() - began_s)
        yield delivered_sample(self._group, request, attempt, answer)

    def _died(self, request: Request, trouble: Trouble) -> Record:
        """Blame the request: it is tried once more, at once, in a fresh worker; then it has failed for good."""
        attempt = self._backlog.attempt(request)
        final = self._backlog.died(request)
        trouble = replace(trouble, error=replace(trouble.error, transient=not final))
        cost = failure_cost(self._group.target, self._settings[request.setting_id], trouble)
        if final:
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

    def _found_dead(self, worker: WorkerHandle) -> Iterator[Record]:
        """An idle worker died. Nobody is blamed the first time; without an answer since, the next request is.

        Otherwise a worker that dies after each load would be started for ever.
        """
        death = worker.bury()
        self._worker = None
        self._idle_deaths += 1
        if self._idle_deaths >= MAX_WORKER_DEATHS:
            yield self._died(self._backlog.take(), self._trouble_of_death(death, "generate", self._around.now()))

    def _fail_all(self, trouble: Trouble, setting_id: str | None = None) -> Iterator[SampleRecord]:
        """Every request that waits, or every one of a setting, fails without having been tried."""
        for request in self._backlog.take_all(setting_id):
            yield failed_sample(self._group, request, self._backlog.attempt(request), trouble)

    def _ask(
        self, worker: WorkerHandle, order: Order, stage: str
    ) -> Generator[Record | Ask | Idle, Any, Opened | Done | BatchDone | Trouble]:
        """Send an order and wait. A worker that died is let go of; one with a fatal failure is the caller's to drop."""
        limits = self._limits_s()
        started_utc = self._around.now()
        answer = yield Ask(worker=worker, order=order, limit_s=limits[stage])
        if isinstance(answer, Death):
            self._worker = None
            return self._trouble_of_death(answer, stage, started_utc)
        if isinstance(answer, Failed):
            return trouble_of_failed(answer)
        assert isinstance(answer, Opened | Done | BatchDone)  # noqa: S101 - the others are about hosted requests
        return answer

    def _limits_s(self) -> dict[str, float]:
        """Stage → seconds that an order of it may take."""
        spec = self._around.spec
        return {"load": spec.load_timeout_s, "warmup": spec.warmup_timeout_s, "generate": spec.sample_timeout_s}

    def _trouble_of_death(self, death: Death, stage: str, started_utc: str) -> Trouble:
        key = {"load": "load_timeout_s", "warmup": "warmup_timeout_s", "generate": "sample_timeout_s"}[stage]
        return trouble_of_death(
            death, stage=stage, limit_key=f"engine.{key}", log_name=self._around.log_name, started_utc=started_utc
        )
