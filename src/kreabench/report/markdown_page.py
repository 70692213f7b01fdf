"""The same page for a pull request, with figures by relative path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kreabench.report.best_table import best_table
from kreabench.report.code_text import code_parts
from kreabench.report.page import Page, Section
from kreabench.report.parts import Cell, Column, Grid, Notice, Table

MAX_ALERTS = 4
"""Notices in boxes of their own; more of them would push the answer's numbers out of sight."""

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_BACKTICKS = re.compile(r"`+")
_BLOCK_START = re.compile(r"^([-+=#]|\d+(?=[.)]\s))")


def render_markdown(page: Page) -> str:
    """The page in GitHub's Markdown; it names files under figures/ that `report.files` puts beside it.

    Of a page that is explored the best settings stand first, and all that few read is closed until it is opened.
    """
    parts = [f"# {escape(page.title)}"]
    parts += [escape(page.description)] if page.description else []
    parts += [escape(page.subtitle)]
    parts += [f"**{escape(text)}**" if not number else escape(text) for number, text in enumerate(page.answer)]
    if page.answer_rests_on:
        parts += _closed("What this rests on", markdown_list(page.answer_rests_on))
    parts += _command(page)
    parts += [_alert(notice) for notice in page.notices[:MAX_ALERTS]]
    rest = page.notices[MAX_ALERTS:]
    if rest:
        lines = (f"{'Warning' if notice.level == 'warning' else 'Note'}: {notice.text}" for notice in rest)
        parts += _closed(f"{len(rest)} more to know", markdown_list(lines))
    facts = (f"**{escape(fact.label)}** {escape(_joined(fact.value, fact.detail))}" for fact in page.facts)
    parts += [" · ".join(facts)] if page.facts else []
    best = None if page.explorer is None else best_table(page.explorer)
    if best is not None:
        parts += ["## Best settings", *markdown_table(best)]
    first = next((table for section in page.sections for _, table in section.tables), None)
    for section in page.sections:
        parts += _section(section, first, explored=page.explorer is not None)
    return "\n\n".join(parts) + "\n"


def _alert(notice: Notice) -> str:
    return f"> [!{'WARNING' if notice.level == 'warning' else 'NOTE'}]\n> {_sentence(notice.text)}"


def _sentence(text: str) -> str:
    """`text` escaped, its commands as code."""
    return "".join(f"`{part}`" if is_code else _inner(part) for is_code, part in code_parts(text)).strip()


def _inner(part: str) -> str:
    """`part` escaped, with a space where it begins or ends with one."""
    return f"{' ' * part[:1].isspace()}{escape(part)}{' ' * part[-1:].isspace()}"


def _closed(summary: str, parts: Iterable[str]) -> list[str]:
    """`parts` behind a line that opens them."""
    return [f"<details><summary>{escape(summary)}</summary>", *parts, "</details>"]


def _command(page: Page) -> list[str]:
    """In a fence that no run of backticks in it can close."""
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(page.command)), default=0))
    parts = [f"{fence}sh\n{page.command}\n{fence}"] if page.command else []
    return [*parts, escape(page.command_note)] if page.command_note else parts


def _section(section: Section, first: Table | None, *, explored: bool) -> list[str]:
    """Nothing for one that only the page's script fills. Long tables are closed, but not the first of the page."""
    said = section.text or section.sentences or section.tables or section.figures or section.grids or section.grid_notes
    if explored and section.part and not said:
        return []
    folds = explored and not section.part and not section.opens and bool(section.tables)
    body = [*markdown_list(section.sentences), *_figures(section)]
    for title, table in section.tables:
        body += [f"### {escape(title)}"] if title else []
        body += markdown_table(table, folds=table is not first and not folds)
    body += _grids(section)
    intro = [escape(section.text)] if section.text else []
    return [f"## {escape(section.title)}", *intro, *(_closed(_inside(section), body) if folds else body)]


def _inside(section: Section) -> str:
    """What a closed section holds."""
    titles = [title for title, _ in section.tables if title]
    rows = [f"{len(table.rows):,} rows" for title, table in section.tables if not title]
    sentences = ["In words"] if section.sentences else []
    return "; ".join([*sentences, *rows, *titles])


def _figures(section: Section) -> Iterator[str]:
    for figure in section.figures:
        yield from [f"### {escape(figure.title)}"] if figure.title != section.title else []
        yield from (_image(figure.alt, figure.name), escape(figure.caption))


def _grids(section: Section) -> Iterator[str]:
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
    lines = "\n".join(f"- {_sentence(item)}" for item in items)
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
