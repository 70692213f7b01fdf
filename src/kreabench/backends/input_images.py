"""Input pictures: what is accepted, and the one way in which each becomes an RGB picture of 8 bits.

The rules, in this order; what of them a picture needs is said in its `notes`:

- turned upright as its EXIF orientation asks
- 16 bits a channel: the high 8 are kept
- transparency: laid on white
- CMYK, grey, palettes: converted to RGB as Pillow does, without colour profiles

The files themselves are kept byte for byte; importing this module imports no Pillow.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.errors import GenerationError
from kreabench.core.picture_files import is_whole
from kreabench.core.specs import InputFormat, InputImage

if TYPE_CHECKING:
    from PIL.Image import Image

NORMALISATION = "upright, high 8 bits, on white, RGB without profiles"
"""The rules above, by name: part of the identity of every request with input pictures."""

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 50_000_000
"""A 50-megapixel camera's picture; more is taken for a decompression bomb."""
MIN_SIDE_PX = 16

_ACCEPTED = ("PNG", "JPEG", "WEBP")
_FORMATS: dict[str, InputFormat] = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}
"""Pillow's name → ours. MPO is a JPEG with further pictures behind it (a gain map, say), which are not read."""
_PICTURE = "a whole PNG, JPEG or WebP picture"
_PNG_BIT_DEPTH = 24
"""Offset of that byte in a PNG, whose first chunk is always IHDR."""
_STAGE = "encode_image"


class BadInputImage(ValueError):
    """Not a picture to start from; the message says what was found and what is accepted."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}; expected {expected}")
        self.found = found
        self.expected = expected


def describe_input(name: str, content: bytes) -> InputImage:
    """The picture in `content`, fully decoded once, so that a bad one is found before anything runs.

    Raises BadInputImage.
    """
    picture, notes, format_ = _decode(content)
    return InputImage(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        format=format_,
        width=picture.width,
        height=picture.height,
        notes=notes,
    )


def read_input(inputs: Path, image: InputImage) -> Image:
    """The picture of `image` from the run's folder `inputs`, by the rules above.

    Raises GenerationError where the file is gone or is not the one that was stored.
    """
    path = inputs / image.file_name
    remedy = "Restore the file from a copy of the run, or start a new run from the prompt file."
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"the input picture {image.name} cannot be read from {path}: {error.strerror or error}"
        raise GenerationError(message, type="invalid_request", stage=_STAGE, remedy=remedy) from error
    found = hashlib.sha256(content).hexdigest()
    if found != image.sha256:
        message = (
            f"the input picture {image.name} was changed after it was stored: expected SHA-256 {image.sha256[:12]}…, "
            f"found {found[:12]}…"
        )
        raise GenerationError(message, type="invalid_request", stage=_STAGE, remedy=remedy)
    try:
        picture, _, _ = _decode(content)
    except BadInputImage as error:
        message = f"the input picture {image.name} cannot be decoded: {error}"
        raise GenerationError(message, type="bad_image", stage=_STAGE, remedy="Check Pillow's version.") from error
    return picture


def fit_to_size(picture: Image, width: int, height: int) -> Image:
    """`picture` scaled until it covers `width` × `height`, what juts out cut off evenly: nothing is distorted."""
    import PIL.Image
    import PIL.ImageOps

    if picture.size == (width, height):
        return picture
    return PIL.ImageOps.fit(picture, (width, height), method=PIL.Image.Resampling.LANCZOS)


def _open(content: bytes) -> Image:
    """The header alone. Raises BadInputImage."""
    import PIL.Image

    try:
        with warnings.catch_warnings():
            # Between its two limits Pillow only warns of a decompression bomb.
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            return PIL.Image.open(io.BytesIO(content), formats=_ACCEPTED)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise BadInputImage("far too many pixels (a decompression bomb)", f"at most {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # parsers of damaged files raise nearly anything
        raise BadInputImage(f"{len(content)} bytes that are no picture, or a cut one", _PICTURE) from error


def _decode(content: bytes) -> tuple[Image, tuple[str, ...], InputFormat]:
    """The picture by the rules of this module, which of them it needed, and its format. Raises BadInputImage."""
    if len(content) > MAX_BYTES:
        raise BadInputImage(f"{len(content):,} bytes", f"at most {MAX_BYTES:,} bytes")
    with _open(content) as picture:
        _check_shape(picture)
        format_ = _FORMATS[picture.format or ""]
        if not is_whole(content, format_):
            raise BadInputImage("a truncated file", _PICTURE)
        try:
            picture.load()
            upright, notes = _normalise(picture, deep=format_ == "png" and content[_PNG_BIT_DEPTH] > 8)
        except Exception as error:  # decoders of damaged files raise nearly anything
            raise BadInputImage(f"a damaged or truncated file ({error})", _PICTURE) from error
    return upright, notes, format_


def _check_shape(picture: Image) -> None:
    """What the header alone shows, before any pixel is decoded."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise BadInputImage(f"{width}×{height} pixels", f"at most {MAX_PIXELS:,} pixels")
    if min(width, height) < MIN_SIDE_PX:
        raise BadInputImage(f"{width}×{height} pixels", f"sides of at least {MIN_SIDE_PX} pixels")
    if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
        raise BadInputImage("an animation", "one still picture")


def _normalise(picture: Image, *, deep: bool) -> tuple[Image, tuple[str, ...]]:
    """By the rules; `deep` says that the file has more than 8 bits a channel, which Pillow's mode may hide."""
    import PIL.Image
    import PIL.ImageOps

    notes = []
    if picture.getexif().get(0x0112, 1) in range(2, 9):
        picture = PIL.ImageOps.exif_transpose(picture)
        notes.append("turned upright")
    if deep:
        picture = _high_bits(picture) if picture.mode.startswith("I") else picture
        notes.append("16 bits cut to 8")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(ground, picture)
        notes.append("transparency laid on white")
    elif picture.mode != "RGB":
        notes.append(f"{'grey' if picture.mode in {'1', 'L', 'LA'} else picture.mode} converted to RGB")
    return picture.convert("RGB"), tuple(notes)


def _high_bits(picture: Image) -> Image:
    """Pillow keeps the high bits of 16-bit colours by itself, but clips 16-bit grey when it converts it."""
    import numpy as np
    import PIL.Image

    return PIL.Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
