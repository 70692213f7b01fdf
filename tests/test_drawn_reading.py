"""Drawn pictures are read back without errors, also slightly damaged ones, and nothing is read into others."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from kreabench.drawn.captions import claims_of
from kreabench.drawn.checking import check
from kreabench.drawn.outlines import AREAS, LEAST_OVERLAP, MOST_SOFT, overlaps_of
from kreabench.drawn.reading import read
from kreabench.drawn.render import coverage, grid, render
from kreabench.drawn.scene import COLOURS, SHAPES, Ground, Item, Scene, random_scene

Picture = NDArray[np.uint8]
PLAIN = Ground(colour="white", texture="plain")


def scenes(count: int, seed: int) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [random_scene(rng) for _ in range(count)]


def wrong_in(pictures: list[tuple[Scene, Picture]]) -> tuple[Counter[str], float, float]:
    """What was read wrong, the share of all things named, and the share of pictures with anything wrong."""
    wrong: Counter[str] = Counter()
    named = spoilt = 0
    for scene, picture in pictures:
        right = check(claims_of(scene), read(picture))
        named += len(right)
        wrong.update(name for name, value in right.items() if not value)
        spoilt += not all(right.values())
    return wrong, wrong.total() / named, spoilt / len(pictures)


def test_two_thousand_rendered_scenes_are_read_right() -> None:
    wrong, share, spoilt = wrong_in([(scene, render(scene)) for scene in scenes(2000, 1)])

    assert share <= 0.001, wrong
    assert spoilt <= 0.005, wrong


@pytest.mark.parametrize("side_px", [64, 131, 256])
def test_a_larger_picture_is_read_as_well(side_px: int) -> None:
    wrong, _, spoilt = wrong_in([(scene, render(scene, side_px=side_px)) for scene in scenes(40, 2)])

    assert not spoilt, wrong


def jpeg(picture: Picture) -> Picture:
    """Of quality 90, without halving the colours' resolution."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=90, subsampling=0)
    return np.asarray(Image.open(content))


def noisy(picture: Picture, sigma: float = 3.0) -> Picture:
    noise = np.random.default_rng(int(picture.sum())).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma_px: float = 0.6) -> Picture:
    blurry: Picture = np.rint(ndimage.gaussian_filter(picture.astype(float), (sigma_px, sigma_px, 0))).astype(np.uint8)
    return blurry


@pytest.mark.parametrize("damage", [jpeg, noisy, blurred])
def test_slight_damage_costs_hardly_any_picture(damage: Callable[[Picture], Picture]) -> None:
    wrong, share, spoilt = wrong_in([(scene, damage(render(scene))) for scene in scenes(150, 3)])

    assert share <= 0.005, wrong
    assert spoilt <= 0.03, wrong


@pytest.mark.parametrize("sigma_px", [2.0, 3.0, 5.0])
def test_blobs_have_no_shape(sigma_px: float) -> None:
    for scene in scenes(25, 4):
        reading = read(blurred(render(scene), sigma_px))
        right = check(claims_of(scene), reading)
        assert not [item for item in reading.items if item.shape is not None]
        assert not [name for name, value in right.items() if value and name.startswith("shape")]


def test_an_outline_between_two_shapes_is_none() -> None:
    """Half a circle, and a square that is turned by an eighth."""
    half, diamond = render(Scene(items=(CIRCLE,), ground=PLAIN)), replace(CIRCLE, shape="square", angle=np.pi / 4)
    half[:, :24] = half[0, 0]

    assert [item.shape for item in read(half).items] == [None]
    assert [item.shape for item in read(render(Scene(items=(diamond,), ground=PLAIN))).items] == [None]


CIRCLE = Item(shape="circle", colour="red", x=0.5, y=0.5, radius=0.25)


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (255, 0, 255)])
@pytest.mark.parametrize("shape", [(48, 48), (1, 1), (1, 300), (300, 1), (0, 0), (7, 48)])
def test_a_picture_of_one_colour_shows_nothing(colour: tuple[int, int, int], shape: tuple[int, int]) -> None:
    assert not read(np.full((*shape, 3), colour, dtype=np.uint8)).items


@pytest.mark.parametrize("grey", [True, False])
def test_noise_is_read_as_nothing_that_a_caption_names(grey: bool) -> None:
    rng = np.random.default_rng(5)
    by_chance = 0
    for scene in scenes(20, 6):
        noise = rng.integers(0, 256, (48, 48, 1 if grey else 3), dtype=np.uint8)
        reading = read(np.broadcast_to(noise, (48, 48, 3)).copy())
        assert (reading.background, reading.texture) == (None, None)
        right = check(claims_of(scene), reading)
        assert not [name for name, value in right.items() if value and name.startswith(("count", "shape", "relation"))]
        by_chance += sum(right.values())
    assert by_chance <= 5  # of 140: a patch of noise may have a colour or a size


def test_a_weak_grain_is_no_texture() -> None:
    grain = np.random.default_rng(7).normal(150, 20, (48, 48, 1))
    ground = np.broadcast_to(np.rint(grain), (48, 48, 3)).astype(np.uint8)

    assert (read(ground).background, read(ground).texture) == ("grey", None)


def test_two_backgrounds_are_none() -> None:
    picture = np.full((48, 48, 3), 240, dtype=np.uint8)
    picture[:, 16:32] = 30

    assert (read(picture).background, read(picture).texture) == (None, None)


def test_two_shapes_of_different_colour_that_touch_are_two() -> None:
    items = (replace(CIRCLE, x=0.34, radius=0.16), replace(CIRCLE, x=0.66, radius=0.16, colour="blue"))
    reading = read(render(Scene(items=items, ground=PLAIN)))

    assert {(item.colour, item.shape) for item in reading.items} == {("red", "circle"), ("blue", "circle")}


def test_a_colour_that_the_palette_lacks_is_none() -> None:
    picture = render(Scene(items=(CIRCLE,), ground=PLAIN))
    for strange in ((0, 200, 200), (255, 0, 255), (90, 15, 20)):
        picture[picture[..., 1] < 60] = strange
        assert [(item.colour, item.shape) for item in read(picture).items] == [(None, "circle")]
        picture = render(Scene(items=(CIRCLE,), ground=PLAIN))


@pytest.mark.parametrize("shape", SHAPES)
def test_radius_and_place_are_read_to_a_fiftieth(shape: str) -> None:
    for colour in COLOURS:
        wanted = Item(shape=shape, colour=colour, x=0.42, y=0.55, radius=0.2, angle=0.1)
        (item,) = read(render(Scene(items=(wanted,), ground=PLAIN))).items
        found = np.array([item.x, item.y, item.radius])
        assert found == pytest.approx([wanted.x, wanted.y, wanted.radius], rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_overlaps_fully_with_its_own_shape_alone(shape: str) -> None:
    x, y = (value * 96 for value in grid(96))
    cover = coverage(shape, (x - 45) / 20, (y - 50) / 20, 0.0, 20)

    overlaps = overlaps_of(cover, 45, 50)

    assert cover.sum() == pytest.approx(AREAS[shape] * 20**2, rel=0.01)
    assert overlaps.pop(shape) > 0.99
    assert all(overlap < LEAST_OVERLAP[shape] - 0.02 for shape, overlap in overlaps.items())
    assert MOST_SOFT > 1
