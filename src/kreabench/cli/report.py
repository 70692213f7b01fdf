"""`kreabench report` and `kreabench show`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from kreabench.report.options import MAX_PICTURES, ReportOptions

RUN = click.argument("run", metavar="RUN")


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [default: reports/<name>].")
@click.option(
    "--images",
    type=click.Choice(["embed", "link"]),
    default="embed",
    show_default=True,
    help="Whether index.html holds its pictures, or they lie in pictures/ beside it.",
)
@click.option(
    "--max-pictures", type=click.IntRange(min=0), default=MAX_PICTURES, show_default=True, help="Most pictures to show."
)
def report(names: tuple[str, ...], out: Path | None, images: Literal["embed", "link"], max_pictures: int) -> None:
    """Write the report of a run, in whatever state it is, or of several in one.

    RUN is a run directory such as runs/demo, or the URL of a pushed run; of several the first is what the others are
    compared with. Files of an earlier report are replaced, others in the folder are left alone.

    \b
      index.html           the page; it loads nothing from elsewhere
      report.md            the same for a pull request
      report.json          what the page explores, with a schema
      samples, settings    tables, as .csv and as .parquet
      shifts, categories, set_scores, load, votes    .csv, where there are such
      data_dictionary.csv  what every column of the tables means
      figures/             .png and .svg

    \b
      kreabench report runs/demo
      kreabench report runs/before runs/after --out reports/versions
    """
    from kreabench.remote.copies import run_path
    from kreabench.report.several.names import folder_name
    from kreabench.reporting import rereport
    from kreabench.rundir.directory import RunDirectory

    runs = [RunDirectory.open(run_path(name)) for name in names]
    name = folder_name([run.info.experiment.name for run in runs])
    options = ReportOptions(images=images, max_pictures=max_pictures, today=datetime.now(UTC).date())
    index = rereport(runs, out or Path("reports") / name, options)
    click.echo(f"report: {index}")


@click.command()
@RUN
def show(run: str) -> None:
    """Print a run's verdict, its settings, what got worse, what failed and what is left.

    RUN is a run directory such as runs/demo, or the URL of a pushed run. Only reads, also while the run goes on.
    """
    from kreabench.cli.run_show import print_run
    from kreabench.cli.terminal import console
    from kreabench.plan_of_run import plan_of
    from kreabench.remote.copies import run_path
    from kreabench.rundir.directory import RunDirectory

    opened = RunDirectory.open(run_path(run))
    print_run(console(piped_width=80), opened, plan_of(opened), datetime.now(UTC).date())
