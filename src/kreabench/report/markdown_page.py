"""report.md: the same document for a pull request, with figures by relative path."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kreabench.report.document import Cell, Column, Document, Grid, Table

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK_START = re.compile(r"^([-+=#]|\d+(?=[.)]\s))")


def render_markdown(document: Document) -> str:
    """The report in GitHub's Markdown; it names files under figures/ that `report.write` puts there."""
    parts: list[str] = [f"# {escape(document.title)}"]
    parts += [escape(document.description)] if document.description else []
    parts.append(escape(document.subtitle))
    for notice in document.notices:
        parts.append(f"> [!{'WARNING' if notice.level == 'warning' else 'NOTE'}]\n> {escape(notice.text)}")
    parts.append(
        "\n".join(f"- **{escape(fact.label)}:** {escape(_joined(fact.value, fact.detail))}" for fact in document.facts)
    )
    parts += ["## Settings", *markdown_table(document.settings)]
    parts += ["### Skipped", *markdown_table(document.skipped)] if document.skipped else []
    parts += ["## Measurements"] if document.measurements else []
    for title, table in document.measurements:
        parts += [f"### {escape(title)}", *markdown_table(table, folds=True)]
    parts += ["## Figures", *([escape(document.figures_note)] if document.figures_note else [])]
    for figure in document.figures:
        parts += [f"### {escape(figure.title)}", _image(figure.alt, figure.name), escape(figure.caption)]
    parts += ["## Pictures", escape(document.pictures.caption), *markdown_list(document.pictures.notes)]
    for grid in document.pictures.grids:
        picture = "There is no picture to show." if grid.is_empty else _image(_grid_alt(grid), grid.name)
        parts += [f"### {escape(grid.title)}", picture]
    parts += ["## Failures", *markdown_table(document.failures)] if document.failures else []
    parts += ["## Method", *markdown_list(document.method)]
    parts += ["### Metrics", *markdown_table(document.metrics)] if document.metrics else []
    parts += ["### Prices", *markdown_table(document.prices)] if document.prices else []
    parts += ["## Environment", "### Targets", *markdown_table(document.targets)]
    parts += ["### Model loads", *markdown_table(document.loads)] if document.loads else []
    parts += ["### Versions", *markdown_table(document.environment)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """`text` as one line of plain text: neither Markdown nor HTML, fit for a table's cell."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(r"\\\1", line)
    return _BLOCK_START.sub(lambda match: f"{match[1]}\\" if match[1].isdigit() else f"\\{match[1]}", line)


def _joined(value: str, detail: str) -> str:
    return f"{value} ({detail})" if detail else value


def _image(alt: str, name: str) -> str:
    return f"![{escape(alt)}](figures/{name}.png)"


def _grid_alt(grid: Grid) -> str:
    return f"Pictures of {len(grid.rows)} prompts at {len(grid.columns)} settings, {grid.title}"


def markdown_list(items: Iterable[str]) -> list[str]:
    """One line an item; nothing where there is none."""
    lines = "\n".join(f"- {escape(item)}" for item in items)
    return [lines] if lines else []


def markdown_table(table: Table, *, folds: bool = False) -> list[str]:
    """Caption, table and notes; with `folds` a long table is closed until it is opened.

    A long table that few need is left to the page: GitHub takes 65,536 characters of a comment.
    """
    if table.aside and table.is_long:
        return [
            escape(table.caption),
            f"The page, index.html, has its {len(table.rows):,} rows.",
            *markdown_list(table.notes),
        ]
    head = "| " + " | ".join(map(_head, table.columns)) + " |"
    rule = "|" + "|".join("---:" if column.numeric else ":---" for column in table.columns) + "|"
    lines = []
    for row in table.rows:
        cells = [_cell(cell) for cell in row.cells]
        if row.mark:
            cells[0] = f"{cells[0]}<br>*{escape(row.mark)}*"
        lines.append("| " + " | ".join(cells) + " |")
    body = ["\n".join([head, rule, *lines])]
    if folds and table.is_long:
        body = [f"<details><summary>{len(lines):,} rows</summary>", *body, "</details>"]
    return [escape(table.caption), *body, *markdown_list(table.notes)]


def _head(column: Column) -> str:
    parts = [escape(column.title), escape(column.unit), f"**{escape(column.brand)}**" if column.brand else ""]
    return "<br>".join(part for part in parts if part)


def _cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.strong and cell.text else escape(cell.text)
    return "<br>".join([part for part in (text, escape(cell.detail), escape(cell.remark)) if part])
