"""Miniatures that are built, not shipped: once, into the cache, checked at each use and built again if damaged."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from kreabench.core.cache import cache_refused
from kreabench.core.ids import stable_hash

_FORMAT = 1
_MANIFEST = "manifest.json"


def built_folder(cache: Path, name: str, revision: str, build: Callable[[Path], None]) -> Path:
    """The folder under `cache` that `build` filled: whole, checked against its manifest, rebuilt if it was damaged.

    Safe with several builders at once. Raises EnvironmentProblem when `cache` cannot be written.
    """
    folder = cache / f"{name}-{_digest(revision)}"
    try:
        if is_intact(folder):
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{folder.name}.lock"):
            if not is_intact(folder):  # another process may have built it while this one waited
                _rebuild(folder, build, revision)
    except OSError as error:
        raise cache_refused(cache, error) from error
    return folder


def is_intact(folder: Path) -> bool:
    """Whether every file that `folder`'s manifest lists is there, byte for byte."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        files = manifest["files"]
        return bool(files) and all(_sha256(folder / name) == digest for name, digest in files.items())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _digest(revision: str) -> str:
    """Of the recipe and of the libraries that write its files: another version may write another format."""
    versions = [version(name) for name in ("diffusers", "transformers")]
    return stable_hash([_FORMAT, revision, versions])


def _rebuild(folder: Path, build: Callable[[Path], None], revision: str) -> None:
    """Build beside `folder` and swap it in. The caller holds the lock."""
    for stale in folder.parent.glob(f"{folder.name}.tmp-*"):  # of builders that were killed
        shutil.rmtree(stale)
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        fresh = scratch / "fresh"
        fresh.mkdir()
        build(fresh)
        names = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file())
        manifest = {"recipe": revision, "files": {name: _sha256(fresh / name) for name in names}}
        (fresh / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            folder.rename(scratch / "damaged")
        fresh.rename(folder)
    finally:
        shutil.rmtree(scratch)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel drops it with its holder."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
