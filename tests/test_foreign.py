"""A metric in another process: what it is told, what its answers are worth, and that no fault of it costs others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from kreabench.metrics.base import Score
from kreabench.metrics.foreign import Foreign
from tests.foreign_stand_in import value_of
from tests.foreign_support import Make, gone, item, making, pid_of
from tests.support import picture


@pytest.fixture
def foreign() -> Iterator[Make]:
    with making() as make:
        yield make


@pytest.fixture(scope="module")
def running() -> Iterator[Foreign]:
    """One for all tests that leave it as it is."""
    with making() as make:
        yield make(range=[0.0, 1.0], batch_size=16)


# What it is told, and what it answers


def test_the_program_sees_the_pictures_file_and_the_prompt(foreign: Make, tmp_path: Path) -> None:
    path, other = tmp_path / "picture.jpg", tmp_path / "reference.png"
    picture(32, 24).save(path)
    picture(32, 24, seed=1).save(other)
    prompt = 'a "red"\nbicycle 自行车 🚲'
    items = [item(prompt, path=path), item(prompt, path=path, reference=picture(32, 24), reference_path=other)]

    [plain] = foreign().score(items[:1])
    [paired, lonely] = foreign(needs_reference=True).score([items[1], items[0]])

    told = type("Told", (), {"image": path, "prompt": prompt, "reference": None})
    assert plain == Score(status="ok", value=value_of(told))
    told.reference = other  # type: ignore[attr-defined]
    assert paired.value == value_of(told)
    assert lonely.status == "not_applicable"


def test_a_picture_without_a_file_is_written_for_it_and_taken_away_again(foreign: Make) -> None:
    metric = foreign()

    [score] = metric.score([item()])

    assert score.status == "ok"
    assert metric._folder is not None
    folder = Path(metric._folder.name)
    assert not list(folder.iterdir())
    metric.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("nan", "the value nan, and no finite number"),
        ("infinite", "the value inf, and no finite number"),
        ("outside", "outside options.range 0.0 to 1.0"),
        ("error", "the program says: no face found"),
        ("raise", "the program says: RuntimeError: this picture is too much"),
        ("silent", "the program says: no score was given"),
        ("bad details", "details {'part': nan}"),
    ],
)
def test_an_unsound_answer_is_a_failure_of_its_own_picture(running: Foreign, prompt: str, reason: str) -> None:
    pid = pid_of(running)

    scores = running.score([item("one"), item(prompt), item("two")])

    assert [scores[0].status, scores[2].status] == ["ok", "ok"]
    assert pid_of(running) == pid
    assert (scores[1].status, scores[1].value) == ("failed", None)
    assert reason in scores[1].reason


def test_notes_details_and_the_cut_of_a_prompt_are_kept(running: Foreign) -> None:
    [score] = running.score([item("notes")])

    assert score == Score(status="ok", value=0.25, truncated=True, notes=("halved",), details={"part": 0.75})


def test_neither_a_large_batch_nor_what_libraries_print_blocks_or_is_taken_for_a_message(running: Foreign) -> None:
    long = item("word " * 20_000)  # more than a pipe holds, both ways

    scores = running.score([item("noisy"), *[long] * 15, item("noisy"), item()])

    assert {score.status for score in scores} == {"ok"}


# A program that fails


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("exit", "it ended with exit code 3; its last words: "),
        ("segfault", "it was ended by SIGSEGV"),
        ("hang", "no answer within 0.6 s"),
        ("garbage", "it wrote what is no message: 'Loading model...'"),
        ("endless", "it wrote a line of more than 1000000 bytes"),
        ("not asked", "it answered what was not asked: id 999999"),
    ],
)
def test_a_picture_that_breaks_the_program_fails_alone(foreign: Make, prompt: str, reason: str) -> None:
    metric = foreign(batch_size=4, score_timeout_s=0.6 if prompt == "hang" else 10.0)
    first = pid_of(metric)

    scores = metric.score([item("one"), item(prompt), item("three"), item("four"), item("five")])

    assert [score.status for score in scores] == ["ok", "failed", "ok", "ok", "ok"]
    assert scores[1].reason.startswith("the program failed: ")
    assert reason in scores[1].reason
    assert gone(first)


def test_secrets_that_were_handed_on_are_not_told(foreign: Make) -> None:
    environ = {**os.environ, "A_TOKEN": "hf_hunter2"}

    [score] = foreign(environ=environ, environment=["PATH", "A_TOKEN"]).score([item("exit")])

    assert "out of ideas [secret]" in score.reason
    assert "hunter2" not in score.reason


def test_a_secret_need_not_be_text(foreign: Make) -> None:
    environ = {**os.environ, "A_TOKEN": os.fsdecode(b"\xff\xfe\xfd\xfc")}

    [score] = foreign(environ=environ, environment=["PATH", "A_TOKEN"]).score([item()])

    assert score.status == "ok"


def test_what_the_program_leaves_beside_a_picture_costs_no_score(foreign: Make) -> None:
    metric = foreign(batch_size=2)

    scores = metric.score([item("one"), item("litter"), item("litter")])

    assert [score.status for score in scores] == ["ok"] * 3
    assert metric._folder is not None
    assert list(Path(metric._folder.name).iterdir()) == []


def test_a_program_that_always_fails_is_given_up(foreign: Make) -> None:
    metric = foreign(batch_size=2)
    began = time.monotonic()

    scores = metric.score([item("exit")] * 50)

    assert time.monotonic() - began < 5
    assert {score.status for score in scores} == {"failed"}
    assert "failed 4 times in a row: it ended with exit code 3" in scores[-1].reason


def test_restarts_are_bounded(foreign: Make) -> None:
    scores = foreign(batch_size=1, max_restarts=1).score([item(p) for p in ("exit", "one", "exit", "two", "three")])

    assert [score.status for score in scores] == ["failed", "ok", "failed", "failed", "failed"]
    assert "no more than max_restarts allows" in scores[-1].reason


def test_scores_of_two_programs_are_not_mixed(foreign: Make) -> None:
    scores = foreign("restless", batch_size=1).score([item("exit"), item("one"), item("two")])

    assert [score.status for score in scores] == ["failed"] * 3
    assert "must not be mixed" in scores[-1].reason


def test_a_picture_that_cannot_be_written_fails_alone(running: Foreign) -> None:
    empty = item(image=Image.new("RGB", (0, 0)))

    assert [score.status for score in running.score([item(), empty, item()])] == ["ok", "failed", "ok"]
