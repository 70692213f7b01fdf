"""How to draw each setting again."""

from __future__ import annotations

from kreabench.report.explorer.data import ReportData
from kreabench.report.parts import Cell, Column, Row, Table


def commands_table(report: ReportData) -> Table | None:
    """One row a setting that has a command, or a reason for having none."""
    rows = tuple(
        Row(cells=(Cell(text=one.short), Cell(text=one.command)), setting=one.id)
        for one in report.settings
        if one.command
    )
    if not rows:
        return None
    return Table(
        columns=(Column(title="Setting"), Column(title="Command", prose=True)),
        rows=rows,
        caption="What draws a setting again, with its reference and all its prompts and seeds.",
        aside=True,
    )
