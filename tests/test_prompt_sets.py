"""The prompt sets that ship: whole, distinct, and chosen by category."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from kreabench.cli.listing import KINDS
from kreabench.config.compose import conf_dir
from kreabench.config.model import PromptsConfig
from kreabench.config.prompt_summary import summary_of
from kreabench.config.prompts import load_prompt_set
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError
from kreabench.core.specs import Prompt
from kreabench.plan_build import build_plan

FOLDER = conf_dir() / "prompts"
CATEGORIES = [
    "people and skin",
    "hands",
    "low light",
    "film and flash",
    "interiors",
    "food",
    "landscape",
    "composition and counting",
    "spatial relations",
    "text in pictures",
    "illustration styles",
    "long prompts",
]
SPECIFIC_WORDS = 3
"""A look_for of fewer words would be "good hands"."""


def prompts_of(name: str, **options: object) -> tuple[Prompt, ...]:
    return load_prompt_set(PromptsConfig.model_validate({"file": name, **options}), [FOLDER]).prompts


@pytest.fixture(scope="module")
def krea() -> tuple[Prompt, ...]:
    return prompts_of("krea.jsonl")


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def test_the_set_has_at_least_ten_prompts_in_each_category(krea: tuple[Prompt, ...]) -> None:
    counts = Counter(prompt.category for prompt in krea)
    assert list(counts) == CATEGORIES
    assert min(counts.values()) >= 10
    assert len(krea) >= 120


def test_each_prompt_says_what_to_check_and_what_to_ask(krea: tuple[Prompt, ...]) -> None:
    for prompt in krea:
        assert re.fullmatch(r"[a-z]+-\d\d(-[a-z0-9]+)+", prompt.id), prompt.id
        assert len(words(prompt.look_for or "")) >= SPECIFIC_WORDS, prompt.id
        assert 1 <= len(prompt.questions) <= 3, prompt.id
        for question in prompt.questions:
            assert re.fullmatch(r"(Is|Are|Does|Do) .+\?", question), question


def test_ids_name_their_category_and_number(krea: tuple[Prompt, ...]) -> None:
    for _, group in itertools.groupby(krea, key=lambda prompt: prompt.category):
        ids = [prompt.id.split("-")[:2] for prompt in group]
        assert len({name for name, _ in ids}) == 1
        assert [number for _, number in ids] == [f"{n:02d}" for n in range(1, len(ids) + 1)]


def test_lengths_are_short_but_for_the_long_ones(krea: tuple[Prompt, ...]) -> None:
    """Long ones lie above CLIP's 77 tokens and below T5's 512; a word of English is 1 to 1.6 tokens."""
    for prompt in krea:
        low, high = (80, 250) if prompt.category == "long prompts" else (8, 45)
        assert low <= len(prompt.text.split()) <= high, prompt.id


def test_no_two_prompts_are_alike(krea: tuple[Prompt, ...]) -> None:
    """By shared three-word runs, as two prompts of one template would have."""
    runs = {prompt.id: set(zip(*(words(prompt.text)[i:] for i in range(3)), strict=False)) for prompt in krea}
    for (first, of_first), (second, of_second) in itertools.combinations(runs.items(), 2):
        assert len(of_first & of_second) / min(len(of_first), len(of_second)) < 0.2, (first, second)
    assert len({question for prompt in krea for question in prompt.questions}) > 0.95 * sum(
        len(prompt.questions) for prompt in krea
    )


def test_pictures_with_text_quote_it_in_prompt_and_question(krea: tuple[Prompt, ...]) -> None:
    for prompt in krea:
        if prompt.category == "text in pictures" and "clock" not in prompt.id:
            quoted = re.findall(r'"([^"]+)"', prompt.text)
            assert quoted, prompt.id
            assert all(any(text in question for question in prompt.questions) for text in quoted), prompt.id


def test_the_spelling_is_british(krea: tuple[Prompt, ...]) -> None:
    american = {"color", "colors", "colored", "gray", "center", "jewelry", "gray-haired", "watercolor", "pajamas"}
    for prompt in krea:
        said = " ".join([prompt.text, prompt.look_for or "", *prompt.questions])
        assert not american & set(words(said)), prompt.id


def test_the_short_list_has_questions_and_its_old_words() -> None:
    prompts = prompts_of("short.jsonl")
    assert [prompt.id for prompt in prompts][:2] == ["subway-portrait", "potter-hands"]
    assert all(prompt.questions for prompt in prompts)


@pytest.mark.parametrize("field", ["category", "look_for", "questions"])
def test_what_is_said_about_a_prompt_is_no_part_of_the_plan(tmp_path: Path, field: str) -> None:
    """Plans, and so runs, stay the same when a question is put better."""
    plans = []
    for more in ("", f', "{field}": "Something else?"'):
        file = tmp_path / "set.jsonl"
        file.write_text(f'{{"id": "cat", "prompt": "A cat"{more}}}\n')
        plans.append(build_plan(load(["target=[fake_local]", "metrics=[]", f"prompts.file={file}"]).experiment).hash)
    assert plans[0] == plans[1]


def test_some_of_each_category_or_some_categories() -> None:
    two = load(["target=[fake_local]", "metrics=[]", "prompts=krea", "prompts.per_category=2"]).experiment.prompts
    assert Counter(prompt.category for prompt in two) == dict.fromkeys(CATEGORIES, 2)
    assert [prompt.id for prompt in two[:3]] == ["skin-01-fisherman", "skin-02-freckles", "hands-01-pianist"]
    some = prompts_of("krea.jsonl", categories=["food", "hands"], per_category=1)
    assert [prompt.id for prompt in some] == ["hands-01-pianist", "food-01-ramen"]
    assert [prompt.id for prompt in prompts_of("krea.jsonl", categories="food", limit=2)] == [
        "food-01-ramen",
        "food-02-injera",
    ]
    assert len(prompts_of("krea.jsonl", per_category=1, limit=5)) == 5


def test_ids_are_chosen_before_the_rest() -> None:
    chosen = ["food-02-injera", "hands-03-knitting", "food-01-ramen"]
    assert [prompt.id for prompt in prompts_of("krea.jsonl", ids=chosen)] == chosen
    assert [prompt.id for prompt in prompts_of("krea.jsonl", ids=chosen, per_category=1)] == chosen[:2]


def test_prompts_without_a_category_are_one_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text("one\ntwo\nthree\n")
    config = PromptsConfig(file="set.txt", per_category=2)
    assert [prompt.text for prompt in load_prompt_set(config, [tmp_path]).prompts] == ["one", "two"]


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        (["prompts=krea", "prompts.categories=[food,hand]"], "prompts.categories", "did you mean hands?"),
        (["prompts=krea", "prompts.per_category=0"], "prompts.per_category", "greater than or equal to 1"),
        (["prompts=krea", "prompts.ids=[food-01-ramen]", "prompts.categories=[hands]"], "prompts.categories", "ids"),
        (["prompts=shapes", "prompts.file=short.jsonl"], "prompts", "found file and grammar"),
        (["prompts=shapes", "prompts.file=short.jsonl"], "prompts", "prompts.grammar=null"),
        (["prompts.file=null"], "prompts", "exactly one of file, hub, grammar"),
        (["prompts=shapes", "prompts.grammar.name=shape"], "prompts.grammar.name", "'shapes'"),
        (["prompts=shapes", "prompts.grammar.count=0"], "prompts.grammar.count", "greater than or equal to 1"),
        (["prompts=shapes", "prompts.grammar.sead=1"], "prompts.grammar.sead", "did you mean seed?"),
        (["prompts=geneval"], "prompts.hub.revision", "git ls-remote"),
    ],
)
def test_refused_by_key(overrides: list[str], key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["target=[fake_local]", "metrics=[]", *overrides])
    (problem,) = caught.value.problems
    assert problem.key == key
    assert expected in str(problem)


def test_the_list_of_sets_counts_prompts_and_fetches_nothing(krea: tuple[Prompt, ...]) -> None:
    listed = dict(KINDS["prompts"](None))
    assert {"krea", "short", "shapes", "parti_prompts", "drawbench", "hpdv2", "geneval", "dpg_bench"} <= set(listed)
    assert f"[{len(krea)} prompts: people and skin 1" in listed["krea"]
    assert "8 prompts, 1 in each of people and skin" in listed["short"]
    assert "48 prompts, 16 in each of one shape" in listed["shapes"]
    assert "fetched on first use" in listed["parti_prompts"]
    assert "nateraw/parti-prompts at the Hub" in listed["parti_prompts"]
    assert "revision to be given" in listed["geneval"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("file: nowhere.jsonl\n", "nowhere.jsonl: no such file"),
        ("file: bad.jsonl\n", "unreadable: bad.jsonl line 1"),
        ("file: [\n", "unreadable"),
        ("- a\n", "no mapping"),
        ("grammar: {name: shapes, count: 100000}\n", "count is 100000"),
    ],
)
def test_a_set_that_cannot_be_counted_says_why(tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "bad.jsonl").write_text("{\n")
    (tmp_path / "set.yaml").write_text(config)
    assert said in summary_of(tmp_path / "set.yaml", [tmp_path])
