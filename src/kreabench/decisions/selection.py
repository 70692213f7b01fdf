"""Which run and which of its settings a word on the command line means: `RUN`, `RUN:acceleration=high,steps=8`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Setting
from kreabench.core.registry import suggest
from kreabench.core.sizes import parse_size
from kreabench.remote.copies import copy_of
from kreabench.remote.urls import is_url, split_selection

REFERENCE = "reference"
"""Chooses the settings that are references."""

_AXES: Mapping[str, Callable[[Setting, str], bool]] = {
    "id": lambda setting, text: len(text) >= 4 and setting.id.startswith(text),
    "target": lambda setting, text: setting.target == text,
    "acceleration": lambda setting, text: setting.acceleration == text,
    "steps": lambda setting, text: _equal(setting.steps, text),
    "guidance": lambda setting, text: _equal(setting.guidance, text),
    "strength": lambda setting, text: _equal(setting.strength, text),
    "size": lambda setting, text: (setting.width, setting.height) == parse_size(text),
    "num_images": lambda setting, text: _equal(setting.num_images, text),
    "output_format": lambda setting, text: setting.output_format == text,
    "concurrency": lambda setting, text: _equal(setting.concurrency, text),
    "batch_size": lambda setting, text: _equal(setting.batch_size, text),
    "replicas": lambda setting, text: _equal(setting.replicas, text),
    "rate_per_s": lambda setting, text: _equal(setting.rate_per_s, text),
}


def split_name(text: str) -> tuple[Path, str]:
    """`RUN:SELECTION` → the path and the selection, which is empty where there is none. A path may hold colons.

    RUN may be the URL of a pushed run: the path is then that of a copy. Raises as `remote.copies.copy_of`.
    """
    if is_url(text):
        url, selection = split_selection(text)
        return copy_of(url), selection
    if Path(text).exists():
        return Path(text), ""
    path, colon, selection = text.rpartition(":")
    return (Path(path), selection) if colon else (Path(text), "")


def choose(settings: Sequence[Setting], selection: str, *, name: str) -> tuple[Setting, ...]:
    """Those of `settings` that `selection` means: `reference`, or `AXIS=VALUE,…`; all where it is empty.

    Raises ConfigError for an unknown axis, a value that is none, and where nothing is left.
    """
    if not selection:
        return tuple(settings)
    if selection == REFERENCE:
        chosen = tuple(setting for setting in settings if setting.id == setting.reference_id)
    else:
        chosen = tuple(settings)
        for part in selection.split(","):
            axis, _, value = part.partition("=")
            if axis not in _AXES or not value:
                expected = f"{REFERENCE}, or AXIS=VALUE with AXIS {suggest(axis, _AXES)}"
                raise ConfigError([Problem(key=name, found=repr(part), expected=expected)])
            try:
                chosen = tuple(setting for setting in chosen if _AXES[axis](setting, value))
            except ValueError as error:
                raise ConfigError([Problem(key=name, found=repr(part), expected=str(error))]) from error
    if not chosen:
        more = len(settings) - 8
        there = "; ".join(setting.label for setting in settings[:8]) + (f"; and {more} more" if more > 0 else "")
        raise ConfigError([Problem(key=name, found=repr(selection), expected=f"a selection of its settings: {there}")])
    return chosen


def _equal(value: float | None, text: str) -> bool:
    try:
        return float(text) == value
    except ValueError as error:
        raise ValueError("a number") from error
