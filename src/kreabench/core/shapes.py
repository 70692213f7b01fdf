"""A small world of drawn shapes and its grammar: scenes, captions, and captions read back.

A scene is one or two coloured shapes on a plain background. Its caption names everything that can be checked, in one
fixed form, so that a caption is a scene and a scene a caption:

    a SIZE COLOUR SHAPE PLACE, BACKGROUND background
    a SIZE COLOUR SHAPE RELATION a SIZE COLOUR SHAPE, BACKGROUND background

e.g. `a large red circle at the top, white background`. What a caption does not name (where exactly, how large to the
pixel) is free to whoever draws it. Standard library only.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "yellow", "green", "blue", "purple")
BACKGROUNDS = ("white", "grey", "black", "brown")
"""None of them a colour of shapes."""
SIZES = {"small": (0.15, 0.30), "large": (0.36, 0.46)}
"""Size → smallest and largest width of the shape, as a share of the picture's width; two large ones fit beside each
other."""
PLACES = {
    "in the top left corner": (-1, -1),
    "at the top": (0, -1),
    "in the top right corner": (1, -1),
    "on the left": (-1, 0),
    "in the centre": (0, 0),
    "on the right": (1, 0),
    "in the bottom left corner": (-1, 1),
    "at the bottom": (0, 1),
    "in the bottom right corner": (1, 1),
}
"""Place of one shape → the third of the picture that its centre lies in: column and row, -1 to 1 from the top left."""
RELATIONS = {"to the left of": (-1, 0), "to the right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Relation of two shapes → the direction from the second to the first, right and down being positive."""

