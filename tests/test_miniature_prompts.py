"""Captions for the miniature: what the script writes, in the grammar, and balanced over its words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kreabench.config.compose import conf_dir
from kreabench.config.model import PromptsConfig
from kreabench.config.prompts import load_prompt_set
from kreabench.core.specs import Prompt
from kreabench.drawn.captions import Claims, caption, parse
from kreabench.drawn.scene import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES, TEXTURES

FOLDER = conf_dir() / "prompts"


def prompts_of(name: str) -> tuple[Prompt, ...]:
    return load_prompt_set(PromptsConfig.model_validate({"file": name}), [FOLDER]).prompts


def claims_of(prompts: tuple[Prompt, ...]) -> list[Claims]:
    found = [parse(prompt.text) for prompt in prompts]
    assert None not in found
    return [claims for claims in found if claims is not None]


@pytest.fixture(scope="module")
def full() -> tuple[Prompt, ...]:
    return prompts_of("miniature.jsonl")


@pytest.mark.parametrize("name", ["miniature.jsonl", "miniature_free.jsonl"])
def test_the_script_writes_the_committed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import write_miniature_prompts

    write_miniature_prompts.write(tmp_path)
    assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", ["miniature.jsonl", "miniature_free.jsonl"])
def test_each_caption_is_the_grammars_own_sentence(name: str) -> None:
    prompts = prompts_of(name)
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    assert [caption(claims) for claims in claims_of(prompts)] == [prompt.text for prompt in prompts]


def test_a_full_caption_says_all_that_can_be_said(full: tuple[Prompt, ...]) -> None:
    for claims in claims_of(full):
        single = len(claims.items) == 1
        assert (claims.size is None, claims.place is None, claims.relation is None) == (not single, not single, single)
        assert claims.background is not None
        assert claims.texture is not None


def test_the_free_ones_leave_something_out() -> None:
    prompts = prompts_of("miniature_free.jsonl")
    assert {prompt.category for prompt in prompts} == {"free"}
    for claims in claims_of(prompts):
        of_one = () if claims.relation else (claims.size, claims.place)
        assert None in (*of_one, claims.background, claims.texture)


@pytest.mark.parametrize("first", [20, 60])
def test_every_word_comes_as_often_as_its_like(full: tuple[Prompt, ...], first: int) -> None:
    claims = claims_of(full[:first])
    assert len(claims) == first
    counted = (
        (COLOURS, [colour for one in claims for colour, _ in one.items]),
        (SHAPES, [shape for one in claims for _, shape in one.items]),
        (SIZES, [one.size for one in claims if one.size]),
        (PLACES, [one.place for one in claims if one.place]),
        (RELATIONS, [one.relation for one in claims if one.relation]),
        (BACKGROUNDS, [one.background for one in claims]),
        (TEXTURES, [one.texture for one in claims]),
        ((1, 2), [len(one.items) for one in claims]),
    )
    for words, found in counted:
        counts = [Counter(found)[word] for word in words]
        assert max(counts) - min(counts) <= 2, (words, counts)


def test_all_colours_come_in_all_shapes(full: tuple[Prompt, ...]) -> None:
    singles = {one.items[0] for one in claims_of(full) if len(one.items) == 1}
    assert singles == {(colour, shape) for colour in COLOURS for shape in SHAPES}
