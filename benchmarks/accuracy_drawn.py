"""Check of the accuracy of drawn pictures; see `metrics_accuracy.py`."""

from __future__ import annotations

import numpy as np
from PIL import Image
from tests.metric_references.drawn import words_right

from accuracy_check import Check, item, opened, scores
from kreabench.drawn.captions import caption, claims_of, some_of
from kreabench.drawn.render import render
from kreabench.drawn.scene import random_scene, redrawn

SCENES = 60
SIDES_PX = (48, 96, 131)


def drawn_accuracy() -> Check:
    """Against the scene's own words: each picture with its caption, and with that of the next with as many shapes."""
    rng = np.random.default_rng(2)
    scenes = [random_scene(rng) for _ in range(SCENES)]
    items, theirs = [], []
    for number, scene in enumerate(scenes):
        drawn = redrawn(scene, rng)
        picture = Image.fromarray(render(drawn, side_px=SIDES_PX[number % len(SIDES_PX)]))
        others = (other for other in scenes[number + 1 :] + scenes if len(other.items) == len(scene.items))
        for asked in (scene, next(others)):
            claims = some_of(claims_of(asked), rng)
            items.append(item(picture, prompt=caption(claims)))
            theirs.append(float(np.mean(list(words_right(claims, drawn).values()))))
    values = tuple(zip(scores(opened("drawn_accuracy"), items), theirs, strict=True))
    return Check(metric="drawn_accuracy", against="the words of the scene that was drawn", values=values)
