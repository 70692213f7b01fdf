"""What a drawn picture holds: the words of the world, and scenes drawn at random.

Lengths are shares of the picture's side, angles radians, colours sRGB from 0 to 255. What a caption can name is a
word; everything else (exact place, radius, rotation, shades, the texture's phase) varies without being named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (210, 40, 45),
    "orange": (240, 135, 30),
    "yellow": (245, 215, 50),
    "green": (45, 160, 75),
    "blue": (40, 95, 205),
    "purple": (135, 60, 170),
}
"""Of shapes. All are far more saturated than any background."""
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES: dict[str, tuple[float, float]] = {"small": (0.15, 0.18), "large": (0.24, 0.28)}
"""Word → least and greatest radius."""
PLACES: dict[str, tuple[int, int]] = {
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
}
"""Word → direction from the middle of the picture."""
RELATIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Where the first of two shapes is, seen from the second."""
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (240, 240, 238),
    "grey": (150, 150, 152),
    "black": (30, 30, 34),
    "pink": (240, 182, 196),
}
TEXTURES = ("plain", "striped", "dotted")

PAIR_RADII = (0.15, 0.18)
"""Of two shapes in one picture, whose sizes have no name."""
PLACE_SHIFT = 0.22
"""From the middle of the picture to a named place."""
PAIR_SHIFT = 0.235
"""From the middle of the picture to each of two shapes."""
_MARGIN = 0.02
_TURN = math.radians(5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One shape."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    """Of a circle; other shapes are scaled to look as large."""
    angle: float = 0.0
    shade: float = 0.0
    """Lightness added, as a share of full scale."""
    glow: tuple[float, float] = (0.0, 0.0)
    """Lightness added over one radius to the right and downwards, as a share of full scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """The background."""

    colour: str
    texture: str
    shade: float = 0.0
    glow: tuple[float, float] = (0.0, 0.0)
    """Lightness added over half a side to the right and downwards."""
    period: float = 0.2
    """Of stripes or dots."""
    phase: tuple[float, float] = (0.0, 0.0)
    """In periods."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One or two shapes on a background."""

    items: tuple[Item, ...]
    ground: Ground
    size: str | None = None
    """Of a single shape."""
    place: str | None = None
    """Of a single shape."""
    relation: str | None = None
    """Of two shapes."""


def random_scene(rng: Generator) -> Scene:
    """A scene whose words are independent and equally likely, but that two shapes differ in colour."""
    ground = _random_ground(rng)
    if rng.random() < 0.5:
        return _single(rng, ground)
    return _pair(rng, ground)


def redrawn(scene: Scene, rng: Generator) -> Scene:
    """Another scene that the same words name."""
    ground = _random_ground(rng, scene.ground.colour, scene.ground.texture)
    words = [(item.colour, item.shape) for item in scene.items]
    if scene.relation is not None:
        return _pair(rng, ground, words, scene.relation)
    return _single(rng, ground, words[0], scene.size, scene.place)


def _single(
    rng: Generator,
    ground: Ground,
    words: tuple[str, str] | None = None,
    size: str | None = None,
    place: str | None = None,
) -> Scene:
    colour, shape = words or (_pick(rng, COLOURS), _pick(rng, SHAPES))
    size, place = size or _pick(rng, SIZES), place or _pick(rng, PLACES)
    radius = float(rng.uniform(*SIZES[size]))
    across, down = PLACES[place]
    x, y = (
        _inside(0.5 + PLACE_SHIFT * step + float(rng.uniform(-0.04, 0.04)), radius, margin=_MARGIN)
        for step in (across, down)
    )
    return Scene(items=(_item(rng, shape, colour, x, y, radius),), ground=ground, size=size, place=place)


def _pair(
    rng: Generator, ground: Ground, words: list[tuple[str, str]] | None = None, relation: str | None = None
) -> Scene:
    relation = relation or _pick(rng, RELATIONS)
    if words is None:
        first, second = (int(index) for index in rng.choice(len(COLOURS), 2, replace=False))
        names = list(COLOURS)
        words = [(names[first], _pick(rng, SHAPES)), (names[second], _pick(rng, SHAPES))]
    across, down = RELATIONS[relation]
    items = []
    for (colour, shape), sign in zip(words, (1, -1), strict=True):
        along = PAIR_SHIFT + float(rng.uniform(-0.015, 0.025))
        aside = float(rng.uniform(-0.06, 0.06))
        x = 0.5 + sign * along * across + (aside if across == 0 else 0.0)
        y = 0.5 + sign * along * down + (aside if down == 0 else 0.0)
        items.append(_item(rng, shape, colour, x, y, float(rng.uniform(*PAIR_RADII))))
    return Scene(items=tuple(items), ground=ground, relation=relation)


def _item(rng: Generator, shape: str, colour: str, x: float, y: float, radius: float) -> Item:
    glow = (float(rng.uniform(-0.03, 0.03)), float(rng.uniform(-0.03, 0.03)))
    return Item(
        shape=shape,
        colour=colour,
        x=x,
        y=y,
        radius=radius,
        angle=float(rng.uniform(-_TURN, _TURN)),
        shade=float(rng.uniform(-0.05, 0.05)),
        glow=glow,
    )


def _random_ground(rng: Generator, colour: str | None = None, texture: str | None = None) -> Ground:
    colour, texture = colour or _pick(rng, BACKGROUNDS), texture or _pick(rng, TEXTURES)
    return Ground(
        colour=colour,
        texture=texture,
        shade=float(rng.uniform(-0.02, 0.02)),
        glow=(float(rng.uniform(-0.02, 0.02)), float(rng.uniform(-0.02, 0.02))),
        period=float(rng.uniform(0.22, 0.25)),
        phase=(float(rng.random()), float(rng.random())),
    )


def _inside(value: float, radius: float, *, margin: float) -> float:
    """Moved so that a shape of `radius` is not cut by the picture's edge."""
    room = 1.15 * radius + margin
    return min(max(value, room), 1 - room)


def _pick(rng: Generator, words: Iterable[str]) -> str:
    """Any of them, equally likely."""
    words = tuple(words)
    return words[int(rng.integers(len(words)))]
