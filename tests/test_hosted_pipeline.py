"""Hosted targets through the whole pipeline: a plan, a budget, an end, a resume, a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kreabench import pipeline
from kreabench.core.errors import ConfigError, ExitCode
from kreabench.core.questions import QuestionSpec
from kreabench.core.specs import ExperimentSpec, RaceSpec, ReferenceSpec
from kreabench.observer import Observer
from kreabench.pipeline import Outcome
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table
from tests.hosted_support import USD, billed_usd, hosted_target, jobs, most_at_once
from tests.support import make_experiment, make_prompt


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentSpec:
    """Ten prompts at two degrees of concurrency, without metrics."""
    state_dir = tmp_path / "service"
    state_dir.mkdir()
    target = replace(hosted_target(state_dir, inference_s=0.05), accelerations=("none",))
    return make_experiment(
        targets=(target,), prompts=tuple(map(make_prompt, range(10))), metrics=(), concurrency=(1, 4)
    )


def execute(run: RunDirectory, tmp_path: Path) -> Outcome:
    return pipeline.execute(run, observer=Observer(), report_path=tmp_path / "report")


def test_each_concurrency_is_a_setting_of_its_own(tmp_path: Path, experiment: ExperimentSpec) -> None:
    run = pipeline.start(tmp_path / "run", experiment, "", {})
    outcome = execute(run, tmp_path)
    assert (outcome.delivered, outcome.failed, outcome.exit_code) == (20, 0, ExitCode.DONE)
    assert outcome.spent_usd == billed_usd(tmp_path / "service") == 20 * USD
    assert most_at_once(tmp_path / "service") == 4
    assert len(read_table(run)) == 20


def test_a_spent_budget_ends_with_its_own_code_and_goes_on_when_it_is_raised(
    tmp_path: Path, experiment: ExperimentSpec
) -> None:
    run = pipeline.start(tmp_path / "run", replace(experiment, budget_usd=13.2 * USD), "", {})
    outcome = execute(run, tmp_path)
    assert (outcome.delivered, outcome.exit_code) == (13, ExitCode.BUDGET)
    assert billed_usd(tmp_path / "service") == 13 * USD
    outcome = execute(pipeline.reopen(tmp_path / "run", budget_usd=20 * USD), tmp_path)
    assert (outcome.delivered, outcome.exit_code) == (20, ExitCode.DONE)
    assert billed_usd(tmp_path / "service") == outcome.spent_usd == 20 * USD
    assert all(len(taken) == 1 for taken in jobs(tmp_path / "service").values())


def test_a_budget_that_cannot_be_kept_is_refused_at_a_resume_too(tmp_path: Path, experiment: ExperimentSpec) -> None:
    unpriced = replace(experiment, targets=(replace(experiment.targets[0], price=None),))
    pipeline.start(tmp_path / "run", unpriced, "", {})
    pipeline.reopen(tmp_path / "run")
    with pytest.raises(ConfigError, match="cannot be kept without one for target bought"):
        pipeline.reopen(tmp_path / "run", budget_usd=1.0)


def test_a_race_saves_the_dollars_of_what_it_drops_and_keeps_its_budget(
    tmp_path: Path, experiment: ExperimentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference and a setting that is too slow, over 7 prompts and 2 seeds, of which 6 prompts come before a look."""
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, out: out)
    question = QuestionSpec(objective="latency", quality_metric=None, max_latency_s=0.001)
    asked = replace(
        experiment,
        targets=(replace(hosted_target(tmp_path / "service", inference_s=0.005), accelerations=("none",)),),
        axes=replace(experiment.axes, steps=(2, 8)),
        prompts=experiment.prompts[:7],
        seeds=(0, 1),
        concurrency=(4,),
        reference=ReferenceSpec(acceleration="none", steps="max"),
        race=RaceSpec(question=question, looks=5, first_prompts=6),
        budget_usd=20 * USD,
    )
    run = pipeline.start(tmp_path / "run", asked, "", {})
    outcome = execute(run, tmp_path)
    assert (outcome.delivered, outcome.standing.dropped, outcome.exit_code) == (20, 0, ExitCode.BUDGET)
    outcome = execute(pipeline.reopen(run.path, budget_usd=26 * USD), tmp_path)
    assert (outcome.delivered, outcome.standing.dropped, outcome.standing.spared, outcome.exit_code) == (
        26,
        1,
        2,
        ExitCode.DONE,
    )
    assert billed_usd(tmp_path / "service") == outcome.spent_usd == 26 * USD
    assert all(len(taken) == 1 for taken in jobs(tmp_path / "service").values())
