"""`kreabench score`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kreabench.cli.metric_needs import names_in
from kreabench.cli.run import finite
from kreabench.core.device_names import DEVICE_NAMES, is_device_name

if TYPE_CHECKING:
    from kreabench.core.specs import MetricSpec


def _device(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_device_name(value):
        raise click.BadParameter(f"found {value!r}; expected {DEVICE_NAMES}")
    return value


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--metrics",
    "names",
    help="Comma-separated files of conf/metrics/ [default: the metrics that the run was asked with].",
)
@click.option("--again", is_flag=True, help="Score everything anew, not only what is missing.")
@click.option(
    "--follow", is_flag=True, help="Score while another process draws the run: each picture as it comes, to the end."
)
@click.option(
    "--device",
    callback=_device,
    help="auto, cpu, cuda or cuda:N for all metrics, this time [default: the run's scoring.device].",
)
@click.option(
    "--budget-usd",
    type=click.FloatRange(min=0),
    callback=finite,
    help="A new budget for hosted requests and scores of the run, in dollars.",
)
@click.option(
    "--config-dir", type=click.Path(path_type=Path), help="A folder of your own groups, beside the shipped ones."
)
@click.option("--beside", type=int, metavar="PID", hidden=True, help="End with this parent process, and give way.")
def score(
    run_path: Path,
    names: str | None,
    again: bool,
    follow: bool,
    device: str | None,
    budget_usd: float | None,
    config_dir: Path | None,
    beside: int | None,
) -> int:
    """Score a run's pictures and sets of pictures: only what is missing, unless --again.

    RUN is a run directory such as runs/demo. Nothing is drawn anew. Metrics named here stay with the run: `show`,
    `report` and later scorings have them too, until `run` names its metrics again. What they lack is fetched first, or
    they are refused.

    With --follow the run may be drawn by another process meanwhile. That is refused where scoring would touch its
    timings: on a GPU that it draws on, and wherever it draws on the processor. A score made on a GPU is another one
    than that of a processor: score a run on one of them. At the looks of a race the process that draws scores itself.

    Exit codes: 0 done, 2 refused, 4 some scores failed or a metric could not be opened, 5 stopped at the budget, 130
    interrupted; a picture that is gone or damaged, and a metric whose weights are missing, are failed scores, tried
    again next time.
    """
    from kreabench import pipeline
    from kreabench.cli.progress import ProgressObserver
    from kreabench.cli.run_table import print_scoring
    from kreabench.cli.terminal import console, say
    from kreabench.scoring.placement import on_device
    from kreabench.scoring.requirements import prepare

    if follow and (names is not None or again or budget_usd is not None):
        raise click.UsageError("--follow scores what the run was asked with: no --metrics, --again or --budget-usd")
    if beside is not None:
        from kreabench.scoring.background import settle_in_background

        settle_in_background(beside)
    run = pipeline.reopen(run_path, budget_usd=budget_usd)
    out = console()
    metrics = run.info.experiment.metrics
    if names is not None:
        metrics = _named(names, config_dir)
        prepare(
            on_device(metrics, device or run.info.experiment.scoring.device), os.environ, lambda line: say(out, line)
        )
    with ProgressObserver(out) as observer:
        if beside is not None:
            to_look = pipeline.follow_to_look(run, progress=observer.scoring, device=device)
            if to_look is None:
                return 0
            summary = to_look
        elif follow:
            summary = pipeline.follow(run, progress=observer.scoring, device=device)
        else:
            summary = pipeline.rescore(run, metrics=metrics, again=again, progress=observer.scoring, device=device)
    print_scoring(out, run_path, summary)
    return int(summary.exit_code)


def _named(names: str, config_dir: Path | None) -> tuple[MetricSpec, ...]:
    from kreabench.config.resolve import load_metrics

    return load_metrics(names_in(names), config_dir)
