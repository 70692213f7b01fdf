"""Files of a pushed run, brought into a folder: only what is not there, many at a time, each verified."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.journals import read_part
from kreabench.remote.manifest import Journal, StoredFile, StoredObject
from kreabench.remote.stores import Store
from kreabench.rundir.files import make_folders, storage_error, write_all

WORKERS = 16

_CUT_OFF = re.compile(r"\.[0-9a-f]{16}\.part")

Progress = Callable[[int, int], None]
"""Told the bytes that are done and all there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetch:
    """Files that lie in one object."""

    stored: StoredObject
    files: tuple[StoredFile, ...]

    @property
    def start(self) -> int:
        """First byte of the object that is needed."""
        return min(file.offset for file in self.files)

    @property
    def end(self) -> int:
        """Behind the last one."""
        return max(file.offset + file.size_bytes for file in self.files)


def fetches_of(files: Iterable[StoredFile], objects: tuple[StoredObject, ...]) -> list[Fetch]:
    """One for each object that holds any of `files`."""
    by_object: dict[int, list[StoredFile]] = {}
    for file in files:
        by_object.setdefault(file.object, []).append(file)
    return [Fetch(stored=objects[number], files=tuple(held)) for number, held in by_object.items()]


def is_there(run_path: Path, file: StoredFile) -> bool:
    """Whether the file is there and what was pushed."""
    path = run_path / file.path
    try:
        if path.stat().st_size != file.size_bytes:
            return False
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def check_folders(run_path: Path, files: Iterable[StoredFile]) -> None:
    """Raises RunDirectoryError where a folder of theirs is a link that leads out of the run."""
    root = run_path.resolve()
    for folder in {(run_path / file.path).parent for file in files}:
        if not folder.resolve().is_relative_to(root):
            raise RunDirectoryError(
                f"{folder} leads out of {run_path}: nothing is written there", remedy="Pull into a new folder."
            )


def bring(store: Store, fetches: list[Fetch], run_path: Path, progress: Progress | None = None) -> None:
    """Write the files of `fetches` below `run_path`, each whole or not at all; `settle` makes them durable.

    Raises RunDirectoryError for what is gone or not what was pushed, StorageError where store or disk refuse.
    """
    if not fetches:
        return
    check_folders(run_path, (file for fetch in fetches for file in fetch.files))
    folders = {(run_path / file.path).parent for fetch in fetches for file in fetch.files}
    for folder in folders:
        try:
            make_folders(folder)
        except OSError as error:
            raise storage_error(folder, error) from error
    total, done = sum(fetch.end - fetch.start for fetch in fetches), 0
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="pull") as pool:
        try:
            tasks = {pool.submit(_bring_one, store, fetch, run_path): fetch for fetch in fetches}
            for task in as_completed(tasks):
                task.result()
                done += tasks[task].end - tasks[task].start
                if progress is not None:
                    progress(done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def forget_cut_off(run_path: Path, fetches: list[Fetch]) -> None:
    """Remove what `bring` left behind where it was killed. For who holds the run's locks: nobody else brings them."""
    for folder in {(run_path / file.path).parent for fetch in fetches for file in fetch.files}:
        for left in folder.glob(".*.part"):
            if _CUT_OFF.fullmatch(left.name):
                with suppress(OSError):
                    left.unlink()


def settle() -> None:
    """Make all that was brought durable: one wait for the disks instead of one a file, which takes minutes."""
    os.sync()


def _bring_one(store: Store, fetch: Fetch, run_path: Path) -> None:
    for file, content in contents_of(store, fetch):
        path = run_path / file.path
        try:
            _write(path, content)
        except OSError as error:
            raise storage_error(path, error) from error


def contents_of(store: Store, fetch: Fetch) -> Iterable[tuple[StoredFile, bytes]]:
    """Each file's bytes, verified. Raises RunDirectoryError for what is gone or not what was pushed."""
    name = f"{store.location}/{fetch.stored.name}"
    remedy = "Push the run to another URL from where it is whole; do not trust what is there."
    try:
        content = store.get(fetch.stored.name, fetch.start, fetch.end)
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{name} is gone", remedy=remedy) from error
    for file in fetch.files:
        begin = file.offset - fetch.start
        part = content[begin : begin + file.size_bytes]
        if hashlib.sha256(part).hexdigest() != file.sha256:
            raise RunDirectoryError(f"{file.path} in {name} is not what was pushed: its SHA-256 differs", remedy=remedy)
        yield file, part


def journal_bytes(store: Store, journal: Journal) -> bytes:
    """All of a pushed journal, verified. Raises as `contents_of`."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="pull") as pool:
        return b"".join(pool.map(lambda index: read_part(store, journal, index), range(len(journal.parts))))


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also where two processes bring one file."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)
        temporary.replace(path)  # a link is replaced, not followed
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
