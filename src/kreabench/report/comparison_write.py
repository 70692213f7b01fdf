"""Writes a comparison into a folder: every file is made first, beside the place where it goes, and only then moved."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kreabench.decisions.comparison import Comparison
from kreabench.report.comparison import ComparisonDocument, build_comparison
from kreabench.report.comparison_csv import comparison_csv, prompts_csv
from kreabench.report.html_page import render_template
from kreabench.report.markdown_page import escape, markdown_list, markdown_table
from kreabench.rundir.files import storage_error

INDEX = "index.html"


def write_comparison(comparison: Comparison, out: Path, *, worst: int) -> Path:
    """Write index.html, comparison.md, comparison.csv and prompts.csv into `out`; returns the path of index.html.

    Files of an earlier comparison are replaced, others are left alone. Raises StorageError.
    """
    document = build_comparison(comparison, worst=worst)
    files = dict(_files(comparison, document))
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".comparison-", dir=out) as folder:
            for name, content in files.items():
                Path(folder, name).write_text(content, encoding="utf-8")
            for name in files:
                Path(folder, name).replace(out / name)
    except OSError as error:
        raise storage_error(out, error) from error
    return out / INDEX


def _files(comparison: Comparison, document: ComparisonDocument) -> Iterator[tuple[str, str]]:
    yield "comparison.csv", comparison_csv(comparison)
    yield "prompts.csv", prompts_csv(comparison)
    yield "comparison.md", render_markdown(document)
    yield INDEX, render_html(document)


def render_html(document: ComparisonDocument) -> str:
    """The page: one file, no script, no request to anywhere; all text is escaped."""
    return render_template("comparison.html.j2", document)


def render_markdown(document: ComparisonDocument) -> str:
    """The same for a pull request; pictures are left to the page."""
    parts = [f"# {escape(document.title)}", escape(document.subtitle)]
    for notice in document.notices:
        parts.append(f"> [!{'WARNING' if notice.level == 'warning' else 'NOTE'}]\n> {escape(notice.text)}")
    facts = (f"{fact.label}: {fact.value}{f' ({fact.detail})' if fact.detail else ''}" for fact in document.facts)
    parts += markdown_list(facts)
    for section in document.sections:
        parts += [f"## {escape(section.title)}", *([escape(section.text)] if section.text else [])]
        for title, table in section.tables:
            parts += [f"### {escape(title)}"] if title else []
            parts += markdown_table(table, folds=True)
        for grid in section.grids:
            rows = (f"{row.title}: {row.prompt}" for row in grid.rows)
            parts += [f"### {escape(grid.title)}", *markdown_list(rows)]
    parts += ["## Method", *markdown_list(document.method)]
    return "\n\n".join(parts) + "\n"
