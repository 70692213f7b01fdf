"""What metrics need is asked before anything is drawn, fetched where that can be, and said with the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kreabench import pipeline
from kreabench.core.errors import EnvironmentProblem, ExitCode, Problem
from kreabench.core.specs import ExperimentSpec, MetricSpec
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.needs import Say
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS
from kreabench.metrics.weights import offline_variable
from kreabench.scoring.requirements import fetch, fetch_command, missing
from tests.support import make_experiment, make_target


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A need of a file that is there or is not; fetching makes it, where the network is up."""

    name: str
    fetchable: bool
    path: Path

    network: ClassVar[bool] = True
    fetched: ClassVar[list[str]] = []

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        if self.path.exists():
            return None
        return Problem(key="options.weights", found=f"no {self.path.name}", expected="a file", remedy="Look for it")

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        File.fetched.append(self.name)
        if not File.network:
            raise EnvironmentProblem([Problem(key="options.weights", found="no network", expected="one")])
        self.path.touch()


class Needy:
    """A metric that needs a file."""

    def __init__(self, path: str = "", fetchable: bool = True, label: str = "the weights") -> None:
        if not path:
            raise ValueError("path must be given")
        self.needs = (File(name=label, fetchable=fetchable, path=Path(path)),)

    def open(self, shared: Shared) -> dict[str, Any]:
        return {"version": 1}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        return [Score(status="ok", value=1.0) for _ in items]

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(autouse=True)
def needy(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(METRICS["psnr"], location=f"{__name__}:Needy", options=f"{__name__}:Needy", needs_reference=False)
    monkeypatch.setitem(METRICS, "needy", row)
    monkeypatch.setattr(File, "network", True)
    monkeypatch.setattr(File, "fetched", [])


def spec(tmp_path: Path, name: str = "one", **options: Any) -> MetricSpec:
    return MetricSpec(name=name, kind="needy", options={"path": str(tmp_path / f"{name}.bin"), **options})


def experiment(*metrics: MetricSpec, **changes: Any) -> ExperimentSpec:
    return make_experiment(metrics=metrics, **changes)


def test_what_is_missing_is_found_under_its_full_key_and_fetched_once(tmp_path: Path) -> None:
    shared = {"path": str(tmp_path / "shared.bin"), "label": "shared weights"}
    metrics = [
        spec(tmp_path, "a", **shared),
        spec(tmp_path, "b", **shared),
        MetricSpec(name="p", kind="psnr", options={}),
    ]
    said: list[str] = []

    assert [(entry.metric, entry.problem.key) for entry in missing(metrics, {})] == [
        ("a", "metrics.a.options.weights"),
        ("b", "metrics.b.options.weights"),
    ]
    assert fetch(metrics, {}, said.append) == ((), ())
    assert File.fetched == ["shared weights"]
    assert said == ["fetching shared weights for metrics.a"]
    assert missing(metrics, {}) == ()


def test_a_metric_that_cannot_be_made_is_missing_something(tmp_path: Path) -> None:
    (entry,) = missing([MetricSpec(name="one", kind="needy", options={})], {})
    assert (entry.problem.key, entry.fetchable) == ("metrics.one", False)
    assert "path must be given" in entry.problem.found

    (entry,) = missing([MetricSpec(name="old", kind="of_another_version", options={})], {})
    assert entry.problem.key == "metrics.old"


def test_a_new_run_fetches_what_it_can_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []

    pipeline.start(tmp_path / "run", experiment(spec(tmp_path)), "", {}, say=said.append)

    assert said == ["fetching the weights for metrics.one"]
    assert (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("environ", [{"HF_HUB_OFFLINE": "1"}, {"KREABENCH_OFFLINE": "true"}])
def test_offline_nothing_is_fetched_and_one_command_names_all_that_is_missing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    metrics = [spec(tmp_path, "a"), spec(tmp_path, "b"), spec(tmp_path, "c", fetchable=False)]

    with pytest.raises(EnvironmentProblem) as caught:
        pipeline.start(tmp_path / "run", experiment(*metrics), "", environ)

    assert File.fetched == []
    assert not (tmp_path / "run").exists()
    assert caught.value.exit_code == ExitCode.USAGE
    assert [problem.key for problem in caught.value.problems] == [f"metrics.{name}.options.weights" for name in "abc"]
    remedies = [problem.remedy for problem in caught.value.problems]
    command = f"`kreabench doctor --fetch metrics=a,b`, with {next(iter(environ))} unset, fetches it"
    assert remedies == [
        f"{command}, or leave a out of metrics",
        f"{command}, or leave b out of metrics",
        "Look for it, or leave c out of metrics",
    ]
    assert fetch_command(["a"]) == "kreabench doctor --fetch metrics=a"
    assert offline_variable({"HF_HUB_OFFLINE": "0"}) is None


def test_a_fetch_that_fails_costs_no_other_one_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "network", False)
    metrics = [spec(tmp_path, "a", label="a's"), spec(tmp_path, "b", label="b's")]

    with pytest.raises(EnvironmentProblem) as caught:
        pipeline.start(tmp_path / "run", experiment(*metrics), "", {})

    assert File.fetched == ["a's", "b's"]
    assert [problem.found for problem in caught.value.problems] == ["no network", "no network"]


def test_a_run_that_is_there_is_not_refused(tmp_path: Path) -> None:
    asked = experiment(spec(tmp_path))
    pipeline.start(tmp_path / "run", asked, "", {})
    (tmp_path / "one.bin").unlink()

    pipeline.start(tmp_path / "run", asked, "", {"HF_HUB_OFFLINE": "1"})

    assert File.fetched == ["the weights"]


def test_random_weights_need_no_metric(tmp_path: Path) -> None:
    asked = experiment(spec(tmp_path), targets=(make_target(random_weights=True),))

    pipeline.start(tmp_path / "run", asked, "", {"HF_HUB_OFFLINE": "1"})

    assert File.fetched == []


def test_a_gpu_that_is_not_there_is_said_with_what_may_have_chosen_it() -> None:
    options = {"model": "builtin:mini-untrained", "weights": "random", "untrained": True, "device": "cuda:99"}

    (entry,) = missing([MetricSpec(name="clip", kind="clip_score", options=options)], {})

    assert entry.problem.key == "metrics.clip.options.device"
    assert "scoring.device" in entry.problem.remedy
