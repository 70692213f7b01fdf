"""Commits of a pushed run: the highest manifest is the run, and only one of several writers makes the next."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.manifest import (
    MANIFESTS,
    MAX_OBJECT_BYTES,
    Manifest,
    decode_manifest,
    encode_manifest,
    manifest_name,
    manifest_number,
)
from kreabench.remote.stores import Store

KEPT = 2
"""Manifests that stay, with all they name: whoever reads the one before the last is not disturbed."""

_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A manifest and its place in the order."""

    number: int
    manifest: Manifest
    sha256: str
    """Of the manifest's bytes."""


def newest(store: Store) -> Commit | None:
    """The run as it was last pushed; None where no push was ever finished. Raises RunDirectoryError for damage."""
    for _ in range(_ATTEMPTS):
        numbers = _numbers(store)
        if not numbers:
            return None
        try:
            return read_commit(store, numbers[-1])
        except FileNotFoundError:  # newer ones came meanwhile, and took it away
            continue
    raise RunDirectoryError(f"{store.location} changes faster than it can be read", remedy="Repeat the command.")


def read_commit(store: Store, number: int) -> Commit:
    """Raises FileNotFoundError where there is none of this number, RunDirectoryError for damage."""
    name = manifest_name(number)
    content = store.get(name, 0, MAX_OBJECT_BYTES)
    manifest = decode_manifest(content, f"{store.location}/{name}")
    return Commit(number=number, manifest=manifest, sha256=hashlib.sha256(content).hexdigest())


def commit(store: Store, number: int, manifest: Manifest) -> None:
    """Make `manifest` the run's next. Raises RunDirectoryError where another writer has made number `number`."""
    try:
        store.create(manifest_name(number), encode_manifest(manifest))
    except FileExistsError as error:
        raise RunDirectoryError(
            f"another push to {store.location} was finished meanwhile", remedy="Repeat the push: it adds to that one."
        ) from error


def forget_older(store: Store, number: int) -> None:
    """Delete manifests that are more than KEPT behind `number`, and what no kept one needs. For the lock's holder."""
    numbers = _numbers(store)
    old = [one for one in numbers if one <= number - KEPT]
    if not old:
        return
    needed: set[str] = set()
    for kept in numbers:
        if kept not in old:
            needed.update(read_commit(store, kept).manifest.object_names())
    for one in old:
        _forget(store, one, needed)


def _forget(store: Store, number: int, needed: Collection[str]) -> None:
    named = read_commit(store, number).manifest.object_names()
    store.delete([name for name in named if name not in needed])
    store.delete([manifest_name(number)])  # last: until then what it names is known


def _numbers(store: Store) -> list[int]:
    return sorted(number for name in store.sizes(MANIFESTS) if (number := manifest_number(name)) is not None)
