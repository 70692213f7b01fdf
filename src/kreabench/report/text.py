"""Text from outside, made fit to show: prompts, messages, names. Escaping for a format is the renderer's business."""

from __future__ import annotations

import re
import unicodedata

from kreabench.core.redaction import redact

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder the text around them; marks inside a script (U+200E, U+200F) and joiners are harmless."""


def visible(text: str) -> str:
    """`text` on one line, with runs of white space as one space and control characters written out as ⟨U+202E⟩."""
    joined = " ".join(text.split())
    return "".join(f"⟨U+{ord(char):04X}⟩" if _is_control(char) else char for char in joined)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, saying how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}… ({len(text) - limit:,} more characters)"


def message(text: str, limit: int = 400) -> str:
    """An error text or reason, fit to show: redacted, on one line, at most `limit` characters."""
    return shorten(visible(redact(text)), limit)


def file_name(text: str) -> str:
    """`text` as the name of one file or folder; names of experiments stay as they are."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:100] or "run"


def _is_control(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in {"Cc", "Cs", "Co", "Cn"}
