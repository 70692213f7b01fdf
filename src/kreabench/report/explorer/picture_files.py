"""The files of a report's pictures: a small one for grids, a larger one to look at, named by the picture's SHA-256."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kreabench.report.explorer.data import PictureState
from kreabench.report.thumbnails import (
    THUMBNAIL_PX,
    THUMBNAIL_QUALITY,
    Thumbnail,
    bombs_refused,
    decoded,
    read_inside,
    shrunk,
)

FOLDER = "pictures"
VIEW_PX = 1024
"""Longest side of a picture to look at."""

VIEW_QUALITY = 90
SMALL_BYTES, TINY_BYTES = 60_000, 16_000
"""A file of at most so many bytes is shown as it came: beside its thumbnail, and in its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large the files are that are made of a picture."""

    view_px: int = VIEW_PX
    """Longest side of the one to look at."""
    single: bool = False
    """Whether that one has to do for grids, too, as inside a page: there its bytes are there in any case."""
    fine: bool = True
    """Whether that one is as sharp in colour as in light."""
    whole_bytes: int = TINY_BYTES
    """A file of at most so many is the only one, as it came."""


_SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_THREADS = min(4, os.cpu_count() or 1)
"""Pillow decodes without Python's lock; each may hold a picture of 64 million pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """A picture in a run directory, as its record has it."""

    run_path: Path
    relative: str
    sha256: str
    size_bytes: int
    format: str
    """png, jpeg or webp; empty where the file must not be shown as it came, which takes along what its camera wrote."""
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What was made of a picture, or why nothing could be."""

    state: PictureState = "shown"
    reason: str = ""
    thumbnail: str = ""
    """Name below the report's folder."""
    view: str = ""
    """Empty where the thumbnail is all there is."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Of these names, those that were not known."""
    small: Thumbnail | None = None
    """None where nothing had to be decoded."""


def keep_all(
    originals: Iterable[Original], sizes: Sizes = Sizes(), known: Callable[[str], bool] | None = None
) -> dict[str, Kept]:
    """SHA-256 → what is kept; each picture is decoded once. Of names that are `known` nothing is made.

    Of several files of one content, one that can be read is enough.
    """
    files: dict[str, list[Original]] = {}
    for original in originals:
        files.setdefault(original.sha256, []).append(original)
    with bombs_refused(), ThreadPoolExecutor(_THREADS) as pool:
        kept = pool.map(lambda same: _keep_one_of(same, sizes, known), files.values())
        return dict(zip(files, kept, strict=True))


def _keep_one_of(same: Iterable[Original], sizes: Sizes, known: Callable[[str], bool] | None) -> Kept:
    kept = Kept()
    for original in same:
        kept = keep(original, sizes, known)
        if kept.state == "shown":
            break
    return kept


def keep(original: Original, sizes: Sizes, known: Callable[[str], bool] | None = None) -> Kept:
    """What is kept of one picture. To be called inside `bombs_refused`."""
    thumbnail, view = _names(original, sizes)
    if known is not None and all(map(known, filter(None, (thumbnail, view)))):
        return Kept(thumbnail=thumbnail, view=view)
    try:
        content = read_inside(original.run_path, original.relative)
        picture = decoded(content, max(sizes.view_px, 2 * THUMBNAIL_PX))
        if hashlib.sha256(content).hexdigest() != original.sha256:
            raise ValueError("its file was changed after it was stored")
    except FileNotFoundError:
        return Kept(state="missing", reason="its file is not beside the run")
    except ValueError as error:
        return Kept(state="unreadable", reason=str(error))
    small = shrunk(picture, THUMBNAIL_PX, THUMBNAIL_QUALITY)
    made = {_whole(original): content, _made(original, THUMBNAIL_PX): small.content}
    large = view or thumbnail
    if large not in made:
        quality = VIEW_QUALITY if sizes.fine else THUMBNAIL_QUALITY
        made[large] = shrunk(picture, sizes.view_px, quality, fine=sizes.fine).content
    return Kept(
        thumbnail=thumbnail, view=view, files={name: made[name] for name in (thumbnail, view) if name}, small=small
    )


def _names(original: Original, sizes: Sizes) -> tuple[str, str]:
    """Of the thumbnail and of the view; what is made of a picture has its longest side in its name."""
    whole, longest = _whole(original), max(original.width, original.height)
    if whole and original.size_bytes <= sizes.whole_bytes:
        return whole, ""
    if longest <= THUMBNAIL_PX:
        return _made(original, THUMBNAIL_PX), ""
    view = _made(original, min(sizes.view_px, longest))
    if sizes.single:
        return view, ""
    return _made(original, THUMBNAIL_PX), whole if whole and original.size_bytes <= SMALL_BYTES else view


def _whole(original: Original) -> str:
    suffix = _SUFFIXES.get(original.format)
    return f"{FOLDER}/{original.sha256[:16]}.{suffix}" if suffix else ""


def _made(original: Original, px: int) -> str:
    return f"{FOLDER}/{original.sha256[:16]}-{px}.jpg"
