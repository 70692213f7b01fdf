"""Small pictures for the page, read from files that may be anything."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import PIL.ImageOps

THUMBNAIL_PX = 160
"""Longest side of a thumbnail."""

_MAX_PIXELS = 64_000_000
"""More than any target may draw (`Limits.max_pixels`) and little enough to decode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """A JPEG file and its size in pixels."""

    content: bytes
    size: tuple[int, int]


def thumbnail(run_path: Path, relative: str) -> Thumbnail:
    """A thumbnail of the picture at `relative` inside the run directory.

    Raises FileNotFoundError where there is no such file, and ValueError for one that lies outside the run
    directory or is no picture.
    """
    path = (run_path / relative).resolve()
    if not path.is_relative_to(run_path.resolve()):
        raise ValueError("its path leads out of the run directory")
    if not path.is_file():
        raise FileNotFoundError(relative)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path, formats=("PNG", "JPEG", "WEBP")) as picture:
                if picture.width * picture.height > _MAX_PIXELS:
                    raise ValueError(f"it claims {picture.width} × {picture.height} pixels")
                picture.draft("RGB", (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
                small = PIL.ImageOps.exif_transpose(picture).convert("RGB")  # input pictures may lie on their side
    except ValueError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ValueError(f"it cannot be decoded ({type(error).__name__})") from error
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), PIL.Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85, optimize=True)
    return Thumbnail(content=buffer.getvalue(), size=small.size)
