"""The miniature's input pictures: what their script draws, what they show, and what is made of their answers."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from kreabench.config.compose import conf_dir
from kreabench.config.model import PromptsConfig
from kreabench.config.prompts import load_prompt_set
from kreabench.drawn.captions import parse
from kreabench.drawn.checking import check
from kreabench.drawn.reading import read
from kreabench.drawn.render import SIDE_PX
from tests.support import ROOT

FOLDER = conf_dir() / "prompts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import draw_miniature_pictures

    return draw_miniature_pictures


def test_the_files_are_what_the_script_makes(script: ModuleType) -> None:
    assert (FOLDER / "miniature_images.jsonl").read_text(encoding="utf-8") == script.lines()
    assert {file.stem for file in (FOLDER / "miniature_images").iterdir()} == {row.id for row in script.ROWS}
    for row in script.ROWS:
        with Image.open(FOLDER / "miniature_images" / f"{row.id}.png") as stored:
            assert stored.size == (SIDE_PX, SIDE_PX)
            difference = np.asarray(stored, dtype=int) - np.asarray(script.drawn(row), dtype=int)
            assert np.abs(difference).max() <= 1  # a mathematics library may round otherwise


def test_each_picture_shows_its_caption_and_a_changed_prompt_one_thing_more(script: ModuleType) -> None:
    for row in script.ROWS:
        reading = read(np.asarray(script.drawn(row)))
        assert all(check(script.claims_of(row.shows), reading).values()), row.id
        wrong = [name for name, right in check(script.claims_of(row.prompt), reading).items() if not right]
        assert len(wrong) == (1 if row.category == "changed" else 0), row.id


def test_the_set_loads_with_as_many_prompts_of_both_kinds() -> None:
    chosen = load_prompt_set(PromptsConfig.model_validate({"file": "miniature_images.jsonl"}), [FOLDER]).prompts
    assert [prompt.category for prompt in chosen] == ["changed"] * 12 + ["kept"] * 12
    assert all(len(prompt.images) == 1 and parse(prompt.text) is not None for prompt in chosen)


def test_what_changed_and_what_stayed_are_told_apart(script: ModuleType) -> None:
    import miniature_images

    rows = script.ROWS[:12]
    asked = {row.prompt: script.drawn(script.Row(id=row.id, shows=row.shows, prompt=row.prompt)) for row in rows}

    def ignoring(prompt: str, picture: Image.Image, seed: int) -> Image.Image:
        return asked[prompt]

    changed, left = miniature_images.change(rows, 1, ignoring)
    assert (changed.mean, left.mean) == (0.0, 1.0)
    black = Image.new("RGB", (SIDE_PX, SIDE_PX))
    changed, left = miniature_images.change(rows, 1, lambda prompt, picture, seed: black)
    assert changed.mean < 0.2
    assert left.mean < 0.4


def test_a_variation_that_is_the_picture_shows_all_of_it_and_another_does_not(script: ModuleType) -> None:
    import miniature_images

    assert miniature_images.vary(20, lambda prompt, picture, seed: picture)["all at once"].mean == 1.0
    one = script.drawn(script.ROWS[0])
    assert miniature_images.vary(20, lambda prompt, picture, seed: one)["in all"].mean < 0.6


def test_an_interval_holds_the_mean_and_narrows_with_pictures(script: ModuleType) -> None:
    import miniature_images

    few, many = miniature_images.share([0.0, 1.0] * 4), miniature_images.share([0.0, 1.0] * 100)
    assert few.low < many.low < many.mean == 0.5 < many.high < few.high
