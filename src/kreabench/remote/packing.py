"""Small pictures travel together: a store takes hundreds of objects a second, however small, and megabytes as fast.

Packs follow from the order of the journal alone, so that a push that was cut off makes the same ones again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from kreabench.remote.manifest import StoredObject
from kreabench.remote.snapshot import Named

PACK_BYTES = 4 << 20
ALONE_BYTES = 1 << 19
"""A picture of so many bytes is an object of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pack:
    """Pictures that lie in one object, one after the other."""

    members: tuple[Named, ...]

    @property
    def stored(self) -> StoredObject:
        hashes = [member.sha256 for member in self.members]
        size = sum(member.size_bytes for member in self.members)
        if len(hashes) == 1:
            return StoredObject(name=f"blobs/{hashes[0]}", size_bytes=size)
        return StoredObject(name=f"packs/{hashlib.sha256(''.join(hashes).encode()).hexdigest()}", size_bytes=size)


def packs_of(pictures: Iterable[Named]) -> list[Pack]:
    """Every content once, in order: large ones alone, small ones in packs of about PACK_BYTES."""
    distinct = {picture.sha256: picture for picture in pictures}
    packs: list[Pack] = []
    together: list[Named] = []
    room = PACK_BYTES
    for picture in distinct.values():
        if picture.size_bytes >= ALONE_BYTES:
            packs.append(Pack(members=(picture,)))
            continue
        if together and picture.size_bytes > room:
            packs.append(Pack(members=tuple(together)))
            together, room = [], PACK_BYTES
        together.append(picture)
        room -= picture.size_bytes
    if together:
        packs.append(Pack(members=tuple(together)))
    return packs
