"""`plan` and `run`: from overrides to what would be done, and to what was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Plan
from kreabench.core.specs import ExperimentSpec
from kreabench.estimate import PlanEstimate, estimate_plan
from kreabench.library.results import Shown
from kreabench.library.runs import Run, open_run
from kreabench.observer import Observer
from kreabench.planning import compose_plan
from kreabench.report.page import Page

if TYPE_CHECKING:
    from pandas import DataFrame

    from kreabench.pipeline import Outcome


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class PlannedRun(Shown):
    """What a run would do, take and cost."""

    experiment: ExperimentSpec
    plan: Plan
    """Settings, requests and load groups, and what is skipped with the reason."""
    estimate: PlanEstimate
    """Dollars by the price list, hours where the targets say how fast they are."""
    run_path: Path
    """Where the run would be kept."""
    report_path: Path

    @property
    def settings(self) -> DataFrame:
        """One row a setting."""
        import pandas as pd

        from kreabench.library.columns import typed
        from kreabench.report.tables import axes_of

        rows = [
            {"setting_id": setting.id, **axes_of(setting), "reference_id": setting.reference_id}
            for setting in self.plan.settings
        ]
        return typed(pd.DataFrame(rows), "settings")

    def page(self) -> Page:
        from kreabench.report.plan_page import plan_page

        return plan_page(self.experiment, self.plan, self.estimate)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class FinishedRun(Shown):
    """How a run ended, and the run."""

    outcome: Outcome
    """Counts, dollars, why it stopped where it did, and the path of the report."""
    run: Run

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was drawn and scored."""
        return self.outcome.exit_code == 0

    def page(self) -> Page:
        return self.run.page()

    def __repr__(self) -> str:
        done = self.outcome
        return f"<FinishedRun {done.run_path}: {done.delivered} of {done.requests} delivered, {done.failed} failed>"


def plan(*overrides: str, config_dir: str | os.PathLike[str] | None = None) -> PlannedRun:
    """What `kreabench plan OVERRIDES` says, as data. Runs and sends nothing.

    Raises ConfigError with every problem found.
    """
    composed, planned = compose_plan(overrides, None if config_dir is None else Path(config_dir))
    return PlannedRun(
        experiment=composed.experiment,
        plan=planned,
        estimate=estimate_plan(planned),
        run_path=composed.run_path,
        report_path=composed.report_path,
    )


def run(
    *overrides: str,
    config_dir: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    observer: Observer | None = None,
) -> FinishedRun:
    """Plan, generate, score and report, as `kreabench run OVERRIDES`; goes on where the same run stopped.

    Prints nothing unless an `observer` does: subclass `kreabench.Observer`. Failed samples and a spent budget are in
    the outcome and raise nothing. While hosted requests are in flight, a first Ctrl-C ends the run in good order and a
    second one raises KeyboardInterrupt; the handlers that were there are put back.

    Raises ConfigError, EnvironmentProblem for what this machine lacks, RunDirectoryError where the directory holds
    another plan, StorageError.
    """
    from kreabench import pipeline

    composed, _ = compose_plan(overrides, None if config_dir is None else Path(config_dir))
    if composed.experiment.engine.kind == "slurm":
        raise ConfigError(
            [Problem(key="engine", found="slurm", expected="local or ray: jobs are submitted by `kreabench run`")]
        )
    directory = pipeline.start(
        composed.run_path, composed.experiment, composed.config_yaml, os.environ, composed.input_files
    )
    outcome = pipeline.execute(
        directory, observer=observer or Observer(), report_path=composed.report_path, retry_failed=retry_failed
    )
    return FinishedRun(outcome=outcome, run=open_run(directory.path))
