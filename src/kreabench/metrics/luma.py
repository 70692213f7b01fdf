"""Pictures as arrays for the statistics of look, converted once whichever of them asks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32, uint8
    from numpy.typing import NDArray
    from PIL.Image import Image

REMEMBERED_PIXELS = 16 * 1024 * 1024
"""Of the pictures kept, 7 bytes each: metrics are asked one after the other for the same few pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planes:
    """One picture."""

    rgb: NDArray[uint8]
    """Height × width × 3."""
    luma: NDArray[float32]
    """Height × width, in levels from 0 to 255: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), not rounded."""


class PlanesCache:
    """The latest pictures, by the SHA-256 of their files."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Planes] = OrderedDict()
        self._pixels = 0

    def planes(self, image: Image, sha256: str) -> Planes:
        """The arrays of `image`; kept under `sha256` unless that is empty. Raises ValueError for anything but RGB."""
        known = self._known.get(sha256) if sha256 else None
        if known is not None:
            self._known.move_to_end(sha256)
            return known
        made = _planes(image)
        if sha256:
            self._known[sha256] = made
            self._pixels += made.luma.size
            while self._pixels > REMEMBERED_PIXELS and len(self._known) > 1:
                _, oldest = self._known.popitem(last=False)
                self._pixels -= oldest.luma.size
        return made


def _planes(image: Image) -> Planes:
    import numpy as np

    if image.mode != "RGB":
        raise ValueError(f"expected an RGB picture, found {image.mode}")
    rgb = np.asarray(image)
    red, green, blue = (rgb[:, :, channel] for channel in range(3))
    luma = red * np.float32(0.299)  # channel by channel: a matrix product would first make floats of all three
    luma += green * np.float32(0.587)
    luma += blue * np.float32(0.114)
    return Planes(rgb=rgb, luma=luma)
