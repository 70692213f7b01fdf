"""The same page for a pull request, with figures by relative path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kreabench.report.page import Page, Section
from kreabench.report.parts import Cell, Column, Grid, Table

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_BACKTICKS = re.compile(r"`+")
_BLOCK_START = re.compile(r"^([-+=#]|\d+(?=[.)]\s))")


def render_markdown(page: Page) -> str:
    """The page in GitHub's Markdown; it names files under figures/ that `report.files` puts beside it."""
    parts = [f"# {escape(page.title)}"]
    parts += [escape(page.description)] if page.description else []
    parts += [escape(page.subtitle), *(f"**{escape(text)}**" for text in page.answer)]
    parts += _command(page)
    for notice in page.notices:
        parts.append(f"> [!{'WARNING' if notice.level == 'warning' else 'NOTE'}]\n> {escape(notice.text)}")
    facts = (f"- **{escape(fact.label)}:** {escape(_joined(fact.value, fact.detail))}" for fact in page.facts)
    parts += ["\n".join(facts)] if page.facts else []
    first = next((table for section in page.sections for _, table in section.tables), None)
    for section in page.sections:
        parts += _section(section, first)
    return "\n\n".join(parts) + "\n"


def _command(page: Page) -> list[str]:
    """In a fence that no run of backticks in it can close."""
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(page.command)), default=0))
    parts = [f"{fence}sh\n{page.command}\n{fence}"] if page.command else []
    return [*parts, escape(page.command_note)] if page.command_note else parts


def _section(section: Section, first: Table | None) -> Iterator[str]:
    """Long tables are closed, but not the first of the page."""
    yield f"## {escape(section.title)}"
    yield from [escape(section.text)] if section.text else []
    yield from markdown_list(section.sentences)
    for figure in section.figures:
        yield from [f"### {escape(figure.title)}"] if figure.title != section.title else []
        yield from (_image(figure.alt, figure.name), escape(figure.caption))
    for title, table in section.tables:
        yield from [f"### {escape(title)}"] if title else []
        yield from markdown_table(table, folds=table is not first)
    yield from markdown_list(section.grid_notes)
    for grid in section.grids:
        yield f"### {escape(grid.title)}"
        if not grid.sheet:
            yield from markdown_list(f"{row.title}: {row.prompt}" for row in grid.rows)
        else:
            yield "There is no picture to show." if grid.is_empty else _image(_grid_alt(grid), grid.name)


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
