"""Writes conf/prompts/miniature.jsonl and miniature_free.jsonl: captions of the drawn world, every word equally often.

    python benchmarks/write_miniature_prompts.py FOLDER

Words are dealt from shuffled decks, so that the first so many prompts are balanced as well. A test compares the
committed files with what is written here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from kreabench.drawn.captions import PLACE_WORDS, RELATION_WORDS, Claims, caption
from kreabench.drawn.scene import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES, TEXTURES

SEED = 20
COUNT = len(COLOURS) * len(SHAPES)
"""Of each category: each colour with each shape once where there is one shape."""
ONE, TWO, FREE = "one shape", "two shapes", "free"


def full() -> list[dict[str, str]]:
    """Captions that say all that can be said, one shape and two shapes in turn."""
    singles, pairs = list(_singles(COUNT)), list(_pairs(COUNT))
    return [
        _line(claims, category, number)
        for number, both in enumerate(zip(singles, pairs, strict=True), 1)
        for claims, category in zip(both, (ONE, TWO), strict=True)
    ]


def free() -> list[dict[str, str]]:
    """Captions of which words are left out: what they do not say, the model chooses."""
    singles, pairs = list(_singles(6)), list(_pairs(4))
    less = [
        replace(singles[0], size=None),
        replace(singles[1], place=None),
        replace(singles[2], texture=None),
        replace(singles[3], background=None, texture=None),
        replace(singles[4], size=None, place=None),
        replace(singles[5], size=None, place=None, background=None, texture=None),
        replace(pairs[0], texture=None),
        replace(pairs[1], background=None, texture=None),
    ]
    return [_line(claims, FREE, number) for number, claims in enumerate(less, 1)]


def write(folder: Path) -> None:
    """Both files."""
    for name, lines in (("miniature", full()), ("miniature_free", free())):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _singles(count: int) -> Iterator[Claims]:
    rng = np.random.default_rng(SEED)
    colours, shapes = (tuple(rng.permutation(list(words)).tolist()) for words in (COLOURS, SHAPES))
    sizes, places = _deck(SIZES, rng), _deck(PLACES, rng)
    grounds, textures = _deck(BACKGROUNDS, rng), _deck(TEXTURES, rng)
    for number in range(count):
        yield Claims(
            # As many colours as shapes have no common divisor: all combinations come before one comes again.
            items=((colours[number % len(colours)], shapes[number % len(shapes)]),),
            size=next(sizes),
            place=next(places),
            background=next(grounds),
            texture=next(textures),
        )


def _pairs(count: int) -> Iterator[Claims]:
    rng = np.random.default_rng(SEED + 1)
    colours, shapes, relations = _deck(COLOURS, rng), _deck(SHAPES, rng), _deck(RELATIONS, rng)
    grounds, textures = _deck(BACKGROUNDS, rng), _deck(TEXTURES, rng)
    for _ in range(count):
        # Six colours are dealt two by two, so that those of one caption come from one shuffle and differ.
        yield Claims(
            items=((next(colours), next(shapes)), (next(colours), next(shapes))),
            relation=next(relations),
            background=next(grounds),
            texture=next(textures),
        )


def _deck(words: Iterable[str], rng: np.random.Generator) -> Iterator[str]:
    """Each word once in random order, and again in another, without end."""
    cards = list(words)
    while True:
        yield from rng.permutation(cards).tolist()


def _line(claims: Claims, category: str, number: int) -> dict[str, str]:
    names = "-".join(f"{colour}-{shape}" for colour, shape in claims.items)
    return {
        "id": f"{category.split()[0]}-{number:02d}-{names}",
        "category": category,
        "prompt": caption(claims),
        "look_for": _look_for(claims),
    }


def _look_for(claims: Claims) -> str:
    """What to check in the picture, part by part."""
    nouns = [f"a {colour} {shape}" if colour != "orange" else f"an {colour} {shape}" for colour, shape in claims.items]
    said = ["nothing but " + " and ".join(nouns)]
    if claims.relation is not None:
        said.append(f"the first {RELATION_WORDS[claims.relation]} the second")
    if claims.size is not None:
        said.append(claims.size)
    if claims.place is not None:
        said.append(PLACE_WORDS[claims.place])
    if claims.background is not None:
        ground = f"{claims.texture} {claims.background}" if claims.texture else claims.background
        said.append(f"{ground} ground")
    return ", ".join(said)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
