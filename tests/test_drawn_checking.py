"""What a caption names is right where the picture shows it, and wrong wherever it shows anything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kreabench.drawn.captions import Claims, claims_of, some_of
from kreabench.drawn.checking import check
from kreabench.drawn.items import ReadItem
from kreabench.drawn.reading import Reading, read
from kreabench.drawn.render import render
from kreabench.drawn.scene import PLACES, Ground, Item, Scene, random_scene
from tests.metric_references.drawn import area, words_right

GROUND = Ground(colour="grey", texture="striped")
ONE = Scene(
    items=(Item(shape="square", colour="green", x=0.5, y=0.28, radius=0.15),), ground=GROUND, size="small", place="top"
)
TWO = Scene(
    items=(
        Item(shape="ring", colour="red", x=0.27, y=0.5, radius=0.15),
        Item(shape="cross", colour="blue", x=0.74, y=0.52, radius=0.15),
    ),
    ground=GROUND,
    relation="left",
)


def wrong(asked: Scene, shown: Scene) -> set[str]:
    return {name for name, right in check(claims_of(asked), read(render(shown))).items() if not right}


def changed(scene: Scene, number: int, **changes: object) -> Scene:
    items = list(scene.items)
    items[number] = replace(items[number], **changes)  # type: ignore[arg-type]
    return replace(scene, items=tuple(items))


def test_every_word_of_a_pair_of_scenes_is_judged_as_the_words_themselves_say() -> None:
    rng = np.random.default_rng(8)
    compared = 0
    for _ in range(250):
        asked, shown = random_scene(rng), random_scene(rng)
        areas = sorted(map(area, shown.items))
        if len(areas) > len(asked.items) == 1 and areas[1] < 1.1 * areas[0]:
            continue  # two as large: either may be meant
        claims = some_of(claims_of(asked), rng)
        expected, found = words_right(claims, shown), check(claims, read(render(shown)))
        assert found.keys() == expected.keys()
        assert sum(found.values()) == sum(expected.values()), (claims, shown, found)
        if not _ambiguous(claims, shown):
            assert found == expected, (claims, shown)
            compared += 1
    assert compared > 100


def _ambiguous(asked: Claims, shown: Scene) -> bool:
    """Whether as many words fit whichever shape is taken for which."""
    if len(asked.items) == 1:
        return False
    words = [(item.colour, item.shape) for item in shown.items] + [("", "")] * (2 - len(shown.items))
    fits = [
        sum(a == b for wanted, seen in zip(asked.items, way, strict=True) for a, b in zip(wanted, seen, strict=True))
        for way in (words, words[::-1])
    ]
    return fits[0] == fits[1]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (ONE, set()),
        (changed(ONE, 0, colour="blue"), {"colour"}),
        (changed(ONE, 0, shape="circle"), {"shape"}),
        (changed(ONE, 0, y=0.5), {"place"}),
        (changed(ONE, 0, x=0.72), {"place"}),
        (changed(ONE, 0, radius=0.24, y=0.34), {"size"}),
        (changed(ONE, 0, radius=0.116), {"size"}),
        (changed(ONE, 0, radius=0.09), {"size", "shape"}),
        (replace(ONE, ground=replace(GROUND, colour="pink")), {"background"}),
        (replace(ONE, ground=replace(GROUND, texture="plain")), {"texture"}),
        (replace(ONE, ground=replace(GROUND, texture="dotted")), {"texture"}),
        (replace(ONE, items=()), {"count", "colour", "shape", "size", "place"}),
    ],
)
def test_each_thing_that_is_wrong_with_one_shape_is_told(shown: Scene, expected: set[str]) -> None:
    assert wrong(ONE, shown) == expected


SWAPPED = changed(changed(TWO, 0, colour="blue"), 1, colour="red")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (TWO, set()),
        (replace(TWO, items=TWO.items[::-1]), set()),
        (changed(TWO, 1, colour="yellow"), {"colour_2"}),
        (changed(TWO, 0, shape="square"), {"shape_1"}),
        (changed(changed(TWO, 0, x=0.74), 1, x=0.27), {"relation"}),
        (changed(changed(TWO, 0, x=0.5, y=0.27), 1, x=0.5, y=0.74), {"relation"}),
        (replace(TWO, items=TWO.items[:1]), {"count", "colour_2", "shape_2", "relation"}),
        (replace(TWO, items=TWO.items[1:]), {"count", "colour_1", "shape_1", "relation"}),
        (replace(TWO, items=()), {"count", "colour_1", "shape_1", "colour_2", "shape_2", "relation"}),
    ],
)
def test_each_thing_that_is_wrong_with_two_shapes_is_told(shown: Scene, expected: set[str]) -> None:
    assert wrong(TWO, shown) == expected


def test_swapped_colours_cost_two_words_and_the_relation() -> None:
    """Either both colours or both shapes are wrong, and which is left of which cannot be said."""
    found = wrong(TWO, SWAPPED)

    assert found in ({"colour_1", "colour_2", "relation"}, {"shape_1", "shape_2", "relation"})


def test_one_more_shape_is_a_wrong_count_alone() -> None:
    more = replace(TWO, items=(*TWO.items, Item(shape="circle", colour="yellow", x=0.5, y=0.85, radius=0.1)))

    assert wrong(TWO, more) == {"count"}


def test_only_what_the_caption_names_is_judged() -> None:
    reading = read(render(ONE))

    assert check(Claims(items=(("green", "square"),)), reading) == {"count": True, "colour": True, "shape": True}


def item(**changes: object) -> ReadItem:
    values = {"colour": "red", "shape": "ring", "x": 0.5, "y": 0.5, "radius": 0.15, "area": 0.06, **changes}
    return ReadItem(**values)  # type: ignore[arg-type]


def test_what_was_not_read_is_never_right() -> None:
    claims = claims_of(replace(ONE, ground=GROUND))
    nothing = Reading(items=(item(colour=None, shape=None, x=0.2, y=0.2, radius=0.5),), background=None, texture=None)

    assert check(claims, nothing) == {"count": True, **dict.fromkeys(set(check(claims, nothing)) - {"count"}, False)}


@pytest.mark.parametrize(("radius", "size"), [(0.125, "small"), (0.205, "small"), (0.215, "large"), (0.3, "large")])
def test_sizes_part_halfway(radius: float, size: str) -> None:
    reading = Reading(items=(item(radius=radius),), background=None, texture=None)

    for word in ("small", "large"):
        assert check(Claims(items=(("red", "ring"),), size=word), reading)["size"] == (word == size)


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [
        (0.6, 0.4, "centre"),
        (0.61, 0.4, "right"),
        (0.39, 0.5, "left"),
        (0.5, 0.39, "top"),
        (0.5, 0.61, "bottom"),
        (0.7, 0.7, None),
    ],
)
def test_places_part_halfway_and_corners_are_none_of_them(x: float, y: float, place: str | None) -> None:
    reading = Reading(items=(item(x=x, y=y),), background=None, texture=None)

    for word in PLACES:
        assert check(Claims(items=(("red", "ring"),), place=word), reading)["place"] == (word == place)
