"""Pictures made smaller for a page, read from files that may be anything."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from kreabench.rundir.elsewhere import bring

THUMBNAIL_PX = 160
"""Longest side of a thumbnail."""

SMALL_PX = THUMBNAIL_PX // 2
"""A picture with no side longer than this is shown enlarged, with its pixels as squares, and kept without loss that is
seen then. The scripts of pages have the same number: `gallery.js`, `vote.js`."""

THUMBNAIL_QUALITY = 85

_SMALL_QUALITY = 97

_MAX_PIXELS = 64_000_000
"""More than any target may draw (`Limits.max_pixels`) and little enough to decode."""

_MAX_BYTES = 256_000_000
"""More than so many pixels fill."""

_REDUCING_GAP = 1.5
"""A picture is first averaged, by a whole factor, to at least so many times its new size: that halves the cost."""


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
    content = read_inside(run_path, relative)
    with bombs_refused():
        return shrunk(decoded(content, 2 * THUMBNAIL_PX), THUMBNAIL_PX, THUMBNAIL_QUALITY)


def read_inside(run_path: Path, relative: str) -> bytes:
    """The file at `relative`. Raises FileNotFoundError, and ValueError where it lies outside or cannot be read."""
    path = (run_path / relative).resolve()
    if not path.is_relative_to(run_path.resolve()):
        raise ValueError("its path leads out of the run directory")
    bring(run_path, relative)
    if not path.is_file():
        raise FileNotFoundError(relative)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"its file has {path.stat().st_size:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Pillow refuses pictures that claim to be huge. For the whole process, so threads are started inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        yield


def decoded(content: bytes, longest: int) -> PIL.Image.Image:
    """The picture, upright, as RGB; a JPEG only as large as `longest` needs. Raises ValueError for anything else."""
    try:
        with PIL.Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise ValueError(f"it claims {picture.width} × {picture.height} pixels")
            picture.draft("RGB", (longest, longest))
            PIL.ImageOps.exif_transpose(picture, in_place=True)  # input pictures may lie on their side
            return picture.convert("RGB")
    except ValueError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ValueError(f"it cannot be decoded ({type(error).__name__})") from error


def shrunk(picture: PIL.Image.Image, longest: int, quality: int, *, fine: bool = False) -> Thumbnail:
    """`picture` with no side longer than `longest`, as a JPEG; a `fine` one is as sharp in colour as in light.

    So is a small one, nearly without loss, as its blocks and halos would be enlarged with it.
    """
    if max(picture.size) <= SMALL_PX:
        quality, fine = _SMALL_QUALITY, True
    if max(picture.size) > longest:
        picture = picture.copy()
        picture.thumbnail((longest, longest), PIL.Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=not fine, subsampling="4:4:4" if fine else "4:2:0")
    return Thumbnail(content=buffer.getvalue(), size=picture.size)
