"""The grammar of drawn shapes: a caption is a scene and a scene a caption, and samples never change by themselves."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.config.model import PromptsConfig
from kreabench.config.prompts import load_prompt_set
from kreabench.core.shapes import (
    BACKGROUNDS,
    CATEGORIES,
    COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    WORLD_SIZE,
    Scene,
    Shape,
    all_scenes,
    parse_caption,
    sample_scenes,
)

shapes = st.builds(
    Shape, size=st.sampled_from(sorted(SIZES)), colour=st.sampled_from(COLOURS), shape=st.sampled_from(SHAPES)
)
single = st.builds(
    Scene,
    background=st.sampled_from(BACKGROUNDS),
    shapes=st.tuples(shapes),
    where=st.sampled_from(sorted(PLACES)),
)
double = st.builds(
    Scene,
    background=st.sampled_from(BACKGROUNDS),
    shapes=st.tuples(shapes, shapes).filter(lambda pair: pair[0].colour != pair[1].colour),
    where=st.sampled_from(sorted(RELATIONS)),
)


@given(scene=single | double)
@settings(max_examples=200, deadline=None)
def test_a_caption_reads_back_as_its_scene(scene: Scene) -> None:
    assert parse_caption(scene.text) == scene
    assert parse_caption(f"  {scene.text.upper()}. ") == scene


WORDS = sorted({word for scene in itertools.islice(all_scenes(), 0, None, 50) for word in scene.text.split()})


@given(scene=single | double, place=st.integers(0, 30), word=st.sampled_from([*WORDS, "", "pink", "\n", "["]))
@settings(max_examples=200, deadline=None)
def test_a_changed_caption_is_what_it_says_or_outside_the_grammar(scene: Scene, place: int, word: str) -> None:
    said = scene.text.split()
    said[place % len(said)] = word
    read = parse_caption(" ".join(said))
    assert read is None or read.text == " ".join(" ".join(said).split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a large red circle",
        "a large red circle at the top",
        "a huge red circle at the top, white background",
        "a large pink circle at the top, white background",
        "a large red circle at the top, red background",
        "a large red circle above, white background",
        "a large red circle above a small red square, white background",
        "a large red circle at the top, white background, and a cat",
        "not a large red circle at the top, white background",
        "a large red circle above a small blue square above a small green cross, white background",
    ],
)
def test_outside_the_grammar_is_none(text: str) -> None:
    assert parse_caption(text) is None


def test_every_scene_has_its_own_caption_and_id() -> None:
    scenes = list(all_scenes())
    assert len(scenes) == WORLD_SIZE
    assert len({scene.text for scene in scenes}) == len({scene.id for scene in scenes}) == WORLD_SIZE


def test_questions_name_each_attribute_of_each_shape() -> None:
    scene = parse_caption("a small red circle above a large blue square, grey background")
    assert scene is not None
    said = " ".join(scene.questions)
    for word in ("two shapes", "red circle", "blue square", "small", "large", "above", "grey"):
        assert word in said
    assert scene.category == "two shapes one above the other"


def test_no_two_scenes_of_a_sample_have_the_same_answers() -> None:
    """The questions tell scenes apart: whoever answers all by yes has drawn this scene and no other."""
    scenes = list(itertools.islice(all_scenes(), 0, None, 7))
    assert len({scene.questions for scene in scenes}) == len(scenes)


def test_a_sample_is_the_same_on_every_machine() -> None:
    assert [scene.id for scene in sample_scenes(3, seed=0)] == [
        "large-yellow-square-bottom-on-brown",
        "large-purple-square-left-small-red-cross-on-brown",
        "small-green-cross-above-small-purple-cross-on-grey",
    ]


def test_a_smaller_sample_begins_a_larger_one_and_takes_categories_in_turn() -> None:
    scenes = sample_scenes(60, seed=3)
    assert sample_scenes(10, seed=3) == scenes[:10]
    assert sample_scenes(60, seed=4) != scenes
    assert Counter(scene.category for scene in scenes) == dict.fromkeys(CATEGORIES, 20)


def test_a_sample_holds_every_word_of_the_grammar() -> None:
    words = " ".join(scene.text for scene in sample_scenes(120, seed=0))
    assert all(word in words for word in (*SHAPES, *COLOURS, *BACKGROUNDS, *SIZES, *PLACES, *RELATIONS))


def test_the_whole_world_can_be_drawn_and_no_more() -> None:
    assert len(set(sample_scenes(WORLD_SIZE, seed=0))) == WORLD_SIZE
    with pytest.raises(ValueError, match=str(WORLD_SIZE)):
        sample_scenes(WORLD_SIZE + 1, seed=0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"background": "red"}, "background"),
        ({"shapes": ()}, "one shape or two"),
        ({"where": "above"}, "where"),
        ({"shapes": (Shape(size="small", colour="red", shape="cross"),) * 2, "where": "above"}, "colour"),
    ],
)
def test_what_the_grammar_cannot_say_is_no_scene(changes: dict[str, object], named: str) -> None:
    good = {
        "background": "white",
        "shapes": (Shape(size="small", colour="red", shape="cross"),),
        "where": "at the top",
    }
    with pytest.raises(ValueError, match=named):
        Scene(**good | changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="colour"):
        Shape(size="small", colour="pink", shape="cross")


def test_prompts_of_the_grammar_read_back() -> None:
    config = PromptsConfig.model_validate({"grammar": {"name": "shapes", "count": 30, "seed": 1}})
    prompts = load_prompt_set(config, []).prompts
    assert len({prompt.id for prompt in prompts}) == 30
    for prompt in prompts:
        scene = parse_caption(prompt.text)
        assert scene is not None
        assert (prompt.id, prompt.category) == (scene.id, scene.category)
        assert prompt.questions == scene.questions
        assert prompt.look_for
