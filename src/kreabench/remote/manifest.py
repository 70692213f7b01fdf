"""A manifest: what a pushed run consists of, and in which objects it lies. It is written last: it is the commit.

manifests/<number>.json        never changed; the highest number is the run as it is now
parts/<journal>/<number>-<sha256>.jsonl   whole lines of a journal, in order; never changed
blobs/<sha256>                 one file
packs/<sha256>                 small files one after the other; named by the hash of the list of their hashes
lock/<number>.json             see `remote.lock`

Object names follow from hashes and numbers alone, so that no text of a manifest chooses where something is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from kreabench.core.errors import RunDirectoryError
from kreabench.rundir import codec
from kreabench.rundir.directory import (
    CONFIG_FILE,
    FLOOR_SCORES_FILE,
    IMAGES_FOLDER,
    JOURNAL_FILE,
    RUN_FILE,
    SCORES_FILE,
    SET_SCORES_FILE,
    TABLE_FILE,
)
from kreabench.rundir.inputs import INPUTS_FOLDER
from kreabench.rundir.votes import VOTES_FILE

FORMAT = 1
"""Raised when a reader of today would misread a manifest of tomorrow."""

LOGS_FOLDER = "logs"
MANIFESTS = "manifests"

JOURNALS = (VOTES_FILE, FLOOR_SCORES_FILE, SET_SCORES_FILE, SCORES_FILE, JOURNAL_FILE)
"""In the order in which they are read: what a line speaks of stands in a later one's lines, or was there before."""
WHOLE_FILES = (CONFIG_FILE, TABLE_FILE, RUN_FILE)

MAX_OBJECT_BYTES = 1 << 29
"""Of one object, which is read into memory."""

_FOLDERS = (IMAGES_FOLDER, INPUTS_FOLDER, LOGS_FOLDER)
_PART_OF_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OBJECT = re.compile(r"(?:blobs|packs)/([0-9a-f]{64})")
_MANIFEST_NAME = re.compile(r"manifests/(\d{8})\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Whole lines of a journal."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """An append-only file of the run."""

    name: str
    """One of JOURNALS."""
    parts: tuple[Part, ...]
    """In order; together they are the file."""

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)

    def object_name(self, index: int) -> str:
        """Where part `index`, counted from 0, lies."""
        return f"parts/{self.name.removesuffix('.jsonl')}/{index + 1:06d}-{self.parts[index].sha256}.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """A blob or a pack."""

    name: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file of the run and where its bytes are."""

    path: str
    """In the run directory."""
    sha256: str
    size_bytes: int
    object: int
    """Index into `Manifest.objects`."""
    offset: int = 0
    """Of its first byte in the object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A run, pushed."""

    format: int = FORMAT
    run: str
    """Name of its experiment."""
    plan_hash: str
    created_utc: str
    """When the run was begun; with its plan it tells runs apart."""
    pushed_utc: str
    versions: dict[str, str]
    """Of who pushed: kreabench."""
    journals: tuple[Journal, ...]
    objects: tuple[StoredObject, ...]
    files: tuple[StoredFile, ...]

    def object_names(self) -> Iterator[str]:
        """Of all it consists of."""
        for journal in self.journals:
            yield from map(journal.object_name, range(len(journal.parts)))
        yield from (stored.name for stored in self.objects)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    format: int


def manifest_name(number: int) -> str:
    """The object of manifest `number`."""
    return f"{MANIFESTS}/{number:08d}.json"


def manifest_number(name: str) -> int | None:
    """The number of the manifest in object `name`; None where it is none."""
    match = _MANIFEST_NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_manifest(manifest: Manifest) -> bytes:
    return codec.encode(manifest)


def decode_manifest(content: bytes, where: str) -> Manifest:
    """Raises RunDirectoryError for damage, another format, and for what would write outside of a run's folder."""
    try:
        found = codec.decode(content, _Head).format
        if found == FORMAT:
            manifest = codec.decode(content, Manifest)
            _check(manifest)
            return manifest
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        remedy = "Push the run again from where it is whole. Do not trust what is there."
        raise RunDirectoryError(f"{where} is damaged: {error}", remedy=remedy) from error
    raise RunDirectoryError(
        f"{where} has format {found}; this kreabench reads {FORMAT}", remedy="Use the kreabench that pushed the run."
    )


def _check(manifest: Manifest) -> None:
    names = [journal.name for journal in manifest.journals]
    for name in names:
        if name not in JOURNALS:
            raise ValueError(f"{name!r} is no journal of a run")
    _check_names([*names, *(file.path for file in manifest.files)])
    for journal in manifest.journals:
        for part in journal.parts:
            _check_content(part.sha256, part.size_bytes)
    for stored in manifest.objects:
        match = _OBJECT.fullmatch(stored.name)
        if match is None:
            raise ValueError(f"{stored.name!r} is no object of a run")
        _check_content(match[1], stored.size_bytes)
    for file in manifest.files:
        _check_file(file, manifest.objects)


def _check_names(taken: list[str]) -> None:
    if len(set(taken)) != len(taken):
        raise ValueError("a file is named twice")
    for needed in (RUN_FILE, CONFIG_FILE):
        if needed not in taken:
            raise ValueError(f"{needed} is not in it")
    folders = {str(folder) for name in taken for folder in PurePosixPath(name).parents}
    if both := sorted(folders & set(taken)):
        raise ValueError(f"{both[0]!r} is a file and a folder")


def _check_file(file: StoredFile, objects: tuple[StoredObject, ...]) -> None:
    check_path(file.path)
    _check_content(file.sha256, file.size_bytes)
    if not 0 <= file.object < len(objects):
        raise ValueError(f"{file.path!r} lies in no object")
    if not 0 <= file.offset <= objects[file.object].size_bytes - file.size_bytes:
        raise ValueError(f"{file.path!r} lies outside of its object")


def _check_content(sha256: str, size_bytes: int) -> None:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    if not 0 <= size_bytes <= MAX_OBJECT_BYTES:
        raise ValueError(f"an object of {size_bytes} bytes")


def check_path(path: str) -> None:
    """Raises ValueError for what is no file of a run directory: `..`, an absolute path, a hidden or a foreign name."""
    if path in WHOLE_FILES:
        return
    folder, *names = path.split("/")
    if folder not in _FOLDERS or not 1 <= len(names) <= 3 or not all(map(_PART_OF_NAME.fullmatch, names)):
        raise ValueError(f"{path!r} is no file of a run directory")
