"""A page as a piece of HTML for a notebook: answer, notices, tables. No pictures, no script, everything escaped."""

from __future__ import annotations

from kreabench.core.ids import stable_hash
from kreabench.report.html_page import environment
from kreabench.report.page import Page


def render_fragment(page: Page) -> str:
    """`page` without its figures and grids; tables after the first are closed until they are opened."""
    tables = [(section.title, title, table) for section in page.sections for title, table in section.tables]
    text = environment().get_template("fragment.html.j2").render(page=page, tables=tables)
    return text.replace("KREABENCH-ID", f"kreabench-{stable_hash(text)[:12]}")


def plain_text(page: Page) -> str:
    """Title and answer, or the first notice, on one line."""
    said = [*page.answer, *(notice.text for notice in page.notices)][:1]
    return ": ".join([page.title, *said])
