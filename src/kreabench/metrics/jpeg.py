"""How a JPEG was compressed, read from its file, so that another picture can be compressed alike."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_SUBSAMPLING = ("4:4:4", "4:2:2", "4:2:0")
"""By Pillow's number."""
# fmt: off
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
# fmt: on
"""ITU-T T.81, table K.1, which the usual `quality` of 1 to 100 scales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JpegCompression:
    """All that decides what compressing costs."""

    tables: tuple[tuple[int, ...], ...]
    """Quantisation tables, luminance first, in Pillow's order."""
    subsampling: int
    """Of the colours, as Pillow numbers it."""

    def __str__(self) -> str:
        """For people: `quality about 95, 4:2:0`."""
        return f"quality about {quality_of(sum(self.tables[0]))}, {_SUBSAMPLING[self.subsampling]}"

    def applied_to(self, picture: Image) -> Image:
        """`picture` as it comes back from a JPEG of this compression, with Pillow's encoder."""
        import PIL.Image

        content = io.BytesIO()
        tables = {number: list(table) for number, table in enumerate(self.tables)}
        picture.save(content, "JPEG", qtables=tables, subsampling=self.subsampling)
        with PIL.Image.open(content) as compressed:
            return compressed.convert("RGB")


def read_compression(path: Path) -> JpegCompression | str:
    """That of the file at `path`, or why it cannot be repeated. Raises OSError for a file that is no picture."""
    import PIL.Image
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    with PIL.Image.open(path) as picture:
        if not isinstance(picture, JpegImageFile):
            return f"a {picture.format} and no JPEG"
        if picture.mode != "RGB" or picture.info.get("adobe_transform") == 0:  # grey, CMYK, or RGB kept as it is
            return "a JPEG that is not stored as luminance and two colours"
        subsampling = int(get_sampling(picture))
        if subsampling not in range(len(_SUBSAMPLING)):
            return "a JPEG whose colours are subsampled in an unusual way"
        tables = tuple(tuple(picture.quantization[number]) for number in sorted(picture.quantization))
        return JpegCompression(tables=tables, subsampling=subsampling)


@lru_cache(maxsize=256)
def quality_of(table_sum: int) -> int:
    """The `quality` of libjpeg whose luminance table has the nearest sum. Other encoders have tables of their own."""
    return min(range(1, 101), key=lambda quality: abs(_scaled_sum(quality) - table_sum))


def _scaled_sum(quality: int) -> int:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((entry * percent + 50) // 100, 1), 255) for entry in _LUMINANCE)
