"""What a run on this machine consists of now: its journals as far as their last whole line, and the files they name.

Taken without a lock, also while the run is drawn: journals only grow, and a picture is there before its line.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kreabench.core.errors import RunDirectoryError
from kreabench.core.records import SampleRecord
from kreabench.remote.manifest import JOURNALS, LOGS_FOLDER, WHOLE_FILES, check_path
from kreabench.rundir import codec
from kreabench.rundir.directory import JOURNAL_FILE, RunDirectory
from kreabench.rundir.inputs import INPUTS_FOLDER

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """A journal as far as its last whole line."""

    name: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A picture, as the run names it; its file is read when it is sent."""

    path: str
    """In the run directory."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A file that may change from push to push, as it was read."""

    path: str
    sha256: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A run at one moment."""

    run: RunDirectory
    journals: tuple[Extent, ...]
    pictures: tuple[Named, ...]
    """Inputs, then the delivered ones in the order of the journal."""
    files: tuple[Whole, ...]


def take_snapshot(path: Path) -> Snapshot:
    """The run at `path`. Raises RunDirectoryError where there is none, and for a damaged line of its journal."""
    extents = tuple(extent_of(path, name) for name in JOURNALS)  # the journal last: it has what the others speak of
    run = RunDirectory.open(path)
    journal = next(extent for extent in extents if extent.name == JOURNAL_FILE)
    files = [found for name in (*_logs(path), *WHOLE_FILES) if (found := _whole(path, name)) is not None]
    return Snapshot(run=run, journals=extents, pictures=(*_inputs(run), *_delivered(journal)), files=tuple(files))


def extent_of(run_path: Path, name: str) -> Extent:
    """As far as the journal `name` has whole lines; 0 bytes where it is not there. Raises RunDirectoryError."""
    path = run_path / name
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position > 0:
                start = max(0, position - _BLOCK)
                file.seek(start)
                newline = file.read(position - start).rfind(b"\n")
                if newline >= 0:
                    return Extent(name=name, path=path, size_bytes=start + newline + 1)
                position = start
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unreadable(path, error) from error
    return Extent(name=name, path=path, size_bytes=0)


def read_span(extent: Extent, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of a journal. Raises RunDirectoryError where it has become shorter."""
    if end <= start:
        return b""
    try:
        with extent.path.open("rb") as file:
            file.seek(start)
            content = file.read(end - start)
    except OSError as error:
        raise _unreadable(extent.path, error) from error
    if len(content) != end - start:
        remedy = "Repeat the command: its writer took back lines that the disk refused."
        raise RunDirectoryError(f"{extent.path} became shorter while it was read", remedy=remedy)
    return content


def read_named(run_path: Path, named: Named) -> bytes | None:
    """The picture's bytes; None where its file is gone, lies elsewhere, or is not what was recorded."""
    path = run_path / named.path
    try:
        if not path.resolve().is_relative_to(run_path.resolve()):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    same = len(content) == named.size_bytes and hashlib.sha256(content).hexdigest() == named.sha256
    return content if same else None


def _delivered(journal: Extent) -> Iterator[Named]:
    samples: dict[str, SampleRecord] = {}
    for number, line in enumerate(_lines(journal), 1):
        try:
            record = codec.decode_record(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            remedy = "Delete that line, which loses its record alone, then push."
            raise RunDirectoryError(f"{journal.path}, line {number}, is damaged: {error}", remedy=remedy) from error
        if isinstance(record, SampleRecord):
            samples[record.request_id] = record
    for sample in samples.values():
        for image in sample.images:
            try:
                check_path(image.path)
            except ValueError as error:
                raise RunDirectoryError(f"{journal.path}: {error}", remedy="Do not trust this run.") from error
            yield Named(path=image.path, sha256=image.sha256, size_bytes=image.size_bytes)


def _lines(journal: Extent) -> Iterator[bytes]:
    if not journal.size_bytes:
        return
    left = journal.size_bytes
    with journal.path.open("rb") as file:
        for line in file:
            yield line
            left -= len(line)
            if left <= 0:
                return


def _inputs(run: RunDirectory) -> Iterator[Named]:
    images = {image.sha256: image for prompt in run.info.experiment.prompts for image in prompt.images}
    for image in images.values():
        relative = f"{INPUTS_FOLDER}/{image.file_name}"
        path = run.path / relative
        yield Named(path=relative, sha256=image.sha256, size_bytes=path.stat().st_size if path.is_file() else 0)


def _logs(path: Path) -> list[str]:
    return sorted(f"{LOGS_FOLDER}/{file.name}" for file in (path / LOGS_FOLDER).glob("*.log") if _is_own(file))


def _is_own(file: Path) -> bool:
    try:
        check_path(f"{LOGS_FOLDER}/{file.name}")
    except ValueError:
        return False
    return file.is_file() and not file.is_symlink()


def _whole(run_path: Path, name: str) -> Whole | None:
    try:
        content = (run_path / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(run_path / name, error) from error
    return Whole(path=name, sha256=hashlib.sha256(content).hexdigest(), content=content)


def _unreadable(path: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"cannot read {path}: {error.strerror}", remedy="Check the disk and the file's permissions."
    )
