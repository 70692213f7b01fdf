"""The engine for one machine: load groups one after the other, each in a worker process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.errors import EnvironmentProblem
from kreabench.core.records import Failure, Record
from kreabench.execution.clock import utc_now
from kreabench.execution.engine import Admit, GroupWork
from kreabench.execution.group_run import GroupRun, Surroundings
from kreabench.execution.hosted_run import HostedGroupRun
from kreabench.execution.services import start_service
from kreabench.execution.supervise import WorkerProcess

LOGS_FOLDER = "logs"


class LocalEngine:
    """Runs load groups one after the other: local ones one request at a time, hosted ones several at once.

    See `execution.engine.Engine`.

    Workers die with the thread that iterates, so iterate in a thread that lives as long as the run.
    """

    def __init__(
        self, spec: EngineSpec, *, environ: Mapping[str, str] = os.environ, now: Callable[[], str] = utc_now
    ) -> None:
        """`environ` is what workers see, besides what their target's service adds; `now` is UTC as records carry it."""
        self._spec = spec
        self._environ = environ
        self._now = now

    def run(self, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Generator[tuple[Record, ...], None, None]:
        """Yield every record as it happens. Closing the iterator, or any exception, stops workers and services first.

        Raises what `admit` raises, StorageError once the disk refuses pictures or logs, and EnvironmentProblem where
        no process can be started at all.
        """
        run_path = run_path.resolve()
        for group_work in work:
            if group_work.pending:
                yield from self._run_group(group_work, run_path, admit)

    def _run_group(self, work: GroupWork, run_path: Path, admit: Admit) -> Iterator[tuple[Record, ...]]:
        group = work.group
        environ = dict(self._environ)
        log_name = f"{LOGS_FOLDER}/worker-{group.id}.log"

        def launch() -> WorkerProcess:
            label = f"{self._now()} {group.target.name}"
            return WorkerProcess(log_path=run_path / log_name, environ=environ, label=label)

        kind = HostedGroupRun if group.target.hosted else GroupRun
        run = kind(
            work,
            Surroundings(
                spec=self._spec, run_path=run_path, admit=admit, launch=launch, log_name=log_name, now=self._now
            ),
        )
        with ExitStack() as services:
            if group.target.service is not None:
                log_path = run_path / LOGS_FOLDER / f"service-{group.id}.log"
                try:
                    environ.update(services.enter_context(start_service(group.target.service, log_path)))
                except EnvironmentProblem as problem:
                    # The other groups do not need this service.
                    yield from run.give_up(_service_failure(problem))
                    return
            yield from run.batches()


def _service_failure(problem: EnvironmentProblem) -> Failure:
    return Failure(type="load_failed", stage="load", message=problem.message, remedy=problem.remedy, transient=True)
