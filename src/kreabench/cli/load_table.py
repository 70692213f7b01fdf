"""The levels of a load run on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from kreabench.cli.terminal import make_table, say
from kreabench.core.planned import Plan
from kreabench.decisions.load_levels import LoadCurve, load_curves
from kreabench.metrics.table import has_direction, per_image
from kreabench.report.load.tables import load_table
from kreabench.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from pandas import DataFrame


def print_load_of(out: Console, run: RunDirectory, plan: Plan, table: DataFrame) -> None:
    """What the levels of `run` say; `table` holds its samples."""
    metrics = [spec for spec in per_image(run.info.experiment.metrics) if has_direction(spec)]
    print_load(out, load_curves(plan, run.records(), table, metrics))


def print_load(out: Console, curves: Sequence[LoadCurve]) -> None:
    """Nothing where nothing was put under load."""
    found = load_table(curves)
    if found is None:
        return
    say(out, "under load", "bold")
    table = make_table(
        *((_head(column.title, column.unit), "r" if column.numeric else "l") for column in found.columns)
    )
    for row in found.rows:
        table.add_row(*(f"{cell.text}\n{cell.detail}" if cell.detail else cell.text for cell in row.cells))
    out.print(table)
    for note in found.notes:
        say(out, note, wrap=True)


def _head(title: str, unit: str) -> str:
    return f"{title} {unit}" if unit else title
