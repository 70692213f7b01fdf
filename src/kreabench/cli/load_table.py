"""The levels of a load run on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from kreabench.cli.fitting import FitColumn, tables
from kreabench.cli.terminal import say
from kreabench.core.planned import Plan
from kreabench.decisions.load_levels import LoadCurve, load_curves
from kreabench.metrics.table import has_direction, per_image
from kreabench.report.load.tables import load_table
from kreabench.report.parts import Cell, Table
from kreabench.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from pandas import DataFrame


def print_load_of(out: Console, run: RunDirectory, plan: Plan, table: DataFrame) -> None:
    """What the levels of `run` say; `table` holds its samples."""
    metrics = [spec for spec in per_image(run.info.experiment.metrics) if has_direction(spec)]
    print_load(out, load_curves(plan, run.records(), table, metrics))


def print_load(out: Console, curves: Sequence[LoadCurve]) -> None:
    """As many tables as the terminal needs, then what they mean; nothing where nothing was put under load."""
    found = load_table(curves)
    if found is None:
        return
    say(out, "under load", "bold")
    lead = 2 if len(curves) > 1 else 1
    columns = _columns(found)
    for fitted in tables(out, columns[:lead], columns[lead:]):
        out.print(fitted)
    for note in found.notes:
        say(out, note, wrap=True)


def _columns(table: Table) -> list[FitColumn]:
    return [
        FitColumn(
            head=f"{column.title} {column.unit}" if column.unit else column.title,
            cells=[_text(row.cells[number]) for row in table.rows],
            side="r" if column.numeric else "l",
        )
        for number, column in enumerate(table.columns)
    ]


def _text(cell: Cell) -> str:
    """With its interval; why there is no number is in the report."""
    return cell.text if cell.absent or not cell.detail else f"{cell.text} ({cell.detail})"
