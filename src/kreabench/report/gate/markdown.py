"""A gate as GitHub's Markdown: for the summary of a CI job, or a comment."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.decisions.gate import GateCheck, GateResult
from kreabench.report.gate.rows import (
    COLUMNS,
    heading,
    notes,
    pairs_text,
    rests_on,
    row_of_check,
    title,
    verdict,
    warnings,
)
from kreabench.report.markdown_page import escape
from kreabench.report.text import visible

MOST_ROWS = 500
"""Checks in all tables together: GitHub takes 1 MiB of a job's summary."""

_SIGNS = {"passed": "✅", "regressed": "❌", "inconclusive": "⚠️"}


def render_markdown(result: GateResult) -> str:
    """Verdict, warnings, a table a pair of settings with those that did not pass first, and what it rests on."""
    parts = [f"## {_text(title(result))}", f"{_SIGNS[result.outcome]} **{_text(verdict(result))}**"]
    parts += [f"> [!WARNING]\n> {_text(text)}" for text in warnings(result)]
    parts += [f"> [!NOTE]\n> {_text(text)}" for text in notes(result)]
    room = MOST_ROWS
    for setting in result.comparison.settings:
        checks = sorted((x for x in result.checks if x.setting is setting), key=lambda check: check.outcome == "passed")
        parts += [f"### {_text(heading(setting))}", _text(pairs_text(setting))]
        parts += [_table(checks[:room])] if checks[:room] else []
        parts += [f"{len(checks[room:]):,} further checks are in the JSON alone."] if checks[room:] else []
        room -= len(checks[:room])
    parts.append("\n".join(f"- {_text(line)}" for line in rests_on(result)))
    return "\n\n".join(parts) + "\n"


def _table(checks: Sequence[GateCheck]) -> str:
    heads = [*COLUMNS, "why"]
    lines = [f"| {' | '.join(heads)} |", "|:---|---:|---:|---:|---:|:---|:---|"]
    for check in checks:
        row = row_of_check(check)
        *cells, outcome = row.cells
        shown = [*cells, f"{_SIGNS[row.outcome]} {outcome}", row.reason]
        lines.append(f"| {' | '.join(map(_text, shown))} |")
    return "\n".join(lines)


def _text(text: str) -> str:
    return escape(visible(text))
