"""One driver a run, one scorer: an flock on a file in the run directory, which the kernel releases however the holder
dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.rundir.files import storage_error, storage_remedy, write_all

Waiting = Callable[[str], None]
"""Told the pid of the process that is waited for, before the wait begins."""


@contextmanager
def hold(path: Path, *, waiting: Waiting | None = None) -> Iterator[None]:
    """Hold the lock at `path`, whose content is the pid of the holder, until the block ends.

    With `waiting` given, a lock that another process holds is waited for. Not inherited by programs started meanwhile.
    The file stays: removing it would let two drivers lock two files.
    Raises RunDirectoryError when another driver holds it, naming its pid, and where the folder cannot be written;
    StorageError when the disk refuses the pid.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write in {path.parent}: {error.strerror}", remedy=storage_remedy(error)
        ) from error
    try:
        _acquire(descriptor, path, waiting)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a pid left behind would be named to whoever waits for the next holder
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock at `path` now. Holds it itself for an instant, so holders of it must wait."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}", remedy=storage_remedy(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(descriptor: int, path: Path, waiting: Waiting | None) -> None:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is None:
                raise
            waiting(_holder(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        raise RunDirectoryError(
            f"{path.parent} is in use by another kreabench, process {holder}",
            remedy=f"Wait until it is done, or stop it (kill -INT {holder}); both keep what is finished."
            if holder.isdecimal()
            else "Wait until it is done.",
        ) from error
    except OSError as error:
        raise RunDirectoryError(
            f"cannot lock {path}: {error.strerror}", remedy="Choose a folder on a file system with flock."
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        write_all(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        raise storage_error(path, error) from error


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
