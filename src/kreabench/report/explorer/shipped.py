"""The shipped configuration as plain values, without composing it: what a command need not say."""

from __future__ import annotations

from functools import cache
from typing import Any

from kreabench.config.compose import CONFIG_NAME, conf_dir

Values = dict[str, Any]

_HERE = "@_here_"
"""In a file's `defaults`: another file of the group, of which it changes a part."""


@cache
def shipped(group: str, name: str) -> Values | None:
    """What the file `name` of a group holds, with the files that it builds on; None where we ship none."""
    path = conf_dir() / group / f"{name}.yaml"
    if not name.isidentifier() or not path.is_file():
        return None
    own = _read(path.read_text(encoding="utf-8"))
    merged: Values = {}
    for entry in own.pop("defaults", []):
        if isinstance(entry, str) and entry.endswith(_HERE):
            merged = _merged(merged, shipped(group, entry.removesuffix(_HERE)) or {})
    return _merged(merged, own)


@cache
def names_of(group: str) -> tuple[str, ...]:
    """The files of a group."""
    return tuple(sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")))


@cache
def top() -> Values:
    """What config.yaml itself holds."""
    return _read((conf_dir() / f"{CONFIG_NAME}.yaml").read_text(encoding="utf-8"))


@cache
def metrics_of(name: str) -> Values:
    """Metric → its values, of one file of conf/metrics/, which says in its first line where they go."""
    text = (conf_dir() / "metrics" / f"{name}.yaml").read_text(encoding="utf-8")
    package = text.partition("\n")[0].removeprefix("# @package metrics").strip(". ")
    values = _read(text)
    return {package: values} if package else values


def _read(text: str) -> Values:
    from yaml import safe_load

    values = safe_load(text)
    return values if isinstance(values, dict) else {}


def _merged(below: Values, above: Values) -> Values:
    """`above` over `below`, mapping by mapping, as a composition merges them."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
