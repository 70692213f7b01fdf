"""A gate as a page."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.decisions.gate import GateCheck, GateResult
from kreabench.report.gate.rows import COLUMNS, heading, notes, pairs_text, rests_on, row_of_check, title, verdict
from kreabench.report.gate.rows import warnings as warnings_of
from kreabench.report.page import Page, Section
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import visible


def gate_page(result: GateResult) -> Page:
    """Verdict, warnings, a table a pair of settings with those that did not pass first, and what it rests on."""
    notices = [Notice(level="warning", text=visible(text)) for text in warnings_of(result)]
    notices += [Notice(level="info", text=visible(text)) for text in notes(result)]
    sections = []
    for setting in result.comparison.settings:
        checks = sorted((x for x in result.checks if x.setting is setting), key=lambda check: check.outcome == "passed")
        table = _table(checks, visible(pairs_text(setting)))
        sections.append(
            Section(id=f"pair-{setting.candidate.id}", title=visible(heading(setting)), tables=(("", table),))
        )
    basis = Section(id="basis", title="What it rests on", sentences=tuple(map(visible, rests_on(result))))
    return Page(
        kind="gate",
        title=visible(title(result)),
        subtitle="",
        answer=(visible(verdict(result)),),
        notices=tuple(notices),
        sections=(*sections, basis),
        files=(),
    )


def _table(checks: Sequence[GateCheck], caption: str) -> Table:
    rows = []
    for check in checks:
        row = row_of_check(check)
        cells = [Cell(text=visible(cell)) for cell in row.cells]
        rows.append(Row(cells=(*cells, Cell(text=visible(row.reason)))))
    heads = [Column(title=head, numeric=head in COLUMNS[1:5]) for head in COLUMNS]
    return Table(columns=(*heads, Column(title="why", prose=True)), rows=tuple(rows), caption=caption)
