"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def at_home(name: str) -> Path:
    """`name` with its `~`; as it stands where that is no home, so that it is then a file that is not there."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
