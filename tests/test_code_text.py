"""Commands in a sentence are shown as code, and nothing else is."""

from __future__ import annotations

import pytest

from kreabench.report.code_text import code_parts
from kreabench.report.html_page import render_html
from kreabench.report.markdown_page import render_markdown
from kreabench.report.page import Page
from kreabench.report.parts import Notice


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("6; `kreabench plan --power` says.", [(False, "6; "), (True, "kreabench plan --power"), (False, " says.")]),
        ("one ` alone", [(False, "one ` alone")]),
        ("`<b>`", [(False, "`<b>`")]),
        ("``", [(False, "``")]),
        ("", []),
    ],
)
def test_only_plain_words_between_backticks_are_code(text: str, parts: list[tuple[bool, str]]) -> None:
    assert list(code_parts(text)) == parts


def test_both_formats_show_it_as_code_and_escape_the_rest() -> None:
    text = "take *6*; `kreabench plan --power` says <b>`<i>`"
    notices = tuple(Notice(level="warning", text=text) for _ in range(5))
    page = Page(kind="report", title="t", subtitle="s", notices=notices, sections=(), files=("samples.csv",))
    html = render_html(page)
    assert html.count("<code>kreabench plan --power</code> says &lt;b&gt;`&lt;i&gt;`") == 5
    markdown = render_markdown(page)
    assert markdown.count(r"take \*6\*; `kreabench plan --power` says &lt;b&gt;\`&lt;i&gt;\`") == 5
