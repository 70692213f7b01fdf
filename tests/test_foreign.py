"""A metric in another process: what it is told, what its answers are worth, and that nothing it does costs others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kreabench.core.errors import EnvironmentProblem
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.foreign import Foreign, ForeignOptions
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS, row_of
from tests.foreign_stand_in import value_of
from tests.support import ROOT, picture

STAND_IN = str(ROOT / "tests" / "foreign_stand_in.py")
Make = Callable[..., Foreign]


@pytest.fixture(scope="module")
def running() -> Iterator[Foreign]:
    """One for all tests that leave it as it is."""
    metric = Foreign(command=[sys.executable, STAND_IN], range=[0.0, 1.0], score_timeout_s=10.0)
    metric.open(Shared(environ=os.environ))
    yield metric
    metric.close()


@pytest.fixture
def foreign() -> Iterator[Make]:
    made: list[Foreign] = []

    def make(mode: str = "", *, environ: dict[str, str] | None = None, **options: Any) -> Foreign:
        command = [sys.executable, "-S", STAND_IN, *([mode] if mode else [])]  # -S: starts in half the time
        metric = Foreign(**{"command": command, "start_timeout_s": 10.0, "score_timeout_s": 10.0, **options})
        made.append(metric)
        metric.open(Shared(environ=os.environ if environ is None else environ))
        return metric

    yield make
    for metric in made:
        metric.close()


def item(prompt: str = "a red bicycle", **changes: Any) -> ScoreItem:
    return ScoreItem(**{"image": picture(32, 24), "prompt": prompt, "reference": None, **changes})


def pid_of(metric: Foreign) -> int:
    assert metric._process is not None
    return metric._process.pid


def gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


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


# Its start and its end


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("fails", "it ended with exit code 1; its last words: "),
        ("slow", "no answer within 0.7 s"),
        ("other protocol", "it speaks protocol 2, and this is 1"),
        ("without name", "its hello has no name"),
        ("without version", "its hello has no version"),
        ("bad hash", "weights_sha256 'abc'"),
        ("infinite", "a number that is not finite"),
    ],
)
def test_a_program_that_does_not_start_well_is_a_problem_that_says_why(foreign: Make, mode: str, found: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        foreign(mode, start_timeout_s=0.7 if mode == "slow" else 10.0)

    [problem] = caught.value.problems
    assert problem.key == "options.command"
    assert found in problem.found
    assert mode != "fails" or "No module named 'old_library'" in problem.found


def test_its_hello_is_the_identity(running: Foreign) -> None:
    assert running._identity == {
        "protocol": 1,
        "name": "stand-in",
        "version": "1",
        "weights_sha256": "0" * 64,
        "untrained": False,
    }


def test_only_listed_variables_are_handed_on(foreign: Make) -> None:
    environ = {**os.environ, "FAL_KEY": "hunter2", "HF_TOKEN": "hunter2", "PYTHONPATH": "/elsewhere", "HF_HOME": "/hub"}

    default = foreign("environment", environ=environ)._identity["environment"]
    chosen = foreign("environment", environ=environ, environment=["HF_HOME"])._identity["environment"]

    assert not {"FAL_KEY", "HF_TOKEN", "PYTHONPATH"} & set(default)
    assert "HF_HOME" in default
    assert {name for name in chosen if not name.startswith("LC_")} == {"HF_HOME"}  # Python sets LC_CTYPE itself


def test_no_shell_sees_the_command(tmp_path: Path) -> None:
    metric = Foreign(command=["/bin/echo", f"$(touch {tmp_path}/touched)", "&&", "true"])

    with pytest.raises(EnvironmentProblem, match="touched"):
        metric.open(Shared(environ=os.environ))

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "options.command"),
        ({"command": ["no-such-program-here"]}, "options.command[0]"),
        ({"command": ["~/no/such/python", "x"]}, "options.command[0]"),
        ({"command": [sys.executable, "no_such_script.py"]}, "options.command[1]"),
        ({"command": [sys.executable], "cwd": "/no/such/folder"}, "options.cwd"),
    ],
)
def test_what_is_missing_is_named_before_anything_starts(options: dict[str, Any], key: str) -> None:
    metric = Foreign(**options)

    [found] = [need.problem(os.environ) for need in metric.needs]

    assert found is not None
    assert found.key == key
    assert "~" not in found.found
    with pytest.raises(EnvironmentProblem):
        metric.open(Shared(environ=os.environ))


def test_a_script_is_found_from_its_folder(foreign: Make) -> None:
    options = {"command": [sys.executable, "tests/foreign_stand_in.py"], "cwd": str(ROOT)}

    assert foreign(**options).score([item()])[0].status == "ok"


def test_closing_ends_the_program_and_its_children(foreign: Make) -> None:
    idle, busy = foreign(), foreign(score_timeout_s=0.7)
    began = time.monotonic()
    idle_pid, busy_pid = pid_of(idle), pid_of(busy)

    idle.close()
    [score] = busy.score([item("spawn and hang")])

    child = int(score.reason.rpartition("child ")[2])
    assert all(map(gone, (idle_pid, busy_pid, child)))
    assert time.monotonic() - began < 4
    with pytest.raises(RuntimeError):
        idle.score([item()])


@pytest.mark.parametrize("prompt", ["hang", "one"])
def test_it_dies_with_who_started_it(tmp_path: Path, prompt: str) -> None:
    code = f"""
import os, sys
from kreabench.metrics.foreign import Foreign
from kreabench.metrics.shared import Shared
from tests.test_foreign import item, pid_of
metric = Foreign(command=[{sys.executable!r}, {STAND_IN!r}])
metric.open(Shared(environ=os.environ))
print(pid_of(metric), flush=True)
metric.score([item({prompt!r})])
print("scored", flush=True)
sys.stdin.read()
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, cwd=ROOT, text=True)
    with driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        if prompt == "hang":
            time.sleep(0.3)
        else:
            assert driver.stdout.readline() == "scored\n"
        os.kill(driver.pid, signal.SIGKILL)

    assert gone(pid)


# What it is said to be


def test_options_decide_what_the_row_says() -> None:
    options = {"unit": "reward", "better": "lower", "range": [-3.0, None], "needs_reference": True, "bias": "old"}

    row = row_of(MetricSpec(name="reward", kind="foreign", options=json.loads(json.dumps(options))))

    assert row is not None
    assert (row.unit, row.better, row.range, row.needs_reference) == ("reward", "lower", (-3.0, None), True)
    assert {*METRICS["foreign"].from_options} <= set(ForeignOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"environment": ("HF_TOKEN=hunter2",)}, "environment must list names"),
        ({"better": "more"}, "better must be higher, lower or reference"),
        ({"range": (1.0, 0.0)}, "range must go from less to more"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"start_timeout_s": 0.0}, "start_timeout_s must be above 0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        ForeignOptions(**options)

    assert "hunter2" not in str(caught.value)


def test_a_picture_that_cannot_be_written_fails_alone(running: Foreign) -> None:
    empty = item(image=Image.new("RGB", (0, 0)))

    assert [score.status for score in running.score([item(), empty, item()])] == ["ok", "failed", "ok"]
