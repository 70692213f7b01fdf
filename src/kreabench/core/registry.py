"""Explicit tables of plug-ins: a name, where its class lives, and what people should know, without importing it."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


def load_object(location: str) -> Any:
    """The object at `package.module:Name`, imported now."""
    module, _, name = location.partition(":")
    return getattr(importlib.import_module(module), name)


def suggest(name: str, valid: Iterable[str]) -> str:
    """`one of a, b, c`, with the nearest first when `name` looks like a slip of the pen."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1)
    if not names:
        return "none, as there are none to choose from"
    listing = ", ".join(names)
    return f"one of {listing} (did you mean {near[0]}?)" if near else f"one of {listing}"
