"""What is asked of shared storage, and the two kinds of it: a folder, and whatever fsspec reaches."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from kreabench.core.errors import StorageError
from kreabench.remote.urls import Location
from kreabench.rundir.files import make_folders, storage_error, sync_folder, write_all, write_file

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


class Store(Protocol):
    """Objects below one URL. Names are ours, with forward slashes; all calls may be made from several threads.

    What the store refuses is a StorageError that names the URL and a remedy.
    """

    @property
    def location(self) -> Location:
        """The URL."""
        ...

    def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes `start` to `end` of an object, fewer where it is shorter. Raises FileNotFoundError."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write an object, whole or not at all, over what is there."""
        ...

    def create(self, name: str, content: bytes) -> None:
        """Write an object that is not there yet. Raises FileExistsError: of several who try, one succeeds."""
        ...

    def sizes(self, below: str = "") -> dict[str, int]:
        """Name → bytes of every object whose name begins with the folder `below`; none where nothing is there."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is no error."""
        ...


def open_store(location: Location) -> Store:
    """The store at `location`; nothing is sent yet. Raises EnvironmentProblem where its package is lacking."""
    if location.scheme == "file":
        return FolderStore(location)
    from kreabench.remote.fsspec_store import FsspecStore

    return FsspecStore(location)


class FolderStore:
    """A folder, perhaps on a network file system. It must rename and link within a folder, as POSIX has it."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._root = Path(location.path)

    @property
    def location(self) -> Location:
        return self._location

    def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        try:
            with (self._root / name).open("rb") as file:
                file.seek(start)
                return file.read(-1 if end is None else end - start)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(name) from error
        except OSError as error:
            raise _unreadable(self._root / name, error) from error

    def put(self, name: str, content: bytes) -> None:
        path = self._root / name
        try:
            make_folders(path.parent)
            write_file(path, content)
        except OSError as error:
            raise storage_error(path, error) from error

    def create(self, name: str, content: bytes) -> None:
        path = self._root / name
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        try:
            make_folders(path.parent)
            _write_new(temporary, content)
            try:
                _name_once(temporary, path, content)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
        except FileExistsError as error:
            raise FileExistsError(name) from error
        except OSError as error:
            raise storage_error(path, error) from error

    def sizes(self, below: str = "") -> dict[str, int]:
        found = {}
        try:
            for folder, _, names in os.walk(self._root / below, onerror=_raise):
                for name in names:
                    path = Path(folder) / name
                    if not name.startswith("."):  # such are not written to their end
                        with contextlib.suppress(FileNotFoundError):  # deleted since
                            found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise _unreadable(self._root / below, error) from error
        return found

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                (self._root / name).unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(self._root / name, error) from error


def _raise(error: OSError) -> None:
    raise error


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name_once(temporary: Path, path: Path, content: bytes) -> None:
    """A link never replaces a name. A file system without links gets a file that grows, which readers may see torn."""
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _write_new(path, content)


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot read {path}: {error.strerror}", remedy="Check the disk and the file's permissions.")
