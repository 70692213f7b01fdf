"""Texts that leave the machine: without its folders, and without anything shaped like a key."""

from __future__ import annotations

import re

_PATH = re.compile(r"(?<![\w.~/<])(?:file://|~)?((?:/[^\s/'\"<>|:;,()]+){2,})/?")
_WINDOWS_PATH = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\s\\'\"<>|:]+\\)*([^\s\\'\"<>|:]*)")
_SECRETS = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{16,}"  # a key of fal
    r"|\b(?:hf|sk|ghp|gho|pypi)[-_][A-Za-z0-9_-]{16,}"
    r"|(?i:(?<=bearer )|(?<=authorization: key ))[^\s'\",]{8,}"
    r"|(?<=://)[^\s/@'\"]+:[^\s/@'\"]+(?=@)"  # user:password@host
)


def redact(text: str) -> str:
    """`text` without absolute paths (only the last part stays, after …/) and without anything shaped like a key."""
    text = _SECRETS.sub("[removed]", text)
    text = _PATH.sub(lambda match: _last_part(match[1]), text)
    return _WINDOWS_PATH.sub(lambda match: f"…/{match[1]}", text)


def _last_part(path: str) -> str:
    """The end of an absolute path, unless that names a person."""
    parts = path.strip("/").split("/")
    return "…" if len(parts) == 2 and parts[0] in {"home", "Users"} else f"…/{parts[-1]}"
