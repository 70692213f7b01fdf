"""Tables no wider than the terminal: what can be spared is left out, or follows in a further table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kreabench.cli.terminal import make_table
from kreabench.report.text import visible

_UNBOUNDED = 10_000
"""Columns of a terminal that cuts no table short."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitColumn:
    """One column of a table, a cell a row."""

    head: str
    cells: Sequence[str]
    side: str = "r"
    dispensable: int = 0
    """Left out where the terminal is too narrow, the greatest number first; 0 never is."""


def fitted(out: Console, columns: Sequence[FitColumn]) -> Table:
    """As many of the columns as the terminal is wide."""
    shown = list(columns)
    while not _fits(out, shown) and any(column.dispensable for column in shown):
        shown.remove(max(shown, key=lambda column: column.dispensable))
    return _table(shown)


def tables(out: Console, lead: Sequence[FitColumn], columns: Sequence[FitColumn]) -> Iterator[Table]:
    """All the columns, beside `lead` in as many tables as that takes."""
    left = list(columns)
    while left:
        fit = next((n for n in range(len(left), 1, -1) if _fits(out, [*lead, *left[:n]])), 1)
        yield _table([*lead, *left[:fit]])
        left = left[fit:]


def _fits(out: Console, columns: Sequence[FitColumn]) -> bool:
    options = out.options.update(width=_UNBOUNDED)
    return out.measure(_table(columns), options=options).maximum <= out.width


def _table(columns: Sequence[FitColumn]) -> Table:
    table = make_table(*((column.head, column.side) for column in columns))
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(_plain(cell) for cell in cells))
    return table


def _plain(cell: str) -> str:

    return escape(visible(cell))
