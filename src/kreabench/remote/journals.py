"""Journals on a store and on this machine: which of two is the longer one, and the parts that continue one.

Both grow at their end alone, so one of them begins with the other, or they are not of one history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.manifest import Journal, Part
from kreabench.remote.snapshot import Extent, read_span
from kreabench.remote.stores import Store

PART_BYTES = 4 << 20
"""A part ends at the first end of a line behind so many bytes."""


def read_part(store: Store, journal: Journal, index: int) -> bytes:
    """Part `index` of a journal, verified. Raises RunDirectoryError where it is gone or not what was pushed."""
    part, name = journal.parts[index], journal.object_name(index)
    return verified(store, name, part.sha256, 0, part.size_bytes)


def verified(store: Store, name: str, sha256: str, start: int, size_bytes: int) -> bytes:
    """Bytes of an object. Raises RunDirectoryError where they are gone, or have not this SHA-256."""
    try:
        content = store.get(name, start, start + size_bytes)
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{store.location}/{name} is gone", remedy=_REMEDY) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        found = f"{store.location}/{name} is not what was pushed: its SHA-256 differs"
        raise RunDirectoryError(found, remedy=_REMEDY)
    return content


_REMEDY = "Push the run to another URL from where it is whole; do not trust what is there."


def has_more(store: Store, journal: Journal, extent: Extent) -> bool:
    """Whether the store's journal goes on behind what is here; equal ones do not.

    Raises RunDirectoryError where neither begins with the other.
    """
    offset = 0
    for index, part in enumerate(journal.parts):
        end = offset + part.size_bytes
        if end > extent.size_bytes:
            here = read_span(extent, offset, extent.size_bytes)
            if here and not read_part(store, journal, index).startswith(here):
                raise _diverged(store, extent)
            return True
        if hashlib.sha256(read_span(extent, offset, end)).hexdigest() != part.sha256:
            raise _diverged(store, extent)
        offset = end
    return False


def parts_behind(extent: Extent, start: int) -> Iterator[tuple[int, Part]]:
    """Where each part of what is here from byte `start` on begins, and the part, which is of whole lines."""
    while start < extent.size_bytes:
        end = min(start + PART_BYTES, extent.size_bytes)
        content = read_span(extent, start, end)
        while not content.endswith(b"\n"):  # the last line goes on
            more = read_span(extent, end, min(end + PART_BYTES, extent.size_bytes))
            taken = more.find(b"\n") + 1 or len(more)
            content += more[:taken]
            end += taken
        yield start, Part(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        start = end


def _diverged(store: Store, extent: Extent) -> RunDirectoryError:
    return RunDirectoryError(
        f"{extent.path} and the one at {store.location} went on differently: neither begins with the other",
        remedy="Keep both: push to another URL, or pull into another folder.",
    )
