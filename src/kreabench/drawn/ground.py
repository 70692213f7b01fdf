"""Reads a picture's background: its colour, and whether it is plain, striped or dotted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kreabench.drawn.render import SIDE_PX, TEXTURE_CONTRAST, grid
from kreabench.drawn.scene import BACKGROUNDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float64]
    Mask = NDArray[np.bool_]

LEAST_SHARE = 0.2
"""Of the picture that must be background to tell anything of it."""
COLOUR_REACH = 20.0
"""Levels a channel (root mean square) from an expected colour: half of what white and pink are apart."""
MOST_SPREAD = 30.0
"""Levels a channel (root mean square) around a plane. The strongest texture has 18; beyond, it is no one background."""
PLAIN_BELOW = 7.0
"""Levels of lightness (root mean square) around a plane. Stripes have 18, dots 15."""
LEAST_STRIPES = 0.55
"""Share of the variance in one wave: stripes have four fifths in it, dots three tenths."""
LEAST_DOTS = 0.55
"""Share of the variance in the four waves of a square lattice: dots have over three quarters in them."""
LEAST_DOTS_WAVE = 0.15
"""Share of the variance in each of the upright and the level wave: half of what dots have."""

_SHARES = {"plain": 0.0, "striped": 0.5, "dotted": math.pi * 0.29**2}
"""Of the area that has a texture's second tone."""
_CYCLES = np.arange(3.9, 5.41, 0.15)
"""A side: one over the periods of textures."""


def read_ground(levels: Plane, ground: Mask) -> tuple[str | None, str | None]:
    """Colour and texture of the pixels `ground` of a picture of 48 × 48 pixels, 0 to 255; None where not to be told."""
    if ground.mean() < LEAST_SHARE:
        return None, None
    pixels = levels[ground]
    rest = pixels - _plane(pixels, ground)
    if math.sqrt(float(np.square(rest).mean())) > MOST_SPREAD:
        return None, None
    return _colour(pixels.mean(axis=0)), _texture(rest.mean(axis=1), ground)


def _plane(values: Plane, ground: Mask) -> Plane:
    """The plane that fits `values` at these pixels best: the light of a scene."""
    design = np.stack([np.ones_like(_X), _X, _Y], axis=-1)[ground]
    return np.asarray(design @ np.linalg.lstsq(design, values, rcond=None)[0])


def _colour(mean: Plane) -> str | None:
    """The background of which some texture has nearest to this mean."""
    apart = {
        colour: min(float(np.sqrt(np.square(mean - expected).mean())) for expected in means)
        for colour, means in _EXPECTED.items()
    }
    nearest = min(apart, key=apart.__getitem__)
    return nearest if apart[nearest] <= COLOUR_REACH else None


def _texture(rest: Plane, ground: Mask) -> str | None:
    """By the waves in which the variance of `rest`, the lightness without its plane, lies."""
    variance = float(np.square(rest).mean())
    if variance < PLAIN_BELOW**2:
        return "plain"
    whole = np.zeros(ground.shape)
    whole[ground] = rest / len(rest)
    shares = 2 * np.square(_WAVES @ whole.ravel()).sum(axis=0) / variance
    if shares.max() >= LEAST_STRIPES:
        return "striped"
    across, down = shares[0], shares[1]
    lattice = shares[:4].sum(axis=0)
    best = int(lattice.argmax())
    dotted = lattice[best] >= LEAST_DOTS and min(across[best], down[best]) >= LEAST_DOTS_WAVE
    return "dotted" if dotted else None


def _expected(colour: str) -> list[Plane]:
    base = np.asarray(BACKGROUNDS[colour], dtype=np.float64)
    tone = 255 * TEXTURE_CONTRAST * (1 if colour == "black" else -1)
    return [base + tone * share for share in _SHARES.values()]


def _waves() -> Plane:
    """[cosine and sine, direction, period, pixel].

    Directions: level, upright, both diagonals of a square lattice, both diagonals of stripes.
    """
    half = math.sqrt(0.5)
    directions = np.array([(1, 0), (0, 1), (1, 1), (1, -1), (half, half), (half, -half)])
    along = directions @ np.stack([_X.ravel(), _Y.ravel()])
    angles = 2 * math.pi * _CYCLES[:, None] * along[:, None]
    return np.stack([np.cos(angles), np.sin(angles)])


_X, _Y = grid(SIDE_PX)
_EXPECTED = {colour: _expected(colour) for colour in BACKGROUNDS}
_WAVES = _waves()
