"""The fixture `kreabench_gate` in a test suite of the user's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gate_support import write_run

pytest_plugins = ("pytester",)

POLICY = "checks: {clip: {margin: {noise_floor: 1.0}}}\n"
SUITE = """
import pytest

def test_passes(kreabench_gate):
    result = kreabench_gate("base", "equal", "policy.yaml")
    assert result.outcome == "passed"

def test_regresses(kreabench_gate):
    kreabench_gate("base", "worse", "policy.yaml")

def test_is_not_decided(kreabench_gate):
    kreabench_gate("base", "few", "policy.yaml")

def test_may_be_undecided(kreabench_gate):
    assert kreabench_gate("base", "few", "policy.yaml", allow_inconclusive=True).outcome == "inconclusive"

def test_a_regression_is_never_allowed(kreabench_gate):
    kreabench_gate("base", "worse", "policy.yaml", allow_inconclusive=True)

def test_is_refused(kreabench_gate):
    kreabench_gate("base", "nowhere")
"""


def test_a_gate_in_a_test_suite(pytester: pytest.Pytester) -> None:
    write_run(pytester.path / "base")
    write_run(pytester.path / "equal", salt=1)
    write_run(pytester.path / "worse", salt=2, shift=-2.0)
    write_run(pytester.path / "few", salt=3, prompts=3)
    (pytester.path / "policy.yaml").write_text(POLICY)
    pytester.makepyfile(SUITE)
    # Once, whether or not this Python has the entry point.
    result = pytester.runpytest_inprocess(
        "-p", "no:kreabench", "-p", "kreabench.pytest_plugin", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=2, failed=4)
    result.stdout.fnmatch_lines(
        [
            "*clip * regressed*",
            "*regressed: clip (1 regressed)*",
            "*inconclusive: clip (1 inconclusive)*",
            "*kreabench gate: not a run directory: there is no folder nowhere*",
        ]
    )


def test_pytest_starts_without_what_a_gate_needs() -> None:
    code = (
        "import sys, kreabench.pytest_plugin;"
        "print(*sorted({'numpy', 'pandas', 'scipy', 'rich', 'pydantic', 'torch', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_the_entry_point_names_it() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"kreabench": "kreabench.pytest_plugin"}
