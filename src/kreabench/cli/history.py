"""`kreabench history`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from kreabench.cli.metric_needs import names_in

if TYPE_CHECKING:
    from rich.console import Console

    from kreabench.decisions.history import History

SHOWN_RUNS = 12
"""From more runs on, those without a change are only counted."""

_BESIDE_COURSE, _LEAST_COURSE = 58, 16
"""Columns of the table of quantities beside the course, and the least that is left to it."""


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--setting", help="The setting to follow, such as acceleration=high,steps=8 [default: the only one, or reference]."
)
@click.option("--metrics", "names", help="Comma-separated metrics, and costs such as latency [default: all].")
@click.option(
    "--by", type=click.Choice(["date", "order"]), default="date", show_default=True, help="How the runs are ordered."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report [default: reports/history].")
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write this JSON file [default: none beside the report's].",
)
def history(
    runs: tuple[str, ...],
    setting: str | None,
    names: str | None,
    by: Literal["date", "order"],
    out: Path | None,
    json_path: Path | None,
) -> None:
    """Draw each metric and cost over runs of several versions, and find the step where it changed.

    RUN is a run directory, the URL of a pushed run, a baseline file, or any with a setting:
    runs/today:acceleration=high,steps=8. A step is sought from 8 runs on; besides, each run is compared with the one
    before it, in pairs by prompt and seed.

    \b
      kreabench history runs/nightly-*
      kreabench history baselines/*.jsonl runs/today --metrics clip_score,latency
    """
    from kreabench.cli.terminal import console
    from kreabench.decisions.history import make_history
    from kreabench.decisions.history_runs import open_runs
    from kreabench.report.files import write_one
    from kreabench.report.history.files import history_json, write_history

    sides = open_runs(runs, setting=setting, by=by)
    found = make_history(sides, metrics=None if names is None else names_in(names))
    print_history(console(), found)
    index = write_history(found, out or Path("reports") / "history")
    if json_path is not None:
        write_one(json_path, history_json(found))
    click.echo(f"report: {index}")


def print_history(out: Console, history: History) -> None:
    """Notices, a line a run and a quantity, and what was found in sentences."""
    from kreabench.cli.terminal import say
    from kreabench.report.history.words import sentences

    if history.brand:
        say(out, f"! {history.brand}", "bold yellow")
    for text in history.notices:
        say(out, f"! {text}", "yellow")
    _print_runs(out, history)
    _print_quantities(out, history)
    if any(one.untrained for one in history.series):
        say(out, "† the metric's own weights are random")
    for text in sentences(history):
        say(out, text)


def _print_runs(out: Console, history: History) -> None:
    """Those that are not like the one before, where there are many."""
    from kreabench.cli.terminal import make_table, say
    from kreabench.report.history.words import change_in_words, run_name

    table = make_table(("run", "l"), ("made (UTC)", "l"), ("changed against the run before", "l"))
    table.columns[0].no_wrap = table.columns[2].no_wrap = False
    last = len(history.runs) - 1
    quiet = 0
    for number, run in enumerate(history.runs):
        if last >= SHOWN_RUNS and not run.changed and number not in (0, last):
            quiet += 1
            continue
        changed = "; ".join(map(change_in_words, run.changed)) or ("nothing" if number else "")
        table.add_row(*_plain(run_name(history, number), run.created_utc[:16].replace("T", " "), changed))
    out.print(table)
    if quiet:
        say(out, f"{quiet} more run{'s' if quiet > 1 else ''} without a recorded change of versions")


def _print_quantities(out: Console, history: History) -> None:
    from kreabench.cli.terminal import make_table, say
    from kreabench.report.format import significant
    from kreabench.report.history.words import sparkline

    room = max(out.width - _BESIDE_COURSE, _LEAST_COURSE)
    cut = len(history.runs) > room
    table = make_table(
        ("quantity", "l"),
        ("unit", "l"),
        ("first", "r"),
        ("last", "r"),
        (f"course (last {room})" if cut else "course", "l"),
        ("steps", "l"),
    )
    table.columns[0].no_wrap = table.columns[1].no_wrap = table.columns[5].no_wrap = False
    for one in history.series:
        there = [value for value in one.values if value is not None]
        table.add_row(
            *_plain(
                f"{one.name}{'†' if one.untrained else ''}",
                one.unit,
                significant(there[0].value),
                significant(there[-1].value),
                sparkline(one.values, room if cut else None),
                ", ".join(f"#{step.after + 1}" for step in one.steps),
            )
        )
    out.print(table)
    say(
        out,
        "first, last: means over prompts, medians of costs, shares of requests or pictures; the report has the 95 % "
        "interval and n of every run",
    )


def _plain(*cells: str) -> list[str]:
    from rich.markup import escape

    from kreabench.report.text import visible

    return [escape(visible(cell)) for cell in cells]
