"""Hashes of weights, remembered: a file of 4 GB takes some 10 s to hash, and is asked for at every run.

What is remembered of a file holds as long as its real path, size, inode and both times do: that of its content, which
anybody may set, and that of its inode, which nobody can. Several processes may remember at once: each replaces the
small table whole, so at worst one hash is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kreabench.core.cache import cache_folder

DESCRIPTIONS = (".json", ".txt", ".model")
"""Suffixes of configuration, preprocessing and tokenizer."""
MODEL_FILES = (".safetensors", *DESCRIPTIONS)
"""Suffixes of the files of a model folder that are loaded."""

_TABLE = "hashes.json"
_REMEMBERED_BYTES = 8 * 2**20
"""Smaller files are hashed in some 10 ms each time."""
_SETTLED_NS = 2_000_000_000
"""A file changed later than this before it was hashed could change again within one tick of the disk's clock."""

_Stamp = tuple[int, int, int, int]
_Table = dict[str, tuple[_Stamp, str]]


def weights_folder(environ: Mapping[str, str]) -> Path:
    """Where weights fetched by address lie, and what is remembered of all."""
    return cache_folder(environ) / "weights"


def file_sha256(path: Path, environ: Mapping[str, str]) -> str:
    """SHA-256 of a file's content, computed or remembered. Raises OSError."""
    real = path.resolve()
    stamp = _stamp(real)
    if stamp[0] < _REMEMBERED_BYTES:
        return _computed(real)
    table = weights_folder(environ) / _TABLE
    known = _read(table).get(str(real))
    if known is not None and known[0] == stamp:
        return known[1]
    settled = time.time_ns() - max(stamp[1], stamp[2]) > _SETTLED_NS
    digest = _computed(real)
    if settled and _stamp(real) == stamp:
        _remember(table, str(real), stamp, digest)
    return digest


def model_files(folder: Path, suffixes: tuple[str, ...] = MODEL_FILES, *, ignore: str = "") -> list[Path]:
    """The files of a model folder that are loaded, by name; those whose name begins with `ignore` are not."""
    files = (file for file in folder.iterdir() if file.suffix in suffixes and file.is_file())
    return sorted(file for file in files if not (ignore and file.name.startswith(ignore)))


def files_sha256(files: Sequence[Path], environ: Mapping[str, str]) -> str:
    """SHA-256 over names and contents of the files of a folder. Raises OSError."""
    listing = "".join(f"{file.name} {file_sha256(file, environ)}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _computed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(table: Path) -> _Table:
    """What is remembered; nothing where the table is missing or damaged, as it only saves time."""
    try:
        entries = json.loads(table.read_bytes())
        return {
            str(path): ((int(size), int(written), int(changed), int(inode)), str(digest))
            for path, (size, written, changed, inode, digest) in entries.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(table: Path, path: str, stamp: _Stamp, digest: str) -> None:
    entries = {kept: entry for kept, entry in _read(table).items() if Path(kept).exists()}
    entries[path] = stamp, digest
    content = json.dumps({name: [*entry[0], entry[1]] for name, entry in sorted(entries.items())}, indent=0)
    with contextlib.suppress(OSError):  # a folder that cannot be written costs time, not a score
        write_atomically(table, content)


def write_atomically(path: Path, text: str) -> None:
    """Put `text` into `path`, so that a reader sees all of it or what was there before. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
