"""Captions to judge the miniature by: every word of the grammar about as often as the others of its kind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kreabench.drawn.captions import Claims, caption, claims_of
from kreabench.drawn.scene import random_scene

SEED = 20_000
"""Of the captions; training draws its own from others."""
CANDIDATES = 24
"""Scenes of which the one with the rarest words is taken."""
ONE, TWO = "one shape", "two shapes"
"""The categories."""


def balanced_captions(count: int, seed: int = SEED) -> list[Claims]:
    """So many different full captions, of one shape and of two in turn; fewer are the beginning of more."""
    rng = np.random.default_rng(seed)
    seen: Counter[str] = Counter()
    chosen: dict[str, Claims] = {}
    while len(chosen) < count:
        pairs = len(chosen) % 2 == 1
        drawn = (claims_of(random_scene(rng)) for _ in range(CANDIDATES))
        fitting = [one for one in drawn if (one.relation is not None) == pairs and caption(one) not in chosen]
        if fitting:
            best = min(fitting, key=lambda one: sum(seen[word] for word in _words(one)))
            seen.update(_words(best))
            chosen[caption(best)] = best
    return list(chosen.values())


def _words(claims: Claims) -> list[str]:
    """Each named with its kind: a black background is another word than a black shape would be."""
    words = [
        f"{place} {kind} {word}"
        for place, item in enumerate(claims.items)
        for kind, word in zip("cs", item, strict=True)
    ]
    named = {"size": claims.size, "place": claims.place, "relation": claims.relation}
    words += [f"{kind} {word}" for kind, word in named.items() if word is not None]
    return [*words, f"background {claims.background}", f"texture {claims.texture}"]


def write_prompts(file: Path, claims: Sequence[Claims], first: int = 1) -> Path:
    """A prompt set; `first` is the number of its first caption."""
    rows = [
        {
            "id": f"caption-{number:04}",
            "category": ONE if one.relation is None else TWO,
            "prompt": caption(one),
        }
        for number, one in enumerate(claims, start=first)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file
