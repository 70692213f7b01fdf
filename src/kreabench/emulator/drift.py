"""Whether the emulator still looks like the real service: shapes of answers, and how two recordings differ. Pure.

A recording (`drift_record.record`) is a tree of mappings whose leaves are words: `HTTP 200`, `string`, `number`, …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Shape = str | dict[str, Any] | list[Any]

STATUSES = "statuses"
"""The key of a recording under which the statuses stand that were seen, in order."""

BODIES = "bodies"
"""The key under which the shape of each status stands, by the status's name."""

_MISSING = "nothing"


def shape(value: Any) -> Shape:
    """`value`, read from JSON, with its types in place of its values.

    A list becomes a list of one shape, that of all its elements together; an empty one stays empty.
    """
    if isinstance(value, Mapping):
        return {str(key): shape(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        merged: Shape | None = None
        for part in value:
            merged = shape(part) if merged is None else _merged(merged, shape(part))
        return [] if merged is None else [merged]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"


def _merged(one: Shape, other: Shape) -> Shape:
    if isinstance(one, dict) and isinstance(other, dict):
        both = {key: _merged(one[key], other[key]) for key in one if key in other}
        return {**one, **other, **both}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])] if one and other else one or other
    if one == other:
        return one
    return " or ".join(sorted({_word(one), _word(other)}))


def differences(live: Any, emulated: Any) -> list[str]:
    """One line for each place where two recordings (or two shapes) differ; empty where they agree.

    The live recording may leave statuses out, and their bodies: a short wait is easily missed.
    """
    return list(_differences(live, emulated, ()))


def _differences(live: Any, emulated: Any, path: tuple[str, ...]) -> Sequence[str]:
    if path and path[-1] == STATUSES and isinstance(live, list) and isinstance(emulated, list):
        known = iter(emulated)
        fits = all(status in known for status in live)
        return [] if fits else [_line(path, " → ".join(live), " → ".join(emulated))]
    if isinstance(live, dict) and isinstance(emulated, dict):
        found: list[str] = []
        unseen = () if path and path[-1] == BODIES else (key for key in emulated if key not in live)
        for key in (*live, *unseen):
            found += _differences(live.get(key, _MISSING), emulated.get(key, _MISSING), (*path, key))
        return found
    if isinstance(live, list) and isinstance(emulated, list):
        return _differences(live[0], emulated[0], (*path, "[]")) if live and emulated else []
    return [] if live == emulated else [_line(path, _word(live), _word(emulated))]


def _line(path: tuple[str, ...], live: str, emulated: str) -> str:
    return f"{'.'.join(path) or 'the whole'}: live {live}, emulated {emulated}"


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else str(value)
