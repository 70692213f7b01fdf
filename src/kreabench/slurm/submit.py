"""Freezing what is left of a run and giving it out to jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kreabench.core.engine_spec import SlurmSpec
from kreabench.core.errors import ConfigError, EnvironmentProblem
from kreabench.core.planned import Plan
from kreabench.core.records import SCHEMA_VERSION
from kreabench.drops import drops_of
from kreabench.execution.budget import Budget
from kreabench.execution.clock import utc_now
from kreabench.execution.pending import journal_skips, pending_work
from kreabench.pipeline import check_environment
from kreabench.plan_of_run import plan_of
from kreabench.rundir.batches import (
    JOBS_FOLDER,
    Batch,
    Element,
    Jobs,
    close,
    freeze,
    refuse_open_batches,
    write_jobs,
)
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.parts import refuse_part
from kreabench.scoring.spending import scores_usd
from kreabench.slurm.draw import DrawElement
from kreabench.slurm.elements import share_out
from kreabench.slurm.jobs import Executor, check_cluster, make_executor, submit
from kreabench.slurm.problems import jobs_problems

MakeExecutor = Callable[[SlurmSpec, Path, str], Executor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """What was given out."""

    batch_path: Path
    jobs: Jobs
    requests: int

    @property
    def main_ids(self) -> tuple[str, ...]:
        """One for each array, as squeue takes them."""
        return tuple(dict.fromkeys(job.split("_")[0] for job in self.jobs.ids.values()))


def submit_run(
    run: RunDirectory, *, retry_failed: bool = False, make: MakeExecutor = make_executor
) -> Submitted | None:
    """Give out what is left of `run` to jobs; None where nothing is left. The journal is locked meanwhile.

    Raises ConfigError for what jobs cannot do, EnvironmentProblem where the cluster or submitit is not there or
    refuses, RunDirectoryError while an earlier batch is open or another process writes the run, and StorageError.
    """
    spec = run.info.experiment.engine.slurm
    assert spec is not None  # noqa: S101 - of this kind of engine
    refuse_part(run.path)
    if problems := jobs_problems(run.info.experiment):
        raise ConfigError(problems)
    plan = plan_of(run)
    with run.writer() as writer:
        refuse_open_batches(run.path)
        run.save_info()
        journal_skips(run, writer, plan)
        work = pending_work(plan, run.state(), retry_failed=retry_failed, dropped=drops_of(run))
        if not work:
            return None
        check_environment(plan, run.info.experiment.engine, [item.group.id for item in work])
        check_cluster(spec)  # before anything is frozen: what lacks here leaves no trace
        arrays = share_out(work, spec.jobs_per_group, run.info.experiment.budget_usd, _spent_usd(run, plan))
        batch = Batch(
            schema_version=SCHEMA_VERSION,
            plan_hash=plan.hash,
            created_utc=utc_now(),
            elements=tuple(element for array in arrays for element in array),
        )
        folder = freeze(run.path.resolve(), batch)
        executor = make(spec, folder / JOBS_FOLDER, f"kreabench-{run.info.experiment.name}"[:100])
        jobs = _submit_all(executor, arrays, folder, spec)
    return Submitted(batch_path=folder, jobs=jobs, requests=sum(len(item.pending) for item in work))


def _spent_usd(run: RunDirectory, plan: Plan) -> float:
    """Without what is reserved: who goes on with a request that may have been sent reserves it again."""
    budget = Budget(run.info.experiment.budget_usd, plan, scores_usd=scores_usd(run))
    for record in run.records():
        budget.record(record)
    return budget.spent_usd + budget.scores_usd


def _submit_all(executor: Executor, arrays: list[list[Element]], folder: Path, spec: SlurmSpec) -> Jobs:
    """An array each. Written down after each: who is killed between two leaves jobs that only squeue knows."""
    ids: dict[str, str] = {}
    complete = False
    try:
        for array in arrays:
            found = submit(executor, [DrawElement(folder, element.name) for element in array])
            ids.update(zip((element.name for element in array), found, strict=True))
            write_jobs(folder, Jobs(cluster=spec.cluster, ids=dict(ids), complete=False))
        complete = True
    except EnvironmentProblem:
        if not ids:
            close(folder)  # nobody draws for it
        raise
    finally:
        if complete or ids:
            write_jobs(folder, Jobs(cluster=spec.cluster, ids=dict(ids), complete=True))
    return Jobs(cluster=spec.cluster, ids=ids, complete=True)
