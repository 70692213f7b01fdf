"""What a run has given out to be drawn elsewhere: frozen when jobs are submitted, and only read by them.

parts/<number>/batch.json          which requests each job draws, and what a resume has to know of them
parts/<number>/jobs.json           which jobs were submitted
parts/<number>/closed              nobody draws for this batch any more
parts/<number>/unmerged            it was closed before what its jobs drew was merged
parts/<number>/jobs/               what the cluster's jobs are started with, and what they print
parts/<number>/<name>/             the part that a job writes
parts/<number>/<name>/ended.json   how that job ended
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from kreabench.core.errors import RunDirectoryError
from kreabench.core.records import READABLE_VERSIONS
from kreabench.rundir import codec
from kreabench.rundir.files import make_folders, storage_error, write_file
from kreabench.rundir.parts import PARTS_FOLDER, batch_folders

BATCH_FILE = "batch.json"
JOBS_FILE = "jobs.json"
JOBS_FOLDER = "jobs"
CLOSED_FILE = "closed"
UNMERGED_FILE = "unmerged"
ENDED_FILE = "ended.json"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """What one job draws."""

    name: str
    """Of its part's folder."""
    requests: tuple[str, ...]
    """Ids."""
    deaths: dict[str, int] = field(default_factory=dict)
    """As in `execution.engine.GroupWork`, with the next two."""
    tries: dict[str, int] = field(default_factory=dict)
    submitted: dict[str, str | None] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    """Target → kind of device that drew it before."""
    budget_usd: float | None = None
    """What the run may spend on hosted requests and scores; None: no limit."""
    spent_usd: float = 0.0
    """What of it was spent when the job was submitted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """All that was given out at once."""

    schema_version: int
    plan_hash: str
    created_utc: str
    elements: tuple[Element, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Jobs:
    """What became of the submission."""

    cluster: Literal["slurm", "local"]
    ids: dict[str, str]
    """Name of an element → id of its job."""
    complete: bool
    """Whether nothing more is submitted: then an element without an id has no job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a job ended that could still say so."""

    how: Literal["done", "budget", "closed", "failed"]
    message: str = ""


def freeze(run_path: Path, batch: Batch) -> Path:
    """Write a new batch of the run, and return its folder. For the holder of the journal. Raises StorageError."""
    before = batch_folders(run_path)
    folder = run_path / PARTS_FOLDER / str(int(before[-1].name) + 1 if before else 1)
    try:
        make_folders(folder / JOBS_FOLDER)
    except OSError as error:
        raise storage_error(folder, error) from error
    _write(folder / BATCH_FILE, batch)
    return folder


def read_batch(folder: Path) -> Batch:
    """Raises RunDirectoryError where it is gone, damaged or of a version that is not ours."""
    batch = _read(folder / BATCH_FILE, Batch)
    if batch is None or batch.schema_version not in READABLE_VERSIONS:
        found = "is not there" if batch is None else f"has schema version {batch.schema_version}"
        raise RunDirectoryError(
            f"{folder / BATCH_FILE} {found}", remedy="Use the kreabench that submitted it, on a machine that sees it."
        )
    return batch


def write_jobs(folder: Path, jobs: Jobs) -> None:
    """Raises StorageError."""
    _write(folder / JOBS_FILE, jobs)


def read_jobs(folder: Path) -> Jobs | None:
    """None where nobody lived to write them down. Raises RunDirectoryError for damage."""
    return _read(folder / JOBS_FILE, Jobs)


def write_end(part_path: Path, ended: Ended) -> None:
    """Raises StorageError."""
    _write(part_path / ENDED_FILE, ended)


def read_end(part_path: Path) -> Ended | None:
    """None for a job that has not ended, or was killed. Raises RunDirectoryError for damage."""
    return _read(part_path / ENDED_FILE, Ended)


def forget_end(part_path: Path) -> None:
    """A job goes on with a part. Raises StorageError."""
    try:
        (part_path / ENDED_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(part_path / ENDED_FILE, error) from error


def close(folder: Path, *, merged: bool = True) -> None:
    """From now on no job draws for this batch: those that run stop before their next request. Raises StorageError.

    Unless `merged`, the batch counts as open until it is closed once more.
    """
    try:
        if merged:
            (folder / UNMERGED_FILE).unlink(missing_ok=True)
        else:
            write_file(folder / UNMERGED_FILE, b"")
        write_file(folder / CLOSED_FILE, f"{os.getpid()}\n".encode())
    except OSError as error:
        raise storage_error(folder / CLOSED_FILE, error) from error


def is_closed(folder: Path) -> bool:
    """Whether nobody draws for this batch any more."""
    return (folder / CLOSED_FILE).exists()


def open_batches(run_path: Path) -> list[Path]:
    """The batches for which somebody may still draw, or whose merge did not come to its end."""
    batches = [folder for folder in batch_folders(run_path) if (folder / BATCH_FILE).exists()]
    return [folder for folder in batches if not is_closed(folder) or (folder / UNMERGED_FILE).exists()]


def jobs_in_words(run_path: Path) -> str:
    """The jobs of open batches; empty where none is open. Raises RunDirectoryError for damage."""
    found = open_batches(run_path)
    submitted = [jobs for folder in found if (jobs := read_jobs(folder)) is not None]
    shown = ", ".join(dict.fromkeys(job.split("_")[0] for jobs in submitted for job in jobs.ids.values()))
    return shown or ("of unknown id" if found else "")


def refuse_open_batches(run_path: Path) -> None:
    """Raises RunDirectoryError while jobs may draw: what they have in hand would be drawn, and perhaps paid, twice."""
    shown = jobs_in_words(run_path)
    if shown:
        raise RunDirectoryError(
            f"parts of {run_path} are given out to jobs ({shown}) and not merged yet",
            remedy=f"When they have ended: `kreabench merge {run_path}`. To take over from jobs that may still run or "
            f"wait: `kreabench merge {run_path} --close`.",
        )


def _write(path: Path, value: object) -> None:
    try:
        write_file(path, msgspec.json.format(codec.encode(value), indent=1) + b"\n")
    except OSError as error:
        raise storage_error(path, error) from error


def _read(path: Path, type_: type[T]) -> T | None:
    try:
        return codec.decode(path.read_bytes(), type_)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunDirectoryError(
            f"{path} cannot be read: {error}", remedy="Restore it from a copy of the run."
        ) from error
