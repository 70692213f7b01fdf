"""Scoring as a run does it: beside drawing where that is asked for, and the rest after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from kreabench.core.planned import Plan
from kreabench.core.specs import MetricSpec
from kreabench.rundir.directory import RunDirectory
from kreabench.scoring.background import Background, scoring_beside
from kreabench.scoring.placement import on_device
from kreabench.scoring.spending import purse_of
from kreabench.scoring.stage import Progress, score_run
from kreabench.scoring.summary import ScoringSummary


def start_beside(run: RunDirectory, stack: ExitStack) -> Background | None:
    """Scoring in a process of its own, where the run asks for that; ended with `stack`. See `scoring_beside`."""
    experiment = run.info.experiment
    if not (experiment.scoring.during_generation and experiment.metrics):
        return None
    return stack.enter_context(scoring_beside(run.path, experiment.scoring.device))


def score_rest(
    run: RunDirectory,
    plan: Plan,
    beside: Background | None,
    *,
    progress: Progress,
    note: Callable[[str], None],
    metrics: Sequence[MetricSpec] | None = None,
) -> ScoringSummary:
    """What is left to score when nothing is drawn any more; whoever else scores the run is waited for.

    `metrics`: only these of the run's.
    """
    experiment = run.info.experiment
    trouble = beside.wait() if beside is not None else ""
    if trouble:
        note(trouble)
    with run.score_writer(waiting=lambda pid: note(f"waiting for process {pid}, which scores this run")) as writer:
        return score_run(
            run,
            plan,
            metrics=on_device(experiment.metrics if metrics is None else metrics, experiment.scoring.device),
            writer=writer,
            progress=progress,
            purse=purse_of(run, plan),
        )
