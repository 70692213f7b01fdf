"""`kreabench report` and `kreabench show`."""

from __future__ import annotations

from pathlib import Path

import click

RUN = click.argument("run_path", metavar="RUN", type=click.Path(path_type=Path))


@click.command()
@RUN
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [default: reports/<name>].")
def report(run_path: Path, out: Path | None) -> None:
    """Write the report of a run, in whatever state it is.

    RUN is a run directory such as runs/demo. Writes index.html (self-contained), report.md, samples.csv,
    settings.csv and figures/*.png; other files in the folder are left alone.
    """
    from kreabench import pipeline
    from kreabench.rundir.directory import RunDirectory

    run = RunDirectory.open(run_path)
    index = pipeline.rereport(run, out or Path("reports") / run.info.experiment.name)
    click.echo(f"report: {index}")


@click.command()
@RUN
def show(run_path: Path) -> None:
    """Print a run's settings table, what failed and what is left."""
    from kreabench.cli.run_table import print_run
    from kreabench.cli.terminal import console
    from kreabench.plan_of_run import plan_of
    from kreabench.rundir.directory import RunDirectory

    run = RunDirectory.open(run_path)
    print_run(console(), run, plan_of(run))
