"""Pictures to files, after the clock has stopped."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from kreabench.core.specs import OutputFormat

if TYPE_CHECKING:
    from PIL.Image import Image

_OPTIONS: dict[OutputFormat, dict[str, Any]] = {
    "png": {"compress_level": 1},  # lossless at any level; large pictures in a third of the default's time
    "jpeg": {"quality": 95, "subsampling": 0},  # 4:4:4, so that colour edges stay comparable
}


def encode_picture(picture: Image, output_format: OutputFormat) -> bytes:
    """`picture` as a whole file of `output_format`."""
    buffer = io.BytesIO()
    picture.save(buffer, format=output_format.upper(), **_OPTIONS[output_format])
    return buffer.getvalue()
