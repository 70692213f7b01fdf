"""Where a caption says that shapes are, errors count for more: textures fill the picture, shapes hold what is asked."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from kreabench.drawn.captions import Claims
from kreabench.drawn.scene import PAIR_SHIFT, PLACE_SHIFT, PLACES, RELATIONS

PATCHES = 6
"""Along a side."""
EXTRA = 3.0
"""Weight of a patch near a shape beyond that of any patch."""
_PAIR_REACH, _SMALL_REACH, _LARGE_REACH = 0.28, 0.26, 0.36
"""How far from its place a shape may matter, as a share of the side."""


def focus(claims: list[Claims]) -> Tensor:
    """Weights of the patches, [n, patches, 1], of mean 1 in each picture.

    They follow from the words alone. Weights that knew the picture would bend what is expected of it under noise.
    """
    return torch.stack([_weights(each.size, each.place, each.relation) for each in claims])


@cache
def _weights(size: str | None, place: str | None, relation: str | None) -> Tensor:
    near = torch.zeros(PATCHES, PATCHES)
    middles = (torch.arange(PATCHES) + 0.5) / PATCHES
    for x, y, reach in _spots(size, place, relation):
        aside = torch.maximum((middles[None] - x).abs(), (middles[:, None] - y).abs())
        near = torch.maximum(near, (aside < reach).float())
    weights = 1 + EXTRA * near
    return (weights / weights.mean()).reshape(-1, 1)


def _spots(size: str | None, place: str | None, relation: str | None) -> list[tuple[float, float, float]]:
    """Place and reach of each shape."""
    if relation is not None:
        across, down = RELATIONS[relation]
        return [(0.5 + sign * PAIR_SHIFT * across, 0.5 + sign * PAIR_SHIFT * down, _PAIR_REACH) for sign in (1, -1)]
    if place is None:
        return [(0.5, 0.5, 0.5)]
    across, down = PLACES[place]
    reach = _SMALL_REACH if size == "small" else _LARGE_REACH
    return [(0.5 + PLACE_SHIFT * across, 0.5 + PLACE_SHIFT * down, reach)]
