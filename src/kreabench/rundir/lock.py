"""One driver a run: an flock on a file in the run directory. The kernel releases it however the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.rundir.files import storage_error, storage_remedy, write_all


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, whose content is the pid of the holder, until the block ends.

    Not inherited by programs started meanwhile. The file stays: removing it would let two drivers lock two files.
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
        _acquire(descriptor, path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a pid left behind would be named to whoever waits for the next holder
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
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
