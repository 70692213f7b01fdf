"""Bring a pushed run into a folder, or a run that is there up to what was pushed. Nothing that is here is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.fetching import (
    Progress,
    bring,
    contents_of,
    fetches_of,
    forget_cut_off,
    is_there,
    journal_bytes,
    settle,
)
from kreabench.remote.journals import has_more
from kreabench.remote.lock import Now, now_utc
from kreabench.remote.manifest import JOURNALS, LOGS_FOLDER, WHOLE_FILES, Manifest, StoredFile
from kreabench.remote.reading import committed
from kreabench.remote.snapshot import extent_of
from kreabench.remote.stores import Store
from kreabench.rundir import codec
from kreabench.rundir.directory import (
    CONFIG_FILE,
    JOURNAL_FILE,
    LOCK_FILE,
    RUN_FILE,
    SCORES_LOCK_FILE,
    TABLE_FILE,
    RunDirectory,
)
from kreabench.rundir.files import make_folders, storage_error, storage_remedy, write_file
from kreabench.rundir.lock import hold
from kreabench.rundir.votes import VOTES_LOCK_FILE

MARK = ".pull.json"
"""In a folder that is not a run yet: which run it becomes, so that a pull that was cut off goes on."""

_LOCKS = (LOCK_FILE, SCORES_LOCK_FILE, VOTES_LOCK_FILE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What a pull did."""

    number: int
    """Of the manifest that was read."""
    fetched_files: int
    fetched_bytes: int
    kept: tuple[str, ...]
    """Journals that have more lines here than there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mark:
    plan_hash: str
    created_utc: str


def pull(store: Store, path: Path, *, progress: Progress | None = None, now: Now = now_utc) -> Pulled:
    """Bring the run at `store` into `path`. Where it was cut off, the next call goes on.

    Every file is verified by its SHA-256. A journal that goes on here behind what was pushed stays as it is.
    Raises RunDirectoryError where no run was pushed, where `path` is in use, is something else, or went on
    differently; StorageError where store or disk refuse.
    """
    commit = committed(store, now())
    manifest = commit.manifest
    _prepare(path, manifest, store)
    with _held(path):
        here = {name: extent_of(path, name) for name in JOURNALS}
        there = {journal.name: journal.size_bytes for journal in manifest.journals}
        fresh = [journal for journal in manifest.journals if has_more(store, journal, here[journal.name])]
        kept = tuple(name for name, extent in here.items() if extent.size_bytes > there.get(name, 0))
        wanted = [file for file in _wanted(manifest, kept) if not is_there(path, file)]
        last = [file for file in wanted if file.path in WHOLE_FILES]
        fetches = fetches_of((file for file in wanted if file not in last), manifest.objects)
        forget_cut_off(path, fetches)
        bring(store, fetches, path, progress)
        if fetches:
            settle()  # before the lines that name them
        for journal in fresh:
            _write(path / journal.name, journal_bytes(store, journal))
        _write_last(store, manifest, last, path)
        (path / MARK).unlink(missing_ok=True)
    return Pulled(
        number=commit.number,
        fetched_files=len(wanted) + len(fresh),
        fetched_bytes=sum(file.size_bytes for file in wanted) + sum(journal.size_bytes for journal in fresh),
        kept=kept,
    )


def _wanted(manifest: Manifest, kept: Collection[str]) -> Iterator[StoredFile]:
    """Where journals are `kept`, what is here is newer, so its table and logs stay; so does what a resume has asked."""
    stay = {TABLE_FILE} if kept else set()
    stay |= {CONFIG_FILE, RUN_FILE} if JOURNAL_FILE in kept else set()
    for file in manifest.files:
        if file.path not in stay and not (kept and file.path.startswith(f"{LOGS_FOLDER}/")):
            yield file


def _write_last(store: Store, manifest: Manifest, files: list[StoredFile], path: Path) -> None:
    """run.json behind all others: it makes the folder a run."""
    for file in sorted(files, key=lambda file: file.path == RUN_FILE):
        for fetch in fetches_of([file], manifest.objects):
            for _, content in contents_of(store, fetch):
                _write(path / file.path, content)


def _write(path: Path, content: bytes) -> None:
    try:
        write_file(path, content)
    except OSError as error:
        raise storage_error(path, error) from error


def _prepare(path: Path, manifest: Manifest, store: Store) -> None:
    """A folder that is this run, or may become it. Raises RunDirectoryError for any other."""
    if (path / RUN_FILE).exists():
        info = RunDirectory.open(path).info
        _check_same(_Mark(plan_hash=info.plan_hash, created_utc=info.created_utc), manifest, path, store)
        return
    try:
        make_folders(path)
        there = sorted(entry.name for entry in path.iterdir())
        if MARK in there:
            _check_same(codec.decode((path / MARK).read_bytes(), _Mark), manifest, path, store)
            return
    except OSError as error:
        reason = "a part of the path is a file" if isinstance(error, FileExistsError) else error.strerror
        raise RunDirectoryError(f"cannot pull into {path}: {reason}", remedy=storage_remedy(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError):  # cut off while it was written: nothing came after it
        there = [name for name in there if name != MARK]
    there = [name for name in there if name != f".{MARK}.part"]  # killed while it was written
    if there:
        raise RunDirectoryError(
            f"{path} holds {there[0]} and is no run", remedy="Pull into a new folder, or an empty one."
        )
    _write(path / MARK, codec.encode(_Mark(plan_hash=manifest.plan_hash, created_utc=manifest.created_utc)))


def _check_same(here: _Mark, manifest: Manifest, path: Path, store: Store) -> None:
    if (here.plan_hash, here.created_utc) != (manifest.plan_hash, manifest.created_utc):
        raise RunDirectoryError(
            f"{path} is another run, begun {here.created_utc}; {store.location} holds {manifest.run}, begun "
            f"{manifest.created_utc}",
            remedy="Pull into another folder.",
        )


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Nobody else writes to the run meanwhile."""
    with ExitStack() as stack:
        for name in _LOCKS:
            stack.enter_context(hold(path / name))
        yield
