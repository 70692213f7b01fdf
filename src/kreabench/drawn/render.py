"""Draws scenes: shapes by their signed distance, so that edges are smooth at any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kreabench.drawn.scene import BACKGROUNDS, COLOURS, Ground, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float64]

SIDE_PX = 48
"""Of the pictures that the miniature was trained on."""
TEXTURE_CONTRAST = 0.14
"""Of a texture's second tone, as a share of full scale: lighter on black, else darker."""


def render(scene: Scene, *, side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    """The scene as a picture: sRGB, [side_px, side_px, 3]."""
    x, y = grid(side_px)
    picture = _draw_ground(scene.ground, x, y, side_px)
    for item in scene.items:
        across, down = (x - item.x) / item.radius, (y - item.y) / item.radius
        cover = coverage(item.shape, across, down, item.angle, item.radius * side_px)
        light = item.shade + item.glow[0] * (x - item.x) / item.radius + item.glow[1] * (y - item.y) / item.radius
        paint = np.asarray(COLOURS[item.colour], dtype=np.float64) / 255 + light[..., None]
        picture += cover[..., None] * (paint - picture)
    return np.asarray(np.clip(picture * 255 + 0.5, 0, 255), dtype=np.uint8)


def grid(side_px: int) -> tuple[Plane, Plane]:
    """Middle of each pixel, x and y as shares of the side, each [side_px, side_px]."""
    steps = (np.arange(side_px) + 0.5) / side_px
    x, y = np.meshgrid(steps, steps)
    return x, y


def coverage(shape: str, x: Plane, y: Plane, angle: float, radius_px: float) -> Plane:
    """Share of each pixel inside a shape at the origin with radius 1; x and y in radii, edges a pixel wide."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turned_x, turned_y = cosine * x + sine * y, cosine * y - sine * x
    return np.clip(0.5 - _DISTANCES[shape](turned_x, turned_y) * radius_px, 0.0, 1.0)


def _circle(x: Plane, y: Plane) -> Plane:
    return np.asarray(np.hypot(x, y) - 1.0)


def _ring(x: Plane, y: Plane) -> Plane:
    return np.asarray(np.abs(np.hypot(x, y) - 0.8) - 0.27)


def _box(x: Plane, y: Plane, half_width: float, half_height: float) -> Plane:
    across, down = np.abs(x) - half_width, np.abs(y) - half_height
    outside = np.hypot(np.maximum(across, 0.0), np.maximum(down, 0.0))
    return np.asarray(outside + np.minimum(np.maximum(across, down), 0.0))


def _square(x: Plane, y: Plane) -> Plane:
    return _box(x, y, 0.88, 0.88)


def _cross(x: Plane, y: Plane) -> Plane:
    return np.minimum(_box(x, y, 1.08, 0.36), _box(x, y, 0.36, 1.08))


def _triangle(x: Plane, y: Plane) -> Plane:
    """Equilateral, point up, its middle at the origin: the greatest distance to its three sides."""
    inner = 0.6
    sides = [_along(x, y, turn) for turn in (90.0, 210.0, 330.0)]
    return np.asarray(np.maximum.reduce(sides) - inner)


def _along(x: Plane, y: Plane, degrees: float) -> Plane:
    """Distance along a direction, 90° pointing down."""
    return x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees))


_DISTANCES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
}


def _draw_ground(ground: Ground, x: Plane, y: Plane, side_px: int) -> Plane:
    base = np.asarray(BACKGROUNDS[ground.colour], dtype=np.float64) / 255
    light = ground.shade + ground.glow[0] * (2 * x - 1) + ground.glow[1] * (2 * y - 1)
    tone = TEXTURE_CONTRAST if ground.colour == "black" else -TEXTURE_CONTRAST
    return np.asarray(base + (light + tone * _pattern(ground, x, y, side_px))[..., None])


def _pattern(ground: Ground, x: Plane, y: Plane, side_px: int) -> Plane:
    """Where the texture's second tone is, from 0 to 1."""
    if ground.texture == "plain":
        return np.zeros_like(x)
    sharpness = ground.period * side_px
    if ground.texture == "striped":
        along = x / ground.period + ground.phase[0]
        return np.clip(0.5 + (np.abs(along % 1.0 - 0.5) - 0.25) * sharpness, 0.0, 1.0)
    across = (x / ground.period + ground.phase[0]) % 1.0 - 0.5
    down = (y / ground.period + ground.phase[1]) % 1.0 - 0.5
    return np.clip(0.5 + (0.29 - np.hypot(across, down)) * sharpness, 0.0, 1.0)
