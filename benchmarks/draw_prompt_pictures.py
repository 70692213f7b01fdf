"""Draws the input pictures of conf/prompts/drawn.jsonl, so that image-to-image and redux have something to start from.

    python benchmarks/draw_prompt_pictures.py FOLDER

Ours from the first line to the last pixel: no licence, no person, a few kilobytes each. A test compares the committed
files with what is drawn here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

OVERSAMPLING = 2
Colour = tuple[int, int, int]


def _sky(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    """A vertical gradient."""
    column = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), column)


def house(size: tuple[int, int]) -> Image.Image:
    """A white house with a red roof, a tree, a sun."""
    picture = _sky(size, (120, 180, 235), (225, 240, 250))
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.rectangle((0, height * 0.7, width, height), fill=(96, 150, 72))
    draw.ellipse((width * 0.8, height * 0.08, width * 0.9, height * 0.08 + width * 0.1), fill=(250, 215, 90))
    draw.rectangle((width * 0.2, height * 0.42, width * 0.55, height * 0.78), fill=(240, 236, 226))
    roof = ((width * 0.16, height * 0.42), (width * 0.375, height * 0.18), (width * 0.59, height * 0.42))
    draw.polygon(roof, fill=(178, 58, 48))
    draw.rectangle((width * 0.34, height * 0.58, width * 0.42, height * 0.78), fill=(96, 64, 44))
    for left in (0.24, 0.46):
        draw.rectangle((width * left, height * 0.5, width * (left + 0.06), height * 0.6), fill=(90, 130, 170))
    draw.rectangle((width * 0.72, height * 0.5, width * 0.75, height * 0.76), fill=(110, 76, 50))
    draw.ellipse((width * 0.63, height * 0.24, width * 0.84, height * 0.58), fill=(52, 112, 58))
    return picture


def mountains(size: tuple[int, int]) -> Image.Image:
    """Two ridges at dusk and a lake."""
    picture = _sky(size, (48, 52, 110), (246, 160, 110))
    draw = ImageDraw.Draw(picture)
    width, height = size
    ridges: tuple[tuple[Colour, tuple[tuple[float, float], ...]], ...] = (
        ((92, 80, 120), ((0, 0.55), (0.2, 0.25), (0.38, 0.5), (0.62, 0.18), (0.85, 0.5), (1, 0.36))),
        ((54, 48, 78), ((0, 0.66), (0.15, 0.5), (0.45, 0.64), (0.7, 0.46), (1, 0.62))),
    )
    for colour, ridge in ridges:
        points = [(width * x, height * y) for x, y in ridge]
        draw.polygon([*points, (width, height), (0, height)], fill=colour)
    draw.rectangle((0, height * 0.74, width, height), fill=(70, 88, 130))
    draw.rectangle((width * 0.3, height * 0.8, width * 0.7, height * 0.82), fill=(236, 170, 130))
    return picture


def fruit(size: tuple[int, int]) -> Image.Image:
    """A blue bowl with three fruits on a table."""
    picture = Image.new("RGB", size, (232, 222, 204))
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.rectangle((0, height * 0.66, width, height), fill=(150, 104, 66))
    fruits: tuple[tuple[float, float, Colour], ...] = (
        (0.36, 0.4, (206, 52, 44)),
        (0.5, 0.34, (240, 160, 40)),
        (0.63, 0.41, (120, 170, 60)),
    )
    radius = width * 0.09
    for x, y, colour in fruits:
        centre = (width * x, height * y)
        box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
        draw.ellipse(box, fill=colour)
    draw.pieslice((width * 0.24, height * 0.14, width * 0.76, height * 0.8), 0, 180, fill=(62, 96, 160))
    return picture


def portrait(size: tuple[int, int]) -> Image.Image:
    """A face with dark hair and a yellow coat."""
    picture = _sky(size, (186, 200, 196), (140, 158, 160))
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.ellipse((width * 0.24, height * 0.12, width * 0.76, height * 0.66), fill=(46, 34, 32))
    draw.polygon(
        ((width * 0.05, height), (width * 0.3, height * 0.68), (width * 0.7, height * 0.68), (width * 0.95, height)),
        fill=(236, 196, 56),
    )
    draw.rectangle((width * 0.42, height * 0.56, width * 0.58, height * 0.74), fill=(206, 158, 128))
    draw.ellipse((width * 0.31, height * 0.2, width * 0.69, height * 0.64), fill=(226, 180, 150))
    for x in (0.42, 0.58):
        draw.ellipse((width * (x - 0.03), height * 0.39, width * (x + 0.03), height * 0.42), fill=(50, 40, 40))
    draw.arc((width * 0.42, height * 0.46, width * 0.58, height * 0.54), 20, 160, fill=(150, 70, 70), width=width // 60)
    return picture


PICTURES: dict[str, tuple[Callable[[tuple[int, int]], Image.Image], tuple[int, int]]] = {
    "house": (house, (512, 384)),
    "mountains": (mountains, (512, 384)),
    "fruit": (fruit, (448, 448)),
    "portrait": (portrait, (384, 512)),
}
"""File name → what draws it and its size in pixels."""


def drawn(name: str) -> Image.Image:
    """One picture, smoothed by drawing it larger."""
    paint, (width, height) = PICTURES[name]
    large = paint((width * OVERSAMPLING, height * OVERSAMPLING))
    return large.resize((width, height), Image.Resampling.BOX)


def main(folder: Path) -> None:
    """Write every picture as a PNG."""
    for name in PICTURES:
        drawn(name).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
