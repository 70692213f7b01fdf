"""Text from outside, made fit to show: prompts, messages, names. Escaping for a format is the renderer's business."""

from __future__ import annotations

import re
import unicodedata

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder the text around them; marks inside a script (U+200E, U+200F) and joiners are harmless."""

_PATH = re.compile(r"(?<![\w.~/<])(?:file://|~)?((?:/[^\s/'\"<>|:;,()]+){2,})/?")
_WINDOWS_PATH = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\s\\'\"<>|:]+\\)*([^\s\\'\"<>|:]*)")
_SECRETS = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{16,}"  # a key of fal
    r"|\b(?:hf|sk|ghp|gho|pypi)[-_][A-Za-z0-9_-]{16,}"
    r"|(?i:(?<=bearer )|(?<=authorization: key ))[^\s'\",]{8,}"
    r"|(?<=://)[^\s/@'\"]+:[^\s/@'\"]+(?=@)"  # user:password@host
)


def visible(text: str) -> str:
    """`text` on one line, with runs of white space as one space and control characters written out as ⟨U+202E⟩."""
    joined = " ".join(text.split())
    return "".join(f"⟨U+{ord(char):04X}⟩" if _is_control(char) else char for char in joined)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, saying how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}… ({len(text) - limit:,} more characters)"


def redact(text: str) -> str:
    """`text` without absolute paths (only the last part stays, after …/) and without anything shaped like a key."""
    text = _SECRETS.sub("[removed]", text)
    text = _PATH.sub(lambda match: _last_part(match[1]), text)
    return _WINDOWS_PATH.sub(lambda match: f"…/{match[1]}", text)


def _last_part(path: str) -> str:
    """The end of an absolute path, unless that names a person."""
    parts = path.strip("/").split("/")
    return "…" if len(parts) == 2 and parts[0] in {"home", "Users"} else f"…/{parts[-1]}"


def message(text: str, limit: int = 400) -> str:
    """An error text or reason, fit to show: redacted, on one line, at most `limit` characters."""
    return shorten(visible(redact(text)), limit)


def _is_control(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in {"Cc", "Cs", "Co", "Cn"}
