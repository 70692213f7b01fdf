"""A parquet file that carries the SHA-256 of itself: its pages have checksums, its footer has none.

The footer says where each column lies and of which type it is; a flipped bit in it can be read as other numbers.
The hash stands in the file's metadata and is of the file with zeros in its place.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import BinaryIO

OPEN = {b"kreabench_seal": b"0" * 64}
"""Metadata to write a file with that is sealed afterwards."""

_SEAL = re.compile(rb"kreabench_seal.{1,8}?([0-9a-f]{64})", re.DOTALL)
_BLOCK = 1 << 20
_TAIL_BYTES = 8
"""Length of the footer and parquet's mark."""


def seal(file: BinaryIO) -> None:
    """Seal a parquet file that was written with `OPEN`; `file` is open for reading and writing. Raises OSError."""
    place = _place(file)
    if place is None:  # a parquet library that no longer keeps metadata as it is
        return
    digest = _digest(file, place).encode()
    file.seek(place)
    file.write(digest)


def is_whole(file: BinaryIO) -> bool | None:
    """Whether the file is as it was sealed; None where it has no seal. Raises OSError."""
    place = _place(file)
    if place is None:
        return None
    file.seek(place)
    return file.read(64).decode("ascii", "replace") == _digest(file, place)


def _place(file: BinaryIO) -> int | None:
    """Where the hash stands."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _TAIL_BYTES))
    footer = max(0, end - _TAIL_BYTES - int.from_bytes(file.read(4), "little"))
    file.seek(footer)
    match = _SEAL.search(file.read())
    return None if match is None else footer + match.start(1)


def _digest(file: BinaryIO, place: int) -> str:
    """Of the whole file, with zeros at `place`."""
    digest = hashlib.sha256()
    file.seek(0)
    for start in range(0, place, _BLOCK):
        digest.update(file.read(min(_BLOCK, place - start)))
    file.seek(place + 64)
    digest.update(b"0" * 64)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
