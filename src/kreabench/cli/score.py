"""`kreabench score`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--metrics",
    "names",
    help="Comma-separated files of conf/metrics/ [default: the metrics that the run was asked with].",
)
@click.option("--again", is_flag=True, help="Score everything anew, not only what is missing.")
@click.option(
    "--config-dir", type=click.Path(path_type=Path), help="A folder of your own groups, beside the shipped ones."
)
def score(run_path: Path, names: str | None, again: bool, config_dir: Path | None) -> int:
    """Score a run's pictures: only what is missing, unless --again.

    RUN is a run directory such as runs/demo. Nothing is drawn anew. Metrics named here stay with the run: `show`,
    `report` and later scorings have them too.
    """
    from kreabench import pipeline
    from kreabench.cli.progress import ProgressObserver
    from kreabench.cli.run_table import print_scoring
    from kreabench.cli.terminal import console
    from kreabench.core.errors import ExitCode
    from kreabench.rundir.directory import RunDirectory

    run = RunDirectory.open(run_path)
    metrics = run.info.experiment.metrics
    if names is not None:
        from kreabench.config.resolve import load_metrics

        chosen = [name.strip() for name in names.split(",") if name.strip()]
        if not chosen:
            raise click.BadParameter(f"found {names!r}; expected names such as psnr,ssim", param_hint="--metrics")
        metrics = load_metrics(chosen, config_dir)
    out = console()
    with ProgressObserver(out) as observer:
        summary = pipeline.rescore(run, metrics=metrics, again=again, progress=observer.scoring)
    print_scoring(out, summary)
    return ExitCode.FAILED_SAMPLES if summary.failed else ExitCode.DONE
