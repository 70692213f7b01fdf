"""A pushed run, read where it lies: what tables need is copied into the cache, pictures only when one is looked at.

One folder a manifest, complete once it holds run.json and never changed after that, so that any number of processes
read it while others push.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from kreabench.core.cache import cache_folder
from kreabench.remote.commits import Commit
from kreabench.remote.fetching import bring, contents_of, fetches_of, is_there, journal_bytes
from kreabench.remote.lock import now_utc
from kreabench.remote.manifest import JOURNALS, WHOLE_FILES, StoredFile
from kreabench.remote.reading import committed
from kreabench.remote.stores import Store, open_store
from kreabench.remote.urls import is_url, parse_url
from kreabench.rundir.directory import RUN_FILE
from kreabench.rundir.elsewhere import Elsewhere, register
from kreabench.rundir.files import make_folders, storage_error, write_file
from kreabench.rundir.lock import hold

FOLDER = "runs"
KEPT_S = 7 * 24 * 3600.0
"""A copy of an older manifest stays for so long after it was last opened."""


@lru_cache(maxsize=64)
def copy_of(url: str) -> Path:
    """A folder with the run at `url`, as it was last pushed when this process first asked.

    Raises ConfigError for what is no URL, RunDirectoryError where no run was pushed there, StorageError where store or
    disk refuse.
    """
    location = parse_url(url)
    store = open_store(location)
    commit = committed(store, now_utc())
    versions = cache_folder(os.environ) / FOLDER / location.id
    version = versions / f"{commit.number:08d}-{commit.sha256[:16]}"
    run_path = version / location.name
    try:
        make_folders(run_path)
    except OSError as error:
        raise storage_error(run_path, error) from error
    with hold(version / "copy.lock", waiting=lambda pid: None):
        if not (run_path / RUN_FILE).exists():
            _fill(store, commit, run_path)
    register(run_path, _Files(store, commit, run_path).elsewhere())
    with suppress(OSError):  # only to be found among those that were opened lately
        os.utime(version)
    _forget_old(versions, version)
    return run_path


def run_path(name: str) -> Path:
    """The run directory that `name` means: a path, or the URL of a pushed run. Raises as `copy_of`."""
    return copy_of(name) if is_url(name) else Path(name)


def _fill(store: Store, commit: Commit, run_path: Path) -> None:
    manifest = commit.manifest
    contents = {journal.name: journal_bytes(store, journal) for journal in manifest.journals}
    for fetch in fetches_of((file for file in manifest.files if file.path in WHOLE_FILES), manifest.objects):
        contents |= {file.path: content for file, content in contents_of(store, fetch)}
    for name in (*JOURNALS, *WHOLE_FILES):  # run.json is the last
        if name in contents:
            try:
                write_file(run_path / name, contents[name])
            except OSError as error:
                raise storage_error(run_path / name, error) from error


def _forget_old(versions: Path, current: Path) -> None:
    now_s = time.time()
    with suppress(OSError):
        for folder in versions.iterdir():
            if folder != current and now_s - folder.stat().st_mtime > KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)


class _Files:
    """Pictures of a copy, brought one by one."""

    def __init__(self, store: Store, commit: Commit, run_path: Path) -> None:
        self._store, self._run_path = store, run_path
        self._objects = commit.manifest.objects
        self._files: dict[str, StoredFile] = {file.path: file for file in commit.manifest.files}

    def elsewhere(self) -> Elsewhere:
        return Elsewhere(url=str(self._store.location), has=self._files.__contains__, bring=self._bring)

    def _bring(self, relative: str) -> None:
        file = self._files.get(relative)
        if file is not None and not is_there(self._run_path, file):
            bring(self._store, fetches_of([file], self._objects), self._run_path)
