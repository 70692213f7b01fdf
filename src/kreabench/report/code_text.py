"""Commands in a sentence, between backticks: which parts of it are code."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CODE = re.compile(r"`([\w ./:=,-]+)`")
"""Only of characters that mean nothing in HTML or in Markdown, so that a text from outside makes no more of it."""


def code_parts(text: str) -> Iterator[tuple[bool, str]]:
    """Parts of `text` in order, each with whether it is code; its backticks are left out."""
    for number, part in enumerate(_CODE.split(text)):
        if part:
            yield bool(number % 2), part
