"""How the program of a foreign metric starts and ends, what it is given, and what it is said to be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.errors import EnvironmentProblem
from kreabench.core.specs import MetricSpec
from kreabench.metrics.foreign import Foreign, ForeignOptions
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS, row_of
from tests.foreign_support import STAND_IN, Make, gone, item, making, pid_of
from tests.support import ROOT


@pytest.fixture
def foreign() -> Iterator[Make]:
    with making() as make:
        yield make


@pytest.fixture(scope="module")
def running() -> Iterator[Foreign]:
    """One for all tests that leave it as it is."""
    with making() as make:
        yield make(range=[0.0, 1.0], batch_size=16)


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

    with pytest.raises(EnvironmentProblem, match=r"\$\(touch "):
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
from tests.foreign_support import item, pid_of
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
