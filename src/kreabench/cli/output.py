"""Standard output that cannot end a run: its reader may go away, its disk fill up, its encoding lack a character."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kreabench.core.errors import StorageError

_STDOUT = 1


class _Descriptor(io.FileIO):
    """Standard output, until it refuses; what is said after that goes nowhere."""

    refusal: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.refusal is None:
            try:
                return super().write(data)
            except OSError as error:
                self.refusal = error
        return len(memoryview(data).cast("B"))


@contextmanager
def lasting_output() -> Iterator[None]:
    """Inside, nothing written to standard output raises: samples that cost hours must not die of `| head`.

    Raises StorageError at the end where the output was lost to anything but a reader that went away.
    """
    _open_closed_descriptors()
    before = sys.stdout
    if not _is_plain(before):  # replaced by whoever calls us, such as a test: theirs to handle
        yield
        return
    descriptor = _Descriptor(_STDOUT, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding=before.encoding,
        errors="replace",  # a terminal without × still shows the numbers
        line_buffering=descriptor.isatty(),
    )
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = before
    if descriptor.refusal is not None and descriptor.refusal.errno != errno.EPIPE:
        raise StorageError(f"cannot write standard output: {descriptor.refusal.strerror}")


def _is_plain(stream: Any) -> bool:
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == _STDOUT
    except (OSError, ValueError):
        return False


def _open_closed_descriptors() -> None:
    """A caller may have closed the standard streams: the next file opened, the journal say, would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
