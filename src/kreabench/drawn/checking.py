"""Compares what a caption asks for with what a picture was found to hold. What could not be read is never right."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from kreabench.drawn.scene import PAIR_SHIFT, PLACES, RELATIONS, SIZES

if TYPE_CHECKING:
    from kreabench.drawn.captions import Claims
    from kreabench.drawn.items import ReadItem
    from kreabench.drawn.reading import Reading

SIZE_SLACK = (SIZES["large"][0] - SIZES["small"][1]) / 2
"""Of a radius, out of its named range: halfway between small and large, and as far at the other ends."""
PLACE_LINE = 0.1
"""From the middle of the picture: halfway between the centre, which ends at 0.04, and the other places, from 0.16."""


def check(claims: Claims, reading: Reading) -> dict[str, bool]:
    """For each thing that the caption names, and the number of shapes, whether the picture has it right.

    Keys of one shape: count, colour, shape, size, place, background, texture. Of two: count, colour_1, shape_1,
    colour_2, shape_2, relation, background, texture.
    """
    right = {"count": len(reading.items) == len(claims.items)}
    right |= _check_single(claims, reading) if len(claims.items) == 1 else _check_pair(claims, reading)
    if claims.background is not None:
        right["background"] = reading.background == claims.background
    if claims.texture is not None:
        right["texture"] = reading.texture == claims.texture
    return right


def _check_single(claims: Claims, reading: Reading) -> dict[str, bool]:
    """The largest thing in the picture is the one that is meant.

    What has neither a colour nor a shape that can be told is no shape at all, and has no size or place either.
    """
    colour, shape = claims.items[0]
    item = reading.items[0] if reading.items else None
    right = {"colour": item is not None and item.colour == colour, "shape": item is not None and item.shape == shape}
    if item is not None and item.colour is None and item.shape is None:
        item = None
    if claims.size is not None:
        right["size"] = item is not None and size_of(item) == claims.size
    if claims.place is not None:
        right["place"] = item is not None and place_of(item) == claims.place
    return right


def _check_pair(claims: Claims, reading: Reading) -> dict[str, bool]:
    first, second, told_apart = _assigned(claims, reading.items)
    right: dict[str, bool] = {}
    for number, (item, (colour, shape)) in enumerate(zip((first, second), claims.items, strict=True), start=1):
        right[f"colour_{number}"] = item is not None and item.colour == colour
        right[f"shape_{number}"] = item is not None and item.shape == shape
    if claims.relation is not None:
        right["relation"] = told_apart and _relation(first, second) == claims.relation
    return right


def _relation(first: ReadItem | None, second: ReadItem | None) -> str | None:
    """None as well where one of them is nothing that has a name: a speck is nowhere."""
    if first is None or second is None or any(item.colour is None and item.shape is None for item in (first, second)):
        return None
    return relation_of(first, second)


def _assigned(claims: Claims, items: tuple[ReadItem, ...]) -> tuple[ReadItem | None, ReadItem | None, bool]:
    """Which item is which, so that most words fit, and whether the other way round fits less.

    Of two ways that fit as well, the one with larger items counts, as they come first.
    """
    ways = list(permutations((*items, None) if len(items) < 2 else items, 2))
    if not ways:
        return None, None, False
    first, second = max(ways, key=lambda way: _fit(claims, way))
    return first, second, _fit(claims, (first, second)) > _fit(claims, (second, first))


def _fit(claims: Claims, items: tuple[ReadItem | None, ReadItem | None]) -> int:
    """How many of the words for colour and shape fit."""
    return sum(
        (item.colour == colour) + (item.shape == shape)
        for item, (colour, shape) in zip(items, claims.items, strict=True)
        if item is not None
    )


def size_of(item: ReadItem) -> str | None:
    """The word for its radius."""
    for size, (least, greatest) in SIZES.items():
        if least - SIZE_SLACK <= item.radius < greatest + SIZE_SLACK:
            return size
    return None


def place_of(item: ReadItem) -> str | None:
    """The word for where it is; None in the corners."""
    step = tuple(_side(value - 0.5) for value in (item.x, item.y))
    return next((place for place, direction in PLACES.items() if direction == step), None)


def _side(shift: float) -> int:
    """-1, 0 or 1."""
    return (shift > PLACE_LINE) - (shift < -PLACE_LINE)


def relation_of(first: ReadItem, second: ReadItem) -> str | None:
    """Where the first is, seen from the second; None where they are closer than half of what pairs are apart."""
    across, down = first.x - second.x, first.y - second.y
    if max(abs(across), abs(down)) < PAIR_SHIFT:
        return None
    step = ((across > 0) - (across < 0), 0) if abs(across) > abs(down) else (0, (down > 0) - (down < 0))
    return next(relation for relation, direction in RELATIONS.items() if direction == step)
