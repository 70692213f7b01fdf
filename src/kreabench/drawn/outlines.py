"""Tells which shape an outline has, by drawing each of them at the same place with the same area."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kreabench.drawn.render import coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float64]

LEAST_OVERLAP = {"circle": 0.925, "square": 0.9, "triangle": 0.87, "cross": 0.87, "ring": 0.87}
"""Intersection over union of the two coverages, below which an outline is none of the shapes.

Of 400 scenes the least was, rendered and after the miniature's autoencoder: circle 0.99 and 0.95, square 0.96 and 0.92,
triangle 0.93 and 0.89, cross 0.93 and 0.89, ring 0.98 and 0.88. What is no shape looks most like a circle: of shapes
under a blur of 4 or 5 pixels a twentieth overlaps with one by 0.87 to 0.91.
"""
MOST_SOFT = 2.5
"""Width of edges in pixels (rendered ones have 1, after a blur of 0.6 px 2.2) from which on an outline is a blob."""
AREAS = {
    "circle": math.pi,
    "square": 1.76**2,
    "triangle": 3 * math.sqrt(3) * 0.6**2,
    "cross": 2 * 2.16 * 0.72 - 0.72**2,
    "ring": math.pi * (1.07**2 - 0.53**2),
}
"""Of each shape with radius 1. All have the middle of their area at the origin."""
_OUTLINE_LENGTHS = {
    "circle": 2 * math.pi,
    "square": 4 * 1.76,
    "triangle": 6 * math.sqrt(3) * 0.6,
    "cross": 4 * 2.16,
    "ring": 2 * math.pi * 1.6,
}
_TURNS = np.radians(np.arange(-15.0, 15.1, 5.0))
_NO_TURN = np.zeros(1)
_TURNS_OF = {"circle": _NO_TURN, "square": _TURNS, "triangle": _TURNS, "cross": _TURNS, "ring": _NO_TURN}


def outline_of(cover: Plane, x_px: float, y_px: float) -> tuple[str | None, float]:
    """The shape whose drawing overlaps best with `cover`, and its radius in pixels.

    `cover` is the share of each pixel that is covered, with the middle of its area at `x_px` and `y_px`. Where no
    shape overlaps enough, or where the edges are too soft to tell, the shape is None; the radius is that of the best.
    """
    overlaps = overlaps_of(cover, x_px, y_px)
    best = max(overlaps, key=overlaps.__getitem__)
    radius_px = math.sqrt(float(cover.sum()) / AREAS[best])
    edge_px = 6 * float((cover * (1 - cover)).sum()) / (_OUTLINE_LENGTHS[best] * radius_px)
    known = overlaps[best] >= LEAST_OVERLAP[best] and edge_px <= MOST_SOFT
    return best if known else None, radius_px


def overlaps_of(cover: Plane, x_px: float, y_px: float) -> dict[str, float]:
    """How well each shape overlaps with `cover`, turned as fits best: from 0 to 1."""
    area_px = float(cover.sum())
    reach = 0.9 * math.sqrt(area_px) + 1.5  # a triangle's points are 0.88 away
    rows, columns = (_span(middle, reach, side) for middle, side in zip((y_px, x_px), cover.shape, strict=True))
    seen, outside = cover[rows, columns], area_px - float(cover[rows, columns].sum())
    y, x = np.mgrid[rows, columns] + 0.5
    return {shape: _overlap(shape, seen, outside, (x - x_px, y - y_px), area_px) for shape in AREAS}


def _span(middle: float, reach: float, side: int) -> slice:
    return slice(max(int(middle - reach), 0), min(int(middle + reach) + 1, side))


def _overlap(shape: str, seen: Plane, outside: float, at: tuple[Plane, Plane], area_px: float) -> float:
    """Drawn with edges of one pixel and of two, as a picture may be a little soft."""
    radius_px = math.sqrt(area_px / AREAS[shape])
    x, y = (value / radius_px for value in at)
    cosine, sine = (turn[:, None, None] for turn in (np.cos(_TURNS_OF[shape]), np.sin(_TURNS_OF[shape])))
    soft = coverage(shape, cosine * x + sine * y, cosine * y - sine * x, 0.0, radius_px / 2)
    sharp = np.clip(2 * soft - 0.5, 0.0, 1.0)
    return max(_best(drawn, seen, outside) for drawn in (sharp, soft))


def _best(drawn: Plane, seen: Plane, outside: float) -> float:
    """Intersection over union with the drawing that fits best; `outside` is what of the area `seen` does not show."""
    shared = np.minimum(drawn, seen).sum(axis=(1, 2))
    united = drawn.sum(axis=(1, 2)) + seen.sum() - shared + outside
    return float((shared / united).max())
