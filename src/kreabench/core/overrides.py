"""Overrides: what a configuration says beside the shipped one, as arguments of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z_][\w./-]*|\d+x\d+")
"""Texts that need no quotes in Hydra's grammar, unless they are words of it."""
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "nan", "inf"})
_KEY = re.compile(r"[A-Za-z_]\w*")


class NoOverride(ValueError):
    """What no override can say; the text names the key."""


def override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar."""
    return f"{key}={_text(value)}"


def overrides_of(key: str, wanted: Any, there: Any) -> Iterator[str]:
    """What turns the value `there` of `key` into `wanted`, leaf by leaf. Raises NoOverride where a key has to go."""
    if wanted == there and type(wanted) is type(there):
        return
    if not (isinstance(wanted, Mapping) and isinstance(there, Mapping)):
        yield override(key, wanted)
        return
    gone = [name for name in there if name not in wanted]
    if gone:
        raise NoOverride(f"{key}.{gone[0]}")
    for name, value in wanted.items():
        if not _KEY.fullmatch(str(name)):
            if there.get(name) != value:
                raise NoOverride(f"{key}.{name}")
            continue
        yield from overrides_of(f"{key}.{name}", value, there.get(name))


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_quoted(str(key))}:{_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "'"
