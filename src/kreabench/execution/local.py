"""The engine for one machine: workers in processes of their own, one after the other or one a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.errors import ConfigError, EnvironmentProblem, Problem
from kreabench.core.records import Failure, Record
from kreabench.core.specs import TargetSpec
from kreabench.core.traffic import TrafficSpec
from kreabench.execution.backlog import Backlog
from kreabench.execution.beside import run_beside, side_by_side
from kreabench.execution.clock import utc_now
from kreabench.execution.engine import Admit, GroupWork
from kreabench.execution.group_run import Beside, GroupRun, Surroundings
from kreabench.execution.hosted_run import HostedGroupRun
from kreabench.execution.local_seats import LocalSeats, check_devices
from kreabench.execution.local_traffic import LocalTrafficRun
from kreabench.execution.pool import LOGS_FOLDER, Pool, seat_surroundings
from kreabench.execution.seats import Seat, Seats
from kreabench.execution.services import start_service
from kreabench.execution.supervise import WorkerProcess
from kreabench.execution.traffic_run import TrafficRun

Batch = tuple[Record, ...]


class LocalEngine:
    """Runs load groups: local ones on each device one request at a time, hosted ones several requests at once.

    See `execution.engine.Engine`.

    Workers die with the thread that iterates, so iterate in a thread that lives as long as the run.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], str] = utc_now,
        processors: int | None = None,
    ) -> None:
        """`environ` is what workers see, besides what their target's service and their device add; `now` is UTC as
        records carry it; `processors` how many this machine has (None: look)."""
        self._spec = spec
        self._environ = environ
        self._now = now
        self._processors = processors

    def run(self, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Generator[Batch, None, None]:
        """Yield every record as it happens. Closing the iterator, or any exception, stops workers and services first.

        Raises what `admit` raises, ConfigError for devices that do not fit, StorageError once the disk refuses
        pictures or logs, and EnvironmentProblem where no process can be started at all.
        """
        self._check([one.group.target for one in work if one.pending])
        run_path = run_path.resolve()
        pending = [one for one in work if one.pending]
        self._check_replicas(pending)
        beside, pending = side_by_side(self._spec, pending, self._processors)
        if beside:
            yield from self._run_beside(beside, run_path, admit)
        for alone, stretch in groupby(pending, key=_is_alone):
            if alone:
                for one in stretch:
                    yield from self._run_alone(one, run_path, admit)
            else:
                yield from self._run_on_devices(list(stretch), run_path, admit, self._environ)

    def _check(self, targets: Sequence[TargetSpec]) -> None:
        """Raises ConfigError for targets that cannot be drawn where the engine draws."""
        check_devices(self._spec.devices, targets)

    def _check_replicas(self, work: Sequence[GroupWork]) -> None:
        """Raises ConfigError where levels of load that are left were planned for other workers than there are."""
        workers = max(1, len(self._spec.devices)) if self._spec.kind == "local" else 0
        planned = {one.group.traffic.replicas for one in work if _is_local_level(one) and one.group.traffic}
        for number in planned - {workers}:
            found = f"workers: {workers}" if workers else f"engine={self._spec.kind}"
            expected = f"engine=local with as many workers as these levels of load were planned for: {number}"
            remedy = "Another number is another setting: start a run of its own for it, with another name=…"
            raise ConfigError([Problem(key="engine.devices", found=found, expected=expected, remedy=remedy)])

    def _open_seats(self, work: Sequence[GroupWork], run_path: Path, environ: Mapping[str, str]) -> Seats:
        """Where `work` is drawn."""
        return LocalSeats(self._spec.devices, environ, WorkerProcess)

    def _run_on_devices(
        self, work: Sequence[GroupWork], run_path: Path, admit: Admit, environ: Mapping[str, str]
    ) -> Iterator[Batch]:
        with (
            closing(self._open_seats(work, run_path, environ)) as seats,
            closing(Pool(work, seats, self._spec, run_path, admit, self._now)) as pool,
        ):
            yield from pool.batches()

    def _run_beside(self, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Iterator[Batch]:
        """Hosted targets, one after the other, and meanwhile the others."""
        hosted = [one for one in work if one.group.target.hosted]
        others = [one for one in work if not one.group.target.hosted]
        with (
            closing(self._open_seats(others, run_path, self._environ)) as seats,
            closing(Pool(others, seats, self._spec, run_path, admit, self._now)) as pool,
        ):
            runs = [HostedGroupRun(one, self._around(one, run_path, admit, self._environ, pool)) for one in hosted]
            yield from run_beside(pool, runs)

    def _run_alone(self, work: GroupWork, run_path: Path, admit: Admit) -> Iterator[Batch]:
        """A hosted target, or one that needs a service of ours beside it."""
        group = work.group
        environ = dict(self._environ)
        with ExitStack() as services:
            if group.target.service is not None:
                log_path = run_path / LOGS_FOLDER / f"service-{group.id}.log"
                try:
                    environ.update(services.enter_context(start_service(group.target.service, log_path)))
                except EnvironmentProblem as problem:
                    # The other groups do not need this service.
                    yield from self._give_up(work, run_path, admit, _service_failure(problem))
                    return
            if group.target.hosted:
                around = self._around(work, run_path, admit, environ)
                yield from _hosted_run(work, around).batches()
            elif group.traffic is not None:
                yield from self._run_level(work, group.traffic, run_path, admit, environ)
            else:
                yield from self._run_on_devices([work], run_path, admit, environ)

    def _run_level(
        self, work: GroupWork, traffic: TrafficSpec, run_path: Path, admit: Admit, environ: Mapping[str, str]
    ) -> Iterator[Batch]:
        """One level of load at a local target."""

        def around(seat: Seat) -> Surroundings:
            return seat_surroundings(seat, work.group, self._spec, run_path, admit, self._now)

        with closing(self._open_seats([work], run_path, environ)) as seats:
            yield from LocalTrafficRun(work, traffic, seats, around).batches()

    def _around(
        self,
        work: GroupWork,
        run_path: Path,
        admit: Admit,
        environ: Mapping[str, str],
        beside: Beside | None = None,
    ) -> Surroundings:
        """Of a group with a worker of its own, on this machine."""
        group = work.group
        log_name = f"{LOGS_FOLDER}/worker-{group.id}.log"

        def launch() -> WorkerProcess:
            label = f"{self._now()} {group.target.name}"
            return WorkerProcess(log_path=run_path / log_name, environ=environ, label=label)

        return Surroundings(
            spec=self._spec,
            run_path=run_path,
            admit=admit,
            launch=launch,
            log_name=log_name,
            now=self._now,
            beside=beside,
        )

    def _give_up(self, work: GroupWork, run_path: Path, admit: Admit, failure: Failure) -> Iterator[Batch]:
        around = self._around(work, run_path, admit, self._environ)
        if work.group.target.hosted:
            yield from _hosted_run(work, around).give_up(failure)
        else:
            for record in GroupRun(Backlog(work), around).give_up(failure):
                yield (record,)


def _is_alone(work: GroupWork) -> bool:
    """Whether nothing else is drawn meanwhile."""
    target = work.group.target
    return target.hosted or target.service is not None or work.group.traffic is not None


def _is_local_level(work: GroupWork) -> bool:
    return work.group.traffic is not None and not work.group.target.hosted


def _hosted_run(work: GroupWork, around: Surroundings) -> HostedGroupRun:
    # A level of load that was cut short is not gone on with: only what is open at the service is fetched.
    if work.group.traffic is None or work.submitted:
        return HostedGroupRun(work, around)
    return TrafficRun(work, around, work.group.traffic)


def _service_failure(problem: EnvironmentProblem) -> Failure:
    return Failure(type="load_failed", stage="load", message=problem.message, remedy=problem.remedy, transient=True)
