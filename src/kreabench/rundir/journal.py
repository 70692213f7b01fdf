"""An append-only file of JSON lines: a line is committed once its newline is on the disk.

Readers never change the file and take no notice of an unfinished last line; a writer cuts it off before it appends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.rundir.files import storage_error, sync_folder, write_all

T = TypeVar("T")
_BLOCK = 1 << 16


def read_lines(path: Path, decode: Callable[[bytes], T], *, remedy: str) -> Iterator[T]:
    """Every whole line of `path`, decoded, in order; nothing for a file that does not exist.

    Raises RunDirectoryError, naming file and line and ending in `remedy`, for a line that `decode` does not accept.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    value = decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise RunDirectoryError(f"{path}, line {number}, is damaged: {error}", remedy=remedy) from error
                yield value
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(path, error) from error


def content_hash(path: Path) -> str:
    """SHA-256 of all that is in `path`, an unfinished last line too; of nothing for a file that does not exist.

    Raises RunDirectoryError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return hashlib.sha256().hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"cannot read {path}: {error.strerror}", remedy="Check the disk and the file's permissions."
    )


class JournalTail(Generic[T]):
    """Reads a journal that another process appends to: each whole line once, from the first on."""

    def __init__(self, path: Path, decode: Callable[[bytes], T], *, remedy: str) -> None:
        """As `read_lines`."""
        self._path, self._decode, self._remedy = path, decode, remedy
        self._offset = 0

    def new(self) -> list[T]:
        """What was appended since. Raises RunDirectoryError for a damaged line and where the file cannot be read.

        Where the file has become shorter, because its writer took back lines that the disk refused, all are read again.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self._path, error) from error
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        try:
            return [self._decode(line) for line in whole.split(b"\n")[:-1]]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RunDirectoryError(f"a line of {self._path} is damaged: {error}", remedy=self._remedy) from error


class JournalWriter:
    """The only writer of a journal; the caller holds the run's lock.

    `append` returns once the lines are durable. When it raises, the file ends where it ended before (after an
    interrupt, perhaps behind the new lines: all of them or none), and the writer takes nothing more: what a disk holds
    after a failed write is only known by reading it again.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path` and cut off an unfinished last line. Raises StorageError."""
        self._path = path
        self._closed = False
        try:
            is_new = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            if is_new:
                sync_folder(path.parent)
            end = _end_of_last_line(self._descriptor)
            if end != os.fstat(self._descriptor).st_size:
                self._cut(end)
        except OSError as error:
            os.close(self._descriptor)
            raise storage_error(path, error) from error

    def append(self, lines: Sequence[bytes]) -> None:
        """Add `lines`, given without their newlines, all or none, with one fsync. Raises StorageError."""
        if self._closed:
            raise StorageError(
                f"{self._path} takes no more lines: it was closed, or a write failed",
                remedy="Check the disk, then repeat the command: it goes on where it stopped.",
            )
        end = os.fstat(self._descriptor).st_size
        content = b"".join(line + b"\n" for line in lines)
        try:
            write_all(self._descriptor, content)
            os.fsync(self._descriptor)
        except OSError as error:
            self._closed = True
            with contextlib.suppress(OSError):  # if this fails too, the next writer cuts
                self._cut(end)
            raise storage_error(self._path, error) from error
        except BaseException:  # an interrupt: what is whole stays, as it may have been paid for
            self._closed = True
            with contextlib.suppress(OSError):
                whole = os.fstat(self._descriptor).st_size == end + len(content)
                self._cut(end + len(content) if whole else end)
            raise

    def close(self) -> None:
        """Release the file."""
        self._closed = True
        os.close(self._descriptor)

    def _cut(self, end: int) -> None:
        os.ftruncate(self._descriptor, end)
        os.fsync(self._descriptor)


def _end_of_last_line(descriptor: int) -> int:
    """Offset just behind the last newline; 0 where there is none."""
    position = os.fstat(descriptor).st_size
    while position > 0:
        start = max(0, position - _BLOCK)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
