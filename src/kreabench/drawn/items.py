"""Finds the shapes of a picture: what stands out from the background in colour, and what outline it has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from kreabench.drawn.outlines import outline_of
from kreabench.drawn.scene import COLOURS, SIZES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float64]
    Mask = NDArray[np.bool_]

STANDS_OUT = 30.0
"""Levels in the opponent plane. The palest paint on the nearest background (purple on pink) is at 72."""
LEAST_SHARE = 0.008
"""Of the picture that something must cover: a third of the smallest shape, a triangle of radius 0.15."""
COLOUR_REACH = 28.0
"""Levels in the opponent plane from a colour of the palette: half of what orange and yellow are apart."""
LIGHT_REACH = 40.0
"""Levels of lightness from it: three times the most that a scene adds to a whole shape."""
LEAST_RADIUS = 0.75 * SIZES["small"][0]
"""Anything smaller is a speck, whatever its outline."""
CORE = 0.8
"""Coverage from which a pixel shows an object's own colour."""

_AXES = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]).T / np.sqrt([2.0, 6.0])
_NAMES = tuple(COLOURS)
_PALETTE = np.asarray(list(COLOURS.values()), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadItem:
    """One thing that stands out. Lengths are shares of the picture's side."""

    colour: str | None
    shape: str | None
    x: float
    """Of the middle of its area, as y."""
    y: float
    radius: float
    """As of an item of a scene, if it were the shape that fits best."""
    area: float
    """As a share of the picture."""


def opponent(levels: Plane) -> Plane:
    """Red against green and yellow against blue, in levels: [..., 3] becomes [..., 2]. Grey is 0."""
    return np.asarray(levels @ _AXES)


def find_items(levels: Plane) -> tuple[tuple[ReadItem, ...], Mask]:
    """The things that stand out, largest first, and the pixels that any of them reaches.

    `levels` is a square picture, 0 to 255. A background is what most of a picture is, so its colour is the median.
    """
    plane = opponent(levels)
    ground = np.median(plane, axis=(0, 1))
    distance = plane - ground
    least = LEAST_SHARE * distance[..., 0].size
    found: list[ReadItem] = []
    groups = list(_groups(distance, opponent(_PALETTE) - ground, least))
    every = np.zeros(distance.shape[:2], dtype=np.int64)
    for number, group in enumerate(groups, start=1):
        every[group] = number
    for number, group in enumerate(groups, start=1):
        room = ndimage.binary_dilation(group, iterations=2) & ((every == 0) | (every == number))
        found.extend(_pieces(levels, distance, group, room, least))
    taken = np.linalg.norm(distance, axis=-1) > STANDS_OUT
    return tuple(sorted(found, key=lambda item: -item.area)), ndimage.binary_dilation(taken, iterations=2)


def _groups(distance: Plane, paints: Plane, least: float) -> Iterator[Mask]:
    """Connected parts that stand out; where two hues of the palette touch, each by itself."""
    stands_out = np.linalg.norm(distance, axis=-1) > STANDS_OUT
    lengths = np.linalg.norm(paints, axis=-1)
    along = distance @ (paints / np.maximum(lengths, 1e-9)[:, None]).T
    hue = along.argmax(axis=-1)
    covered = along.max(axis=-1) > 0.6 * lengths[hue]
    parts, count = ndimage.label(stands_out)
    for part in range(1, count + 1):
        inside = parts == part
        if inside.sum() < least:
            continue
        pixels = np.bincount(hue[inside & covered], minlength=len(paints))
        hues = [k for k in np.flatnonzero(pixels >= least) if _largest(inside & covered & (hue == k)) >= least]
        if len(hues) < 2:
            yield inside
            continue
        nearest = along[..., hues].argmax(axis=-1)
        yield from (inside & (nearest == index) for index in range(len(hues)))


def _largest(mask: Mask) -> int:
    """Pixels of the largest connected part."""
    parts, count = ndimage.label(mask)
    return int(np.bincount(parts.ravel())[1:].max()) if count else 0


def _pieces(levels: Plane, distance: Plane, group: Mask, room: Mask, least: float) -> Iterator[ReadItem]:
    """The things in `group`, which has one hue: connected where more than half covered."""
    strength = np.linalg.norm(distance, axis=-1)
    strong = group & (strength >= CORE * np.percentile(strength[group], 95))
    paint = np.median(distance[strong], axis=0)
    cover = np.clip(distance @ paint / max(float(paint @ paint), 1e-9), 0.0, 1.0) * room
    parts, count = ndimage.label(cover > 0.5)
    for part in range(1, count + 1):
        inside = parts == part
        if inside.sum() < least:
            continue
        near = ndimage.binary_dilation(inside, iterations=2) & ((parts == 0) | inside)
        yield _item(levels, cover * near)


def _item(levels: Plane, cover: Plane) -> ReadItem:
    side_px = cover.shape[0]
    area_px = float(cover.sum())
    rows, columns = np.indices(cover.shape) + 0.5
    x_px, y_px = float((cover * columns).sum()) / area_px, float((cover * rows).sum()) / area_px
    shape, radius_px = outline_of(cover, x_px, y_px)
    return ReadItem(
        colour=_colour(levels[cover > CORE]),
        shape=shape if radius_px >= LEAST_RADIUS * side_px else None,
        x=x_px / side_px,
        y=y_px / side_px,
        radius=radius_px / side_px,
        area=area_px / side_px**2,
    )


def _colour(pixels: Plane) -> str | None:
    """The palette's nearest to the median of `pixels`; None where that is too far, or where there are none."""
    if not len(pixels):
        return None
    middle = np.median(pixels, axis=0)
    apart = np.linalg.norm(opponent(_PALETTE) - opponent(middle), axis=-1)
    nearest = int(apart.argmin())
    lightness = math.fabs(float(_PALETTE[nearest].mean() - middle.mean()))
    return _NAMES[nearest] if apart[nearest] <= COLOUR_REACH and lightness <= LIGHT_REACH else None
