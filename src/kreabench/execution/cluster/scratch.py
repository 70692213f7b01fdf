"""A node's own folder for one seat: what its worker draws and logs lies there until it is on its way to the driver."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "kreabench-seat-"
MAX_LOG_BYTES = 1 << 16
"""Of what is handed on at once, the last ones."""


class Scratch:
    """Gone with the next seat of this machine, as nobody is told when a process is killed."""

    def __init__(self) -> None:
        """Raises OSError."""
        _sweep()
        self.path, self._lock = _locked_folder()
        self.log_path = self.path / "worker.log"
        self._read_bytes = 0

    def news(self) -> bytes:
        """What was logged since it was last asked for; of very much, the end."""
        try:
            with self.log_path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._read_bytes, end - MAX_LOG_BYTES))
                self._read_bytes = end
                return file.read(MAX_LOG_BYTES)
        except FileNotFoundError:
            return b""

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _locked_folder() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):  # swept away before it was locked
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def _sweep() -> None:
    """Remove folders whose seats are gone: whoever lives holds the lock of its own."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # somebody else's
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(descriptor)
