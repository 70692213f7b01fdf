"""What the small CLIP is trained on: captions that differ in one thing, and pictures worse by known amounts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.changes import CHANGES, changeable, changed, codes, scene_of
from training.data import pictures, scenes
from training.degrade import KINDS, degraded

from kreabench.drawn.captions import caption, claims_of, parse
from kreabench.drawn.scene import random_scene


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_one_that_the_grammar_can_say_and_a_scene_can_hold(what: str) -> None:
    rng = np.random.default_rng(5)
    drawn = [scene for scene in (random_scene(rng) for _ in range(60)) if what in changeable(claims_of(scene))]
    for scene in drawn:
        claims = claims_of(scene)
        other = changed(claims, what, rng)

        assert parse(caption(other)) == other
        assert claims_of(scene_of(other, scene, rng)) == other
        differing = sum(one != two for one, two in zip(codes(claims), codes(other), strict=True))
        assert differing == 2 if what == "exchange" else differing >= 1
    assert len(drawn) > 10


def test_two_captions_of_one_picture_have_the_same_codes() -> None:
    first, second = parse("a red circle above a blue ring"), parse("a blue ring below a red circle")
    assert first is not None
    assert second is not None
    assert codes(first) == codes(second)
    assert codes(first)[-2:] == [-1, -1]  # of the background nothing is said


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_level_is_farther_from_the_clean_picture(kind: str) -> None:
    clean = pictures(scenes(6, 32)).float() / 255
    distances = []
    for level in (0.0, 0.3, 0.6, 1.0):
        spoiled = degraded(clean, kind, torch.full((32,), level), torch.Generator().manual_seed(0))
        assert spoiled.min() >= 0
        assert spoiled.max() <= 1
        distances.append(float((spoiled - clean).square().mean()))

    assert distances[0] < 1e-9
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0] + 1e-3
