"""The metric of drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kreabench.drawn.captions import caption, claims_of
from kreabench.drawn.render import render
from kreabench.drawn.scene import Ground, Item, Scene
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.drawn_accuracy import DrawnAccuracy
from tests.metric_support import shared

SCENE = Scene(
    items=(Item(shape="triangle", colour="orange", x=0.29, y=0.5, radius=0.15),),
    ground=Ground(colour="black", texture="dotted"),
    size="small",
    place="left",
)
PICTURE = Image.fromarray(render(SCENE))
CAPTION = caption(claims_of(SCENE))


def score(prompt: str, image: Image.Image = PICTURE) -> Score:
    metric = DrawnAccuracy()
    metric.open(shared())
    return metric.score([ScoreItem(image=image, prompt=prompt, reference=None)])[0]


def test_the_own_caption_is_all_right_and_says_so_word_by_word() -> None:
    found = score(CAPTION)

    names = ("count", "colour", "shape", "size", "place", "background", "texture", "all_right")
    assert (found.status, found.value) == ("ok", 1.0)
    assert found.details == dict.fromkeys(names, 1.0)


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (CAPTION.replace("orange", "red"), {"colour"}),
        (CAPTION.replace("triangle", "cross").replace("small", "large"), {"shape", "size"}),
        (CAPTION.replace("dotted black", "plain pink"), {"background", "texture"}),
    ],
)
def test_each_wrong_word_costs_its_share(asked: str, wrong: set[str]) -> None:
    found = score(asked)

    assert found.value == pytest.approx(1 - len(wrong) / 7)
    assert {name for name, value in found.details.items() if not value} == {*wrong, "all_right"}


@pytest.mark.parametrize("prompt", ["", "a portrait of a woman", "a red red circle", f"{CAPTION} and a dog"])
def test_a_prompt_outside_the_grammar_is_not_applicable(prompt: str) -> None:
    found = score(prompt)

    assert (found.status, found.value, found.details) == ("not_applicable", None, {})
    assert "caption" in found.reason


def test_case_spaces_and_a_full_stop_do_not_matter() -> None:
    assert score(f"  {CAPTION.upper()}. ").value == 1.0


def test_black_and_noise_have_a_low_score_and_no_picture_none() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 48, 3), dtype=np.uint8)

    assert score(CAPTION, Image.fromarray(noise)).value == 0.0
    assert score(CAPTION, Image.new("RGB", (48, 48))).details["shape"] == 0.0
    assert score(CAPTION, Image.new("RGB", (0, 0))).status == "not_applicable"


@pytest.mark.parametrize("size", [(64, 48), (40, 40)])
def test_what_the_checker_would_misread_is_not_applicable(size: tuple[int, int]) -> None:
    found = score(CAPTION, Image.fromarray(render(SCENE)).resize(size))

    assert (found.status, found.value) == ("not_applicable", None)
    assert f"{size[0]}x{size[1]}" in found.reason


def test_a_picture_of_another_mode_fails_alone() -> None:
    assert score(CAPTION, PICTURE.convert("L")).reason == "ValueError: expected an RGB picture, found L"
