"""Stored pictures, read back and checked against their record."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kreabench.core.errors import RunDirectoryError
from kreabench.core.records import ImageRecord
from kreabench.rundir.elsewhere import bring

if TYPE_CHECKING:
    from PIL.Image import Image

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_REMEDY = "Restore the file from a copy of the run; it cannot be made again from what is recorded."


def read_picture(run_path: Path, record: ImageRecord) -> Image:
    """The picture of `record`, decoded, as RGB (transparency is dropped).

    Raises RunDirectoryError for a file that is gone, unreadable, changed since it was stored, or no picture.
    """
    import PIL.Image

    content = read_unchanged(run_path, record)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            picture = PIL.Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
        with picture:
            if picture.mode not in _EIGHT_BIT_MODES:
                raise ValueError(f"mode {picture.mode} has more than 8 bits a channel")
            return picture.convert("RGB")
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise RunDirectoryError(
            f"cannot decode {record.path}: {type(error).__name__}: {error}", remedy=_REMEDY
        ) from error


def read_unchanged(run_path: Path, record: ImageRecord) -> bytes:
    """The file of `record`. Raises RunDirectoryError for one that is gone, unreadable or not what was stored."""
    relative = PurePosixPath(record.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise RunDirectoryError(f"{record.path} is not inside the run directory", remedy="Do not trust this run.")
    bring(run_path, record.path)
    try:
        content = (run_path / relative).read_bytes()
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{record.path} is gone from the run directory", remedy=_REMEDY) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise RunDirectoryError(f"cannot read {record.path}: {error}", remedy=_REMEDY) from error
    found = hashlib.sha256(content).hexdigest()
    if found != record.sha256:
        raise RunDirectoryError(
            f"{record.path} was changed after it was stored: expected SHA-256 {record.sha256[:12]}…, "
            f"found {found[:12]}…",
            remedy=_REMEDY,
        )
    return content
