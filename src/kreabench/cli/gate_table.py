"""A gate on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kreabench.cli.terminal import SHOWN_SETTINGS, make_table, say
from kreabench.decisions.gate import GateResult
from kreabench.report.gate.rows import (
    COLUMNS,
    GateRow,
    heading,
    notes,
    pairs_text,
    rests_on,
    row_of_check,
    title,
    verdict,
    warnings,
)
from kreabench.report.text import visible

_STYLES = {"passed": "green", "regressed": "bold red", "inconclusive": "yellow"}
_UNBOUNDED = 10_000
"""Columns of a terminal that cuts no table short."""
_WIDE = ("base", "candidate")
"""Columns that a narrow terminal is spared; the other outputs have them."""


def print_gate(out: Console, result: GateResult) -> None:
    """The outcome, tables, the reasons of what did not pass, what it rests on, and the verdict in numbers."""
    say(out, f"{title(result)}: {result.outcome}", _STYLES[result.outcome])
    for text in warnings(result):
        say(out, f"! {text}", "bold yellow")
    for text in notes(result):
        say(out, f"! {text}", "yellow")
    bad = [
        s for s in result.comparison.settings if any(c.setting is s and c.outcome != "passed" for c in result.checks)
    ]
    shown = [s for s in result.comparison.settings if s in bad or len(result.comparison.settings) <= SHOWN_SETTINGS]
    for setting in shown:
        rows = [row_of_check(check) for check in result.checks if check.setting is setting]
        out.print()
        say(out, heading(setting), "bold")
        if rows:
            out.print(_table(out, rows))
        say(out, pairs_text(setting))
        _print_reasons(out, rows)
    out.print()
    if len(shown) < len(result.comparison.settings):
        say(out, f"{len(result.comparison.settings) - len(shown):,} pairs of settings passed every check")
    for line in rests_on(result):
        say(out, line)
    say(out, verdict(result), _STYLES[result.outcome])


def _print_reasons(out: Console, rows: Sequence[GateRow]) -> None:
    """Of what did not pass; checks of one reason on one line."""
    gathered: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.outcome != "passed":
            gathered.setdefault((row.outcome, row.reason), []).append(row.name)
    for (outcome, reason), names in gathered.items():
        say(out, f"{', '.join(names)}: {reason}", _STYLES[outcome])


def _table(out: Console, rows: Sequence[GateRow]) -> Table:
    """With as much as fits."""
    whole = _with_columns(rows, COLUMNS)
    fewer = [name for name in COLUMNS if name not in _WIDE]
    in_units = [replace(row, margin=row.margin.partition(" = ")[0]) for row in rows]
    for table in (whole, _with_columns(rows, fewer)):
        if out.measure(table, options=out.options.update(max_width=_UNBOUNDED)).maximum <= out.width:
            return table
    return _with_columns(in_units, fewer)


def _with_columns(rows: Sequence[GateRow], names: Sequence[str]) -> Table:
    table = make_table(*((name, "l" if name in {"check", "outcome"} else "r") for name in names))
    for row in rows:
        cells = dict(zip(COLUMNS, row.cells, strict=True))
        style = _STYLES[row.outcome]
        table.add_row(*(Text(visible(cells[name]), style=style if name == "outcome" else "") for name in names))
    return table
