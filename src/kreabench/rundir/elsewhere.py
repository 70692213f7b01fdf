"""Runs that are read where they lie: their folder here is a copy, to which a picture is brought when it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """Where a copy is from."""

    url: str
    has: Callable[[str], bool]
    """Whether the run has a file of this path, below its folder."""
    bring: Callable[[str], None]
    """Make the file of this path be there; nothing where the run has none. Raises RunDirectoryError, StorageError."""


_COPIES: dict[Path, Elsewhere] = {}
"""Folder, resolved → where it is from; of this process."""


def register(run_path: Path, elsewhere: Elsewhere) -> None:
    """From now on files of the copy at `run_path` are brought when they are read."""
    _COPIES[run_path.resolve()] = elsewhere


def url_of(run_path: Path) -> str | None:
    """Where the run at `run_path` lies; None where that is the run itself."""
    found = _COPIES.get(run_path.resolve()) if _COPIES else None
    return None if found is None else found.url


def bring(run_path: Path, relative: str) -> None:
    """Before the file `relative` of a run is read. Raises RunDirectoryError and StorageError, of a copy alone."""
    found = _COPIES.get(run_path.resolve()) if _COPIES else None
    if found is not None:
        found.bring(relative)


def has_file(run_path: Path, relative: str) -> bool:
    """Whether the run has this file, wherever it lies."""
    found = _COPIES.get(run_path.resolve()) if _COPIES else None
    return (run_path / relative).is_file() or (found is not None and found.has(relative))
