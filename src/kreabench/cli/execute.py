"""What `run` and `resume` share: execute with progress, then say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from kreabench import pipeline
from kreabench.analysis.notices import nothing_was_paid, notice
from kreabench.cli.progress import ProgressObserver
from kreabench.cli.submit import submit_and_wait
from kreabench.cli.terminal import console, say
from kreabench.core.errors import ExitCode
from kreabench.core.specs import TargetSpec
from kreabench.drops import drops_of
from kreabench.plan_of_run import plan_of
from kreabench.report.format import usd
from kreabench.report.trained import not_trained_for
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table, read_table


def execute_and_print(run: RunDirectory, *, report_path: Path, retry_failed: bool) -> int:
    """The exit code of the run."""
    out, targets, plan = console(), run.info.experiment.targets, plan_of(run)
    banner = notice(targets)
    for text in (*filter(None, [banner]), *not_trained_for(targets, plan.settings)):
        say(out, f"! {text}", "bold yellow")
    by_jobs = run.info.experiment.engine.kind == "slurm"
    go_on, budget_message = submit_and_wait(out, run, retry_failed=retry_failed) if by_jobs else (True, None)
    if not go_on:
        return int(ExitCode.DONE)
    try:
        with ProgressObserver(out) as observer:
            outcome = pipeline.execute(
                run, observer=observer, report_path=report_path, retry_failed=retry_failed, draw=not by_jobs
            )
        outcome = replace(outcome, budget_message=outcome.budget_message or budget_message)
    except KeyboardInterrupt:
        say(out, f"interrupted; everything recorded so far is kept. Go on with: kreabench resume {run.path}")
        if run.info.experiment.traffic is not None:
            from kreabench.cli.load_table import print_load_of

            print_load_of(out, run, plan, join_table(run, plan))
        raise
    from kreabench.cli.run_table import print_failures, print_money, print_settings  # load scipy: not before drawing

    table = read_table(run)
    print_settings(out, run, plan, table)
    if run.info.experiment.traffic is not None:
        from kreabench.cli.load_table import print_load_of

        print_load_of(out, run, plan, table)
    print_money(out, run, plan)
    failed = [sample for sample in run.samples().values() if sample.status == "failed"]
    print_failures(out, run.path, failed, drops_of(run), loaded=run.info.experiment.traffic is not None)
    _print_outcome(out, outcome, targets)
    if banner:
        say(out, f"! {banner}", "bold yellow")
    return int(outcome.exit_code)


def _print_outcome(out: Console, outcome: pipeline.Outcome, targets: Sequence[TargetSpec]) -> None:
    from kreabench.cli.run_table import say_failures, scoring_stopped, standing_in_words

    parts = standing_in_words(outcome.standing)
    if outcome.standing.left:
        parts.append(f"{outcome.standing.left} not done")
    if outcome.spent_usd:
        kind = "emulated requests (nothing was paid)" if nothing_was_paid(targets) else "hosted requests"
        parts.append(f"{usd(outcome.spent_usd)} of {kind}")
    say(out, ", ".join(parts))
    if outcome.scoring.usd:
        say(out, f"{usd(outcome.scoring.usd)} of scores")
    say_failures(out, outcome.scoring)
    if outcome.scoring.budget_message is not None:
        say(out, scoring_stopped(outcome.run_path, outcome.scoring.budget_message))
    if outcome.budget_message is not None:
        say(out, f"{outcome.budget_message}. Go on with: kreabench resume {outcome.run_path} --budget-usd MORE")
    say(out, f"run: {outcome.run_path}")
    say(out, f"report: {outcome.report_index}")
