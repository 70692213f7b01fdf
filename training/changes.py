"""Captions and scenes that differ from another in one thing said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kreabench.drawn.captions import Claims
from kreabench.drawn.scene import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES, TEXTURES, Item, Scene, redrawn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator

CHANGES = ("colour", "shape", "exchange", "size", "place", "relation", "background", "texture")
"""`exchange`: the colours of two shapes change places."""
_WORDS: dict[str, tuple[str, ...]] = {
    "size": tuple(SIZES),
    "place": tuple(PLACES),
    "relation": tuple(RELATIONS),
    "background": tuple(BACKGROUNDS),
    "texture": TEXTURES,
}


def changeable(claims: Claims) -> list[str]:
    """The `CHANGES` that can be made to what a caption says."""
    said = [name for name in _WORDS if getattr(claims, name) is not None]
    return ["colour", "shape", *(["exchange"] if len(claims.items) > 1 else []), *said]


def changed(claims: Claims, what: str, rng: Generator) -> Claims:
    """The same but for one thing said, which becomes another word of its kind."""
    if what in _WORDS:
        word: dict[str, Any] = {what: _other(_WORDS[what], {getattr(claims, what)}, rng)}
        return replace(claims, **word)
    items = list(claims.items)
    if what == "exchange":
        (first, first_shape), (second, second_shape) = items
        return replace(claims, items=((second, first_shape), (first, second_shape)))
    index = int(rng.integers(len(items)))
    colour, shape = items[index]
    if what == "colour":
        colour = _other(COLOURS, {one for one, _ in items}, rng)  # two shapes never have one colour
    else:
        shape = _other(SHAPES, {shape}, rng)
    items[index] = (colour, shape)
    return replace(claims, items=tuple(items))


def any_change(claims: Claims, rng: Generator) -> Claims:
    """One of the possible changes, all equally likely."""
    possible = changeable(claims)
    return changed(claims, possible[int(rng.integers(len(possible)))], rng)


def scene_of(claims: Claims, like: Scene, rng: Generator) -> Scene:
    """A scene that `claims`, which say all there is to say, name; `like` has as many shapes."""
    items = tuple(
        Item(colour=colour, shape=shape, x=item.x, y=item.y, radius=item.radius)
        for (colour, shape), item in zip(claims.items, like.items, strict=True)
    )
    ground = replace(like.ground, colour=claims.background or like.ground.colour, texture=claims.texture or "plain")
    named = Scene(items=items, ground=ground, size=claims.size, place=claims.place, relation=claims.relation)
    return redrawn(named, rng)


def _other(words: Iterable[str], than: set[str], rng: Generator) -> str:
    left = [word for word in words if word not in than]
    return left[int(rng.integers(len(left)))]


def codes(claims: Claims) -> list[int]:
    """What is said as numbers, the same for every order in which two shapes can be named; -1 for what is not said.

    Colour, shape, second colour, second shape, size, layout, background, texture; `SIZES_OF_CODES` has their ranges.
    """
    items = list(claims.items)
    if claims.relation in {"right", "below"}:
        items.reverse()
    if claims.relation is None:
        layout = _index(tuple(PLACES), claims.place)
        second, size = [len(COLOURS), len(SHAPES)], _index(tuple(SIZES), claims.size)
    else:
        layout = len(PLACES) + (claims.relation in {"above", "below"})
        second, size = [list(COLOURS).index(items[1][0]), SHAPES.index(items[1][1])], len(SIZES)
    first = [list(COLOURS).index(items[0][0]), SHAPES.index(items[0][1])]
    ground = [_index(tuple(BACKGROUNDS), claims.background), _index(TEXTURES, claims.texture)]
    return [*first, *second, size, layout, *ground]


SIZES_OF_CODES = (
    len(COLOURS),
    len(SHAPES),
    len(COLOURS) + 1,
    len(SHAPES) + 1,
    len(SIZES) + 1,
    len(PLACES) + 2,
    len(BACKGROUNDS),
    len(TEXTURES),
)


def _index(words: tuple[str, ...], word: str | None) -> int:
    return -1 if word is None else words.index(word)
