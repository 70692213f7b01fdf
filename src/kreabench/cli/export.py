"""`kreabench export`."""

from __future__ import annotations

import os
from collections import Counter
from typing import Literal

import click


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--to", "tracker", type=click.Choice(["mlflow", "wandb"]), required=True, help="The tracker.")
@click.option("--tracking-uri", metavar="URL", help="MLflow's server [default: MLFLOW_TRACKING_URI].")
@click.option("--experiment", help="MLflow's experiment [default: MLFLOW_EXPERIMENT_NAME, or kreabench].")
@click.option("--project", help="The project at W&B [default: WANDB_PROJECT, or kreabench].")
@click.option(
    "--images",
    "pictures",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Send at most N pictures of each setting, of the same prompts.",
)
def export(
    run: str,
    tracker: Literal["mlflow", "wandb"],
    tracking_uri: str | None,
    experiment: str | None,
    project: str | None,
    pictures: int,
) -> None:
    """Tell MLflow or Weights & Biases of a run: a run of theirs for each setting, below one for the whole.

    RUN is a run directory, or the URL of a pushed run, in whatever state it is. Parameters, numbers with their
    intervals, tags and the report's tables go there; a second export brings the same runs up to date. What was not
    measured is not sent. Keys are taken from the environment, as the trackers' own clients do; with
    WANDB_MODE=offline files are written that `wandb sync` sends later.

    \b
      kreabench export runs/demo --to mlflow --tracking-uri http://127.0.0.1:5000
      kreabench export runs/demo --to wandb --project krea --images 4

    Exit codes: 0 done; 2 refused, or the tracker cannot be reached; 130 interrupted.
    """
    from kreabench.cli.terminal import console, say
    from kreabench.plan_of_run import plan_of
    from kreabench.remote.copies import run_path
    from kreabench.report.evidence import gather
    from kreabench.report.format import count
    from kreabench.rundir.directory import RunDirectory
    from kreabench.rundir.table import join_table
    from kreabench.tracking.tell import check, tell

    check(tracker, os.environ, project=project, uri=tracking_uri, experiment=experiment)
    opened = RunDirectory.open(run_path(run))
    plan = plan_of(opened)
    evidence = gather(opened, plan, join_table(opened, plan))
    out = console()
    if evidence.brand:
        say(out, f"! {evidence.brand}", "bold yellow")
    sent, left_out = tell(
        evidence,
        tracker,
        pictures=pictures,
        environ=os.environ,
        project=project,
        uri=tracking_uri,
        experiment=experiment,
    )
    for reason, number in Counter(left_out).items():
        say(out, f"! without {count(number, 'picture')}: {reason}", "yellow")
    failed = sum(summary.failed for summary in evidence.summaries)
    if failed:
        say(out, f"! {count(failed, 'request')} of the run failed; they are counted there", "yellow")
    done = {
        "new": sent.made,
        "brought up to date": sent.updated,
        "made anew": sent.replaced,
        "dropped since, taken away": sent.removed,
    }
    said = [f"{number} {word}" for word, number in done.items() if number]
    say(out, f"exported: {sent.where} ({', '.join(said)})")
