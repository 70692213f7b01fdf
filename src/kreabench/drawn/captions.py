"""The small grammar of captions: writes what a scene holds, and reads what a caption asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kreabench.drawn.scene import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES, TEXTURES, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.random import Generator

PLACE_WORDS = {
    "centre": "in the centre",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}
RELATION_WORDS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a caption says of a picture; None where it says nothing."""

    items: tuple[tuple[str, str], ...]
    """Colour and shape of each."""
    size: str | None = None
    place: str | None = None
    relation: str | None = None
    background: str | None = None
    texture: str | None = None


def claims_of(scene: Scene) -> Claims:
    """All that a caption can say of `scene`."""
    return Claims(
        items=tuple((item.colour, item.shape) for item in scene.items),
        size=scene.size,
        place=scene.place,
        relation=scene.relation,
        background=scene.ground.colour,
        texture=scene.ground.texture,
    )


def some_of(claims: Claims, rng: Generator) -> Claims:
    """Less is said of the background, the size and the place, each with a chance of a sixth."""
    keep = rng.random(4) > 1 / 6
    return Claims(
        items=claims.items,
        size=claims.size if keep[0] else None,
        place=claims.place if keep[1] else None,
        relation=claims.relation,
        background=claims.background if keep[2] else None,
        texture=claims.texture if keep[2] and keep[3] else None,
    )


def caption(claims: Claims) -> str:
    """The sentence that says exactly this. Its background is named wherever its texture is."""
    nouns = [f"{colour} {shape}" for colour, shape in claims.items]
    if claims.relation is not None:
        text = f"{_article(nouns[0])} {RELATION_WORDS[claims.relation]} {_article(nouns[1])}"
    else:
        text = _article(f"{claims.size} {nouns[0]}" if claims.size else nouns[0])
        if claims.place:
            text += f" {PLACE_WORDS[claims.place]}"
    if claims.background:
        ground = f"{claims.texture} {claims.background}" if claims.texture else claims.background
        text += f" on {_article(ground)} background"
    return text


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _any(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


_COLOUR, _SHAPE = _any(COLOURS), _any(SHAPES)
_GRAMMAR = re.compile(
    rf"an? (?:(?P<size>{_any(SIZES)}) )?(?P<colour>{_COLOUR}) (?P<shape>{_SHAPE})"
    rf"(?: (?P<place>{_any(PLACE_WORDS.values())})"
    rf"| (?P<relation>{_any(RELATION_WORDS.values())}) an? (?P<colour2>{_COLOUR}) (?P<shape2>{_SHAPE}))?"
    rf"(?: on an? (?:(?P<texture>{_any(TEXTURES)}) )?(?P<background>{_any(BACKGROUNDS)}) background)?\.?"
)
_PLACE_OF = {words: place for place, words in PLACE_WORDS.items()}
_RELATION_OF = {words: relation for relation, words in RELATION_WORDS.items()}


def parse(text: str) -> Claims | None:
    """What the caption `text` asks for; None where it is no sentence of this grammar.

    Case, spaces and a full stop at the end do not matter.
    """
    found = _GRAMMAR.fullmatch(" ".join(text.lower().split()))
    if found is None or (found["relation"] and (found["size"] or found["colour"] == found["colour2"])):
        return None
    first = (found["colour"], found["shape"])
    return Claims(
        items=(first, (found["colour2"], found["shape2"])) if found["relation"] else (first,),
        size=found["size"],
        place=_PLACE_OF.get(found["place"] or ""),
        relation=_RELATION_OF.get(found["relation"] or ""),
        background=found["background"],
        texture=found["texture"],
    )


WORDS = tuple(
    dict.fromkeys(
        word
        for phrase in (
            *("a", "an", "on", "background"),
            *SIZES,
            *COLOURS,
            *SHAPES,
            *PLACE_WORDS.values(),
            *RELATION_WORDS.values(),
            *TEXTURES,
            *BACKGROUNDS,
        )
        for word in phrase.split()
    )
)
"""Every word of the grammar, once."""
assert set(PLACE_WORDS) == set(PLACES) and set(RELATION_WORDS) == set(RELATIONS)  # noqa: S101, PT018
