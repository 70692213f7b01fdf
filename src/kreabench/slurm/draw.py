"""What a job does: draw its element of a batch into a part of its own. It can be killed and started again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kreabench.core.errors import BudgetReached, EnvironmentProblem, KreabenchError, RunDirectoryError, StorageError
from kreabench.core.planned import Plan
from kreabench.core.records import Failure, FailureRecord, LoadRecord, Record, SampleRecord, WarmupRecord
from kreabench.execution.budget import Budget
from kreabench.execution.clock import utc_now
from kreabench.execution.engine import GroupWork
from kreabench.execution.lane import DISTURBED
from kreabench.execution.local import LocalEngine
from kreabench.execution.outcomes import Trouble, failed_sample
from kreabench.execution.pending import pending_work
from kreabench.pipeline import check_environment
from kreabench.plan_of_run import plan_of
from kreabench.rundir.batches import Element, Ended, forget_end, is_closed, read_batch, write_end
from kreabench.rundir.directory import CONFIG_FILE, RUN_FILE, RunDirectory
from kreabench.rundir.inputs import INPUTS_FOLDER
from kreabench.rundir.provenance import collect
from kreabench.rundir.writers import RunWriter
from kreabench.slurm.elements import plan_of_element, state_of_element


class DrawElement:
    """The function that a job calls. It is pickled: two names, no secret and no setting."""

    def __init__(self, batch_path: Path, name: str) -> None:
        self._batch_path, self._name = str(batch_path), name

    def __call__(self) -> str:
        """See `draw_element`."""
        return draw_element(Path(self._batch_path), self._name).how

    def checkpoint(self) -> Any:
        """Near the job's time limit, or before it has to make room: start again, as the part holds what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def draw_element(batch_path: Path, name: str) -> Ended:
    """Draw what is left of element `name` of the batch at `batch_path` into its part.

    The plan is the one that was frozen: it is refused where this kreabench plans otherwise. What this machine lacks
    becomes failed samples of the part. Raises RunDirectoryError where the run cannot be read here, another process
    writes the part, or the plan differs; StorageError when the disk refuses.
    """
    run = RunDirectory.open(batch_path.parents[1])
    batch, plan = read_batch(batch_path), plan_of(run)
    element = next((element for element in batch.elements if element.name == name), None)
    if element is None or batch.plan_hash != plan.hash:
        found = "no such element" if element is None else f"a batch of plan {batch.plan_hash}, and a run of {plan.hash}"
        raise RunDirectoryError(f"{batch_path} has {found}: {name}", remedy="Submit the run again.")
    if is_closed(batch_path):
        return Ended(how="closed")
    part = _part(run, batch_path / name, plan)
    with part.writer() as writer:
        forget_end(part.path)
        try:
            ended = _draw(part, plan_of_element(plan, element), element, writer, batch_path)
        except KreabenchError as error:
            with suppress(StorageError):  # the disk may be what is wrong; a job that cannot say how it ended was killed
                write_end(part.path, Ended(how="failed", message=error.message))
            raise
        write_end(part.path, ended)
    return ended


def _part(run: RunDirectory, path: Path, plan: Plan) -> RunDirectory:
    """The part at `path`, begun now or before."""
    if (path / RUN_FILE).exists():
        return RunDirectory.open(path)
    experiment = run.info.experiment
    info = collect(plan.hash, experiment, environ=os.environ, now=datetime.now(UTC))
    inputs = {
        image.sha256: run.path / INPUTS_FOLDER / image.file_name
        for prompt in experiment.prompts
        for image in prompt.images
    }
    config = (run.path / CONFIG_FILE).read_text(encoding="utf-8")
    return RunDirectory.create(path, info, config, inputs)


def _draw(part: RunDirectory, plan: Plan, element: Element, writer: RunWriter, batch_path: Path) -> Ended:
    work = pending_work(plan, state_of_element(element, part.state()), retry_failed=False)
    budget = Budget(element.budget_usd, plan, scores_usd=element.spent_usd)
    for record in part.records():
        budget.record(record)
    for item in work:
        for request in item.pending:
            if request.id in item.submitted:
                budget.reserve(request)
    engine = part.info.experiment.engine
    # Jobs of the local cluster all run here, at once.
    alone = engine.slurm is None or engine.slurm.cluster != "local" or len(read_batch(batch_path).elements) == 1
    spec = replace(engine, kind="local", slurm=None)
    try:
        check_environment(plan, spec, [item.group.id for item in work])
    except EnvironmentProblem as problem:
        writer.append(*_cannot(work, problem))
        return Ended(how="failed", message=problem.message)
    with closing(LocalEngine(spec).run(work, part.path, budget.admit)) as batches:
        try:
            for records in batches:
                records = tuple(_told(record, f"{batch_path.name}/{element.name}", alone=alone) for record in records)
                writer.append(*records)
                for record in records:
                    budget.record(record)
                if is_closed(batch_path):
                    return Ended(how="closed")
        except BudgetReached as reached:
            return Ended(how="budget", message=reached.message)
    return Ended(how="done")


def _told(record: Record, name: str, *, alone: bool) -> Record:
    """`record` with the job that drew it, so that drift is judged within a job; without, what others disturbed."""
    if isinstance(record, SampleRecord | LoadRecord | WarmupRecord) and record.worker is None:
        record = replace(record, worker=name)
    if isinstance(record, SampleRecord) and record.status == "ok" and not alone:
        record = replace(record, timing_valid=False, flags=(*record.flags, DISTURBED))
    return record


def _cannot(work: Sequence[GroupWork], problem: EnvironmentProblem) -> list[Record]:
    """Nothing can be drawn on this machine: every request fails so that a resume elsewhere tries it again."""
    error = Failure(
        type="load_failed", stage="load", message=problem.message, remedy="Put the node right.", transient=True
    )
    trouble = Trouble(error=error, started_utc=utc_now(), elapsed_s=0.0, died=False)
    records: list[Record] = []
    for item in work:
        records.append(
            FailureRecord(
                group_id=item.group.id,
                setting_id=None,
                request_id=None,
                attempt=1,
                started_utc=trouble.started_utc,
                error=error,
            )
        )
        records += [
            failed_sample(item.group, request, item.tries.get(request.id, 0) + 1, trouble) for request in item.pending
        ]
    return records