CATEGORIES = ("one shape", "two shapes side by side", "two shapes one above the other")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """One drawn shape. Raises ValueError for what the grammar has no word for."""

    size: str
    colour: str
    shape: str

    def __post_init__(self) -> None:
        for name, value, accepted in (
            ("size", self.size, tuple(SIZES)),
            ("colour", self.colour, COLOURS),
            ("shape", self.shape, SHAPES),
        ):
            if value not in accepted:
                raise ValueError(f"{name} is {value!r} and must be one of {', '.join(accepted)}")

    @property
    def text(self) -> str:
        """In a caption, after its article."""
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is drawn: one shape at a place, or two in a relation. Raises ValueError for anything else."""

    background: str
    shapes: tuple[Shape, ...]
    where: str
    """A key of PLACES for one shape; of RELATIONS for two, of the first to the second."""

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise ValueError(f"background is {self.background!r} and must be one of {', '.join(BACKGROUNDS)}")
        if len(self.shapes) not in {1, 2}:
            raise ValueError(f"a scene has one shape or two, not {len(self.shapes)}")
        accepted = PLACES if len(self.shapes) == 1 else RELATIONS
        if self.where not in accepted:
            raise ValueError(f"where is {self.where!r} and must be one of {', '.join(accepted)}")
        if len({shape.colour for shape in self.shapes}) < len(self.shapes):
            raise ValueError("two shapes of one scene must differ in colour, by which they are told apart")

    @property
    def text(self) -> str:
        """The caption."""
        first, *second = (shape.text for shape in self.shapes)
        other = f" a {second[0]}" if second else ""
        return f"a {first} {self.where}{other}, {self.background} background"

    @property
    def id(self) -> str:
        """Made of what the scene is, so the same in every sample."""
        where = re.sub(r"\b(in|at|on|to|the|of|corner)\b", " ", self.where).split()
        first, *second = (shape.text.replace(" ", "-") for shape in self.shapes)
        return "-".join([first, *where, *second, "on", self.background])

    @property
    def category(self) -> str:
        """One of CATEGORIES."""
        if len(self.shapes) == 1:
            return CATEGORIES[0]
        return CATEGORIES[1] if RELATIONS[self.where][0] else CATEGORIES[2]

    @property
    def look_for(self) -> str:
        """What a person should check."""
        count = "one shape" if len(self.shapes) == 1 else "two shapes"
        return f"{count} and nothing else; shape, colour, size and place of each; a plain {self.background} background"

    @property
    def questions(self) -> tuple[str, ...]:
        """Each attribute once, so that a count of yeses is a share of attributes that are right."""
        first = self.shapes[0]
        if len(self.shapes) == 1:
            return (
                "Is there exactly one shape in the picture?",
                f"Is the shape a {first.shape}?",
                f"Is the shape {first.colour}?",
                f"Is the shape {_size_in_words(first)}?",
                f"Is the shape {self.where} of the picture?",
                f"Is the background plain {self.background}?",
            )
        second = self.shapes[1]
        return (
            "Are there exactly two shapes in the picture?",
            f"Is there a {first.colour} {first.shape}?",
            f"Is there a {second.colour} {second.shape}?",
            f"Is the {first.colour} shape {_size_in_words(first)}?",
            f"Is the {second.colour} shape {_size_in_words(second)}?",
            f"Is the {first.colour} shape {self.where} the {second.colour} shape?",
            f"Is the background plain {self.background}?",
        )


def _size_in_words(shape: Shape) -> str:
    limit = "less than a third" if shape.size == "small" else "more than a third"
    return f"{shape.size}, {limit} of the picture wide"


_SHAPE = rf"an? ({'|'.join(SIZES)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
_END = rf", ({'|'.join(BACKGROUNDS)}) background"
_ONE = re.compile(rf"{_SHAPE} ({'|'.join(PLACES)}){_END}")
_TWO = re.compile(rf"{_SHAPE} ({'|'.join(RELATIONS)}) {_SHAPE}{_END}")


def parse_caption(text: str) -> Scene | None:
    """The scene that a caption names; None outside the grammar. Case, spaces and a full stop do not matter."""
    plain = " ".join(text.lower().split()).removesuffix(".")
    if (one := _ONE.fullmatch(plain)) is not None:
        size, colour, shape, where, background = one.groups()
        return Scene(background=background, shapes=(Shape(size=size, colour=colour, shape=shape),), where=where)
    if (two := _TWO.fullmatch(plain)) is None:
        return None
    size, colour, shape, where, other_size, other_colour, other_shape, background = two.groups()
    if colour == other_colour:
        return None
    first = Shape(size=size, colour=colour, shape=shape)
    second = Shape(size=other_size, colour=other_colour, shape=other_shape)
    return Scene(background=background, shapes=(first, second), where=where)


def all_scenes() -> Iterator[Scene]:
    """Every scene of the world, each once, in a fixed order."""
    shapes = [
        Shape(size=size, colour=colour, shape=shape)
        for size, colour, shape in itertools.product(SIZES, COLOURS, SHAPES)
    ]
    for background, shape, place in itertools.product(BACKGROUNDS, shapes, PLACES):
        yield Scene(background=background, shapes=(shape,), where=place)
    for background, (first, second), relation in itertools.product(
        BACKGROUNDS, itertools.permutations(shapes, 2), RELATIONS
    ):
        if first.colour != second.colour:
            yield Scene(background=background, shapes=(first, second), where=relation)


_SHAPE_KINDS = len(SIZES) * len(COLOURS) * len(SHAPES)
_OTHER_COLOURS = len(SIZES) * (len(COLOURS) - 1) * len(SHAPES)
WORLD_SIZE = len(BACKGROUNDS) * _SHAPE_KINDS * (len(PLACES) + len(RELATIONS) * _OTHER_COLOURS)
"""How many scenes there are."""


def sample_scenes(count: int, seed: int) -> tuple[Scene, ...]:
    """The first `count` scenes of a shuffle that takes the categories in turn.

    By hashes, not by a generator: the same on every version of Python, and a smaller sample begins a larger one.
    Raises ValueError for more scenes than there are.
    """
    if not 0 <= count <= WORLD_SIZE:
        raise ValueError(f"count is {count} and must be from 0 to {WORLD_SIZE}")
    ranked: dict[str, list[tuple[bytes, Scene]]] = {category: [] for category in CATEGORIES}
    for id_, scene in _world():
        ranked[scene.category].append((hashlib.sha256(f"{seed}\0{id_}".encode()).digest(), scene))
    turns = [[scene for _, scene in sorted(scenes, key=lambda item: item[0])] for scenes in ranked.values()]
    mixed = (scene for turn in itertools.zip_longest(*turns) for scene in turn if scene is not None)
    return tuple(itertools.islice(mixed, count))


@cache
def _world() -> tuple[tuple[str, Scene], ...]:
    return tuple((scene.id, scene) for scene in all_scenes())
