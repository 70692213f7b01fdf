"""What of a caption holds for a scene, from the scene's own words and numbers: no picture is looked at."""

from __future__ import annotations

from kreabench.drawn.captions import Claims
from kreabench.drawn.outlines import AREAS
from kreabench.drawn.scene import Item, Scene

OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
PLACE_OF_FIRST = {"left": "left", "right": "right", "above": "top", "below": "bottom"}
"""Where the first of two shapes is in the picture."""


def area(item: Item) -> float:
    """As a share of the picture."""
    return AREAS[item.shape] * item.radius**2


def words_right(asked: Claims, scene: Scene) -> dict[str, bool]:
    """As `kreabench.drawn.checking.check`, for a picture that was read without an error."""
    right = {"count": len(asked.items) == len(scene.items)}
    right |= _single(asked, scene) if len(asked.items) == 1 else _pair(asked, scene)
    if asked.background:
        right["background"] = asked.background == scene.ground.colour
    if asked.texture:
        right["texture"] = asked.texture == scene.ground.texture
    return right


def _single(asked: Claims, scene: Scene) -> dict[str, bool]:
    """The larger shape counts; those of a pair are small."""
    number = max(range(len(scene.items)), key=lambda index: area(scene.items[index]))
    item, place, size = scene.items[number], scene.place, scene.size or "small"
    if scene.relation is not None:
        place = PLACE_OF_FIRST[OPPOSITE[scene.relation] if number else scene.relation]
    right = {"colour": item.colour == asked.items[0][0], "shape": item.shape == asked.items[0][1]}
    if asked.size:
        right["size"] = asked.size == size
    if asked.place:
        right["place"] = asked.place == place
    return right


def _pair(asked: Claims, scene: Scene) -> dict[str, bool]:
    shown: list[Item | None] = [*scene.items, *[None] * (2 - len(scene.items))]
    straight, crossed = _words(asked, shown), _words(asked, shown[::-1])
    swapped = sum(crossed.values()) > sum(straight.values())
    right = crossed if swapped else straight
    if asked.relation:
        relation = OPPOSITE.get(scene.relation or "") if swapped else scene.relation
        told_apart = sum(crossed.values()) != sum(straight.values())
        right["relation"] = told_apart and asked.relation == relation
    return right


def _words(asked: Claims, shown: list[Item | None]) -> dict[str, bool]:
    right: dict[str, bool] = {}
    for number, ((colour, shape), item) in enumerate(zip(asked.items, shown, strict=True), start=1):
        right[f"colour_{number}"] = item is not None and item.colour == colour
        right[f"shape_{number}"] = item is not None and item.shape == shape
    return right
