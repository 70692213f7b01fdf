"""`kreabench compare`."""

from __future__ import annotations

from pathlib import Path

import click

from kreabench.cli.metric_needs import names_in


@click.command()
@click.argument("base", metavar="BASE")
@click.argument("candidate", metavar="[CANDIDATE]", required=False)
@click.option("--metrics", "names", help="Comma-separated metrics of the runs [default: all that both have].")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for a page and tables.")
@click.option("--json", "json_file", metavar="FILE", help="All numbers as JSON; - is standard output.")
@click.option("--force", is_flag=True, help="Compare what is not comparable; every output says so.")
@click.option(
    "--worst", type=click.IntRange(min=0), default=10, show_default=True, help="Worst prompts of each metric."
)
@click.option(
    "--all", "everything", is_flag=True, help="Print every pair of settings in full, and all that is unpaired."
)
def compare(
    base: str,
    candidate: str | None,
    names: str | None,
    out: Path | None,
    json_file: str | None,
    force: bool,
    worst: int,
    everything: bool,
) -> int:
    """Compare two runs, or settings of one, in pairs of pictures of one prompt and seed.

    BASE and CANDIDATE are run directories, URLs of pushed runs, or selections of their settings:
    RUN:acceleration=high,steps=8 or RUN:reference. Settings are partners where they are equal on every axis that has
    several values. BASE alone: every setting of the run, or of the selection, against its reference.

    \b
      kreabench compare runs/before runs/after
      kreabench compare runs/trial:steps=4 runs/trial:steps=2
      kreabench compare runs/trial --out comparison

    What is not comparable (device, reference, words of a prompt, weights of a metric) is refused unless --force.
    --out writes index.html with the worst pictures, comparison.md, comparison.csv and prompts.csv. A difference that
    is not shown is not equality: that needs a margin (kreabench gate).

    Exit codes: 0 done, whatever was found; 2 refused.
    """
    from kreabench.cli.comparison_table import print_comparison
    from kreabench.cli.terminal import console
    from kreabench.decisions.compare_runs import compare_runs
    from kreabench.report.comparison.json_file import comparison_json
    from kreabench.report.files import write_one

    comparison = compare_runs(base, candidate, metrics=names_in(names), force=force)
    if json_file == "-":
        click.echo(comparison_json(comparison, worst=worst), nl=False)
    else:
        print_comparison(console(), comparison, worst=worst, everything=everything)
    written = []
    if json_file not in (None, "-"):
        written.append(write_one(Path(json_file or ""), comparison_json(comparison, worst=worst)))
    if out is not None:
        from kreabench.report.comparison.write import write_comparison

        written.append(write_comparison(comparison, out, worst=worst))
    for path in written:
        click.echo(f"comparison: {path}", err=json_file == "-")
    return 0
