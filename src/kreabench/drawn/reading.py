"""Reads a drawn picture back: which shapes it shows, where, and on what background. No learned weights, no caption.

A shape differs from its background in its two opponent colours (red against green, yellow against blue). Every light
that a scene varies and every texture only adds grey, so in that plane a pixel at an edge lies exactly between
background and paint, and how far along tells how much of it is covered. The parts of reading are `items` (what stands
out, its colour and its outline) and `ground` (what is left).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from kreabench.drawn.ground import read_ground
from kreabench.drawn.items import ReadItem, find_items
from kreabench.drawn.render import SIDE_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a picture was found to hold; None is what could not be told."""

    items: tuple[ReadItem, ...]
    """Largest first."""
    background: str | None
    texture: str | None


def read(picture: NDArray[np.uint8]) -> Reading:
    """What `picture` holds: sRGB, [height, width, 3], of any size.

    It is read at 48 × 48 pixels, and another size is brought to that by the mean over each pixel's area.
    """
    if picture.size == 0:
        return Reading(items=(), background=None, texture=None)
    if picture.shape[:2] != (SIDE_PX, SIDE_PX):
        small = Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
        picture = np.asarray(small, dtype=np.uint8)
    levels = picture.astype(np.float64)
    items, taken = find_items(levels)
    background, texture = read_ground(levels, ~taken)
    return Reading(items=items, background=background, texture=texture)
