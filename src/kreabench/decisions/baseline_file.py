"""A baseline file: what a comparison needs of a run, as lines of JSON that can live in git. No pictures, no prompts.

The first line is the header; each further one a picture, or a request that failed. Fields that hold what follows from
the header are left out. The order is that of the settings, and of the plan within one, so that a run always gives the
same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec
from kreabench.rundir import codec

KIND = "kreabench baseline"
VERSION = 1
"""Raised whenever a reader of today would misread a file of tomorrow."""

T = TypeVar("T")

Cell = float | str | tuple[float, str]
"""A score: its value, the name of a state without a value, or a value and the state where that is not the usual one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreState:
    """What is said of a score besides its value."""

    status: Literal["ok", "infinite", "not_applicable", "failed"]
    reason: str
    truncated: bool
    untrained: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineRow:
    """A picture, or a request without one."""

    setting: str
    """Id."""
    prompt: str
    """Id."""
    seed: int
    repeat: int = 0
    index: int = 0
    """Of the picture within its request."""
    status: Literal["ok", "failed"] = "ok"
    error: str | None = None
    """Type of the failure."""
    sha256: str | None = None
    """Of the picture's file; None where there is none."""
    width: int | None = None
    """In pixels; None where it is the setting's, as for `height`."""
    height: int | None = None
    image_seed: int | None = None
    """None where it is seed + index."""
    latency_s: float | None = None
    timed: bool = False
    """Whether the latency is fit for a median."""
    hosted: bool = False
    peak_allocated_bytes: int | None = None
    peak_rss_bytes: int | None = None
    energy_j: float | None = None
    usd: float | None = None
    """Of the whole request."""
    usd_basis: str = "none"
    nsfw: bool | None = None
    degenerate: str | None = None
    scores: dict[str, Cell] = field(default_factory=dict)
    """Metric → its score of the picture; without those that were never scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineHeader:
    """The first line. Besides what follows, see `decisions.sides.Side`."""

    kind: str
    version: int
    rows: int
    """Lines that follow."""
    sha256: str
    """Of the whole file, where this field is empty."""
    run_name: str
    created_utc: str
    notice: str | None
    settings: tuple[Setting, ...]
    requested: dict[str, int]
    dropped: dict[str, str]
    metrics: tuple[MetricSpec, ...]
    """With those of their options alone that say how to read a value."""
    identities: dict[str, str]
    usual: dict[str, str]
    """Metric → name of the state of a score that is a number alone."""
    states: dict[str, ScoreState]
    prompts: dict[str, str]
    facts: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Version:
    kind: str
    version: int


def encode_baseline(header: Mapping[str, Any], rows: Sequence[BaselineRow]) -> bytes:
    """The file's content; `header` holds the fields of `BaselineHeader` but those that follow from the rows."""
    lines = b"".join(codec.encode(_short(row)) + b"\n" for row in rows)
    open_header = BaselineHeader(kind=KIND, version=VERSION, rows=len(rows), sha256="", **header)
    sealed = replace(open_header, sha256=_digest(codec.encode(open_header), lines))
    return codec.encode(sealed) + b"\n" + lines


def _digest(first: bytes, lines: bytes) -> str:
    return hashlib.sha256(first + b"\n" + lines).hexdigest()


def _short(row: BaselineRow) -> dict[str, Any]:
    """Without what is left at its default."""
    return {name: value for name, default in _DEFAULTS.items() if (value := getattr(row, name)) != default}


_DEFAULTS: dict[str, Any] = {one.name: {} if one.name == "scores" else one.default for one in fields(BaselineRow)}


def is_baseline(path: Path) -> bool:
    """Whether a file says that it is a baseline. Raises RunDirectoryError where it cannot be read."""
    try:
        return codec.decode(_read(path).partition(b"\n")[0], _Version).kind == KIND
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def decode_baseline(path: Path) -> tuple[BaselineHeader, list[BaselineRow]]:
    """Header and rows of a file. Raises RunDirectoryError for another file, a newer one and a damaged line."""
    content = _read(path).replace(b"\r\n", b"\n")  # git may check it out so
    first, _, lines = content.partition(b"\n")
    try:
        said = codec.decode(first, _Version)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    if said is None or said.kind != KIND:
        raise RunDirectoryError(
            f"{path} is no baseline file",
            remedy="Name a run directory, or a file that `kreabench baseline export` wrote.",
        )
    if said.version != VERSION:
        raise RunDirectoryError(
            f"{path} has version {said.version}; this kreabench reads version {VERSION}",
            remedy="Read it with a newer kreabench, or export it again with this one.",
        )
    header = _decoded(path, 1, first, BaselineHeader)
    rows = [_decoded(path, number, line, BaselineRow) for number, line in enumerate(lines.splitlines(), 2)]
    _check(path, header, rows, first, lines)
    return header, rows


def _check(path: Path, header: BaselineHeader, rows: Sequence[BaselineRow], first: bytes, lines: bytes) -> None:
    if len(rows) != header.rows:
        raise _damaged(f"{path} has {len(rows)} lines after the first; the first says {header.rows}")
    if _digest(first.replace(header.sha256.encode(), b"", 1), lines) != header.sha256:
        raise _damaged(f"{path} was changed after it was written: it has another SHA-256 than its first line says")
    settings, states = {setting.id for setting in header.settings}, header.states.keys()
    cells = [cell for row in rows for cell in row.scores.values() if not isinstance(cell, float)]
    used = {cell if isinstance(cell, str) else cell[1] for cell in cells}
    scored = {metric for row in rows for metric, cell in row.scores.items() if isinstance(cell, float)}
    named = {row.setting for row in rows} - settings or used - states or scored - header.usual.keys()
    if named or settings - header.requested.keys():
        raise _damaged(f"{path}, line 1, lacks a setting or a state of a score that another line names")


def _decoded(path: Path, number: int, line: bytes, type_: type[T]) -> T:
    try:
        return codec.decode(line, type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(f"{path}, line {number}, is damaged: {error}") from error


def _damaged(what: str) -> RunDirectoryError:
    return RunDirectoryError(what, remedy="Take the file from git again, or export it again.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunDirectoryError(
            f"cannot read {path}: {error.strerror}", remedy="Check the disk and the file's permissions."
        ) from error
