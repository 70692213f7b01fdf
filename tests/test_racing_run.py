"""A race as a run makes it: its rounds, its journal, its resume, and that what it dropped is in no result."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from rich.console import Console

from kreabench import pipeline
from kreabench.cli.plan_table import print_plan
from kreabench.cli.run_show import print_run
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError, ExitCode, RunDirectoryError
from kreabench.core.policies import Cost
from kreabench.core.records import DropRecord, LookRecord, SampleRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.decisions.sides import open_side
from kreabench.drops import drops_of, looks_of
from kreabench.execution.pending import pending_work
from kreabench.metrics.table import METRICS
from kreabench.observer import Observer
from kreabench.pipeline import Outcome
from kreabench.plan_build import build_plan
from kreabench.plan_of_run import plan_of
from kreabench.race import seen
from kreabench.race.rounds import race_problems, rounds_of
from kreabench.report.build import build_document
from kreabench.rundir.directory import RunDirectory, RunState
from kreabench.rundir.table import join_table
from tests.race_kills import DRAWN
from tests.race_support import FIRST, KIND, PROMPTS, Brightness, Drawer, metric_row, racing_experiment
from tests.support import ROOT

SEEDS = 2


@pytest.fixture(autouse=True)
def brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, KIND, metric_row())
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, out: out)


def execute(run: RunDirectory, drawer: Drawer | None = None) -> Outcome:
    return pipeline.execute(run, observer=Observer(), report_path=run.path / "report", engine=drawer or Drawer())


def race(path: Path, experiment: ExperimentSpec | None = None) -> tuple[RunDirectory, Outcome]:
    run = pipeline.start(path, experiment or racing_experiment(), "", {})
    return run, execute(run)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Outcome]:
    """A finished race, for tests that only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, KIND, metric_row())
        patch.setattr(pipeline, "write_report", lambda run, plan, out: out)
        return race(tmp_path_factory.mktemp("raced") / "run")


def dropped_steps(run: RunDirectory) -> dict[int | None, DropRecord]:
    steps = {setting.id: setting.steps for setting in plan_of(run).settings}
    return {steps[key]: drop for key, drop in drops_of(run).items()}


def test_settings_are_dropped_once_it_is_clear_and_survivors_draw_every_prompt(
    raced: tuple[RunDirectory, Outcome],
) -> None:
    run, outcome = raced
    dropped = dropped_steps(run)
    assert dropped.keys() == {2, 6}
    by_steps = {setting.steps: setting.id for setting in plan_of(run).settings}
    assert (dropped[2].constraint, dropped[2].dominated_by) == ("quality loss of brightness", None)
    assert (dropped[6].constraint, dropped[6].dominated_by) == ("dominated", by_steps[4])
    assert "median latency 0.4 s against 0.6 s" in dropped[6].reason
    assert all((drop.p_value or 0) <= drop.level < 0.05 for drop in dropped.values())
    drawn = Counter(sample.setting_id for sample in run.samples().values())
    assert drawn[by_steps[4]] == drawn[by_steps[8]] == PROMPTS * SEEDS
    assert drawn[by_steps[2]] == drawn[by_steps[6]] == FIRST * SEEDS
    assert (outcome.standing.dropped, outcome.standing.spared) == (2, 2 * (PROMPTS - FIRST) * SEEDS)
    assert outcome.requests == outcome.delivered == sum(drawn.values())


def test_the_journal_says_what_was_dropped_before_anything_more_is_drawn(raced: tuple[RunDirectory, Outcome]) -> None:
    run, _ = raced
    kinds = [record.kind for record in run.records() if isinstance(record, SampleRecord | DropRecord | LookRecord)]
    first = 4 * FIRST * SEEDS
    assert kinds[:first] == ["sample"] * first
    assert kinds[first : first + 3] == ["drop", "drop", "look"]
    assert [(look.look, look.looks, look.prompts, look.settings) for look in looks_of(run)] == [
        (1, 2, FIRST, 2),
        (2, 2, 2 * FIRST, 2),
    ]


def test_every_setting_and_group_draws_the_same_prompts_of_a_round() -> None:
    first, second, last = rounds_of(racing_experiment())
    assert (len(first.prompts), len(second.prompts), len(last.prompts)) == (FIRST, 2 * FIRST, PROMPTS)
    assert set(first.prompts) < set(second.prompts)
    assert first.prompts != rounds_of(racing_experiment(order_seed=1))[0].prompts
    assert [one.look for one in rounds_of(racing_experiment(race=None))] == [None]
    assert build_plan(racing_experiment()).hash == build_plan(racing_experiment(race=None)).hash


def test_a_resume_goes_on_at_the_right_look_wherever_it_was_cut_off(
    tmp_path: Path, raced: tuple[RunDirectory, Outcome]
) -> None:
    whole, _ = raced
    lines = (whole.path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    look = next(number for number, line in enumerate(lines) if b'"kind":"look"' in line)
    wanted = {setting: (drop.look, drop.constraint) for setting, drop in drops_of(whole).items()}
    places = {
        "in the first round": look - 10,
        "between two drops": look - 1,
        "before the look is over": look,
        "after the look": look + 1,
        "in the second round": look + 9,
    }
    for name, number in places.items():
        path = tmp_path / name.replace(" ", "-")
        shutil.copytree(whole.path, path)
        (path / "journal.jsonl").write_bytes(b"".join(lines[:number]) + lines[number][:20])
        run, drawer = RunDirectory.open(path), Drawer()
        execute(run, drawer)
        assert {setting: (drop.look, drop.constraint) for setting, drop in drops_of(run).items()} == wanted, name
        assert [record.look for record in looks_of(run)] == [1, 2], name
        drops = [record.setting_id for record in run.records() if isinstance(record, DropRecord)]
        assert len(drops) == len(set(drops)), name
        assert run.samples().keys() == whole.samples().keys(), name
    again = Drawer()
    execute(whole, again)
    assert not again.drawn


def test_a_race_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path, raced: tuple[RunDirectory, Outcome]
) -> None:
    whole, _ = raced
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "tests.race_kills", str(tmp_path / "run")], check=True, cwd=ROOT, env=environ)
    run = RunDirectory.open(tmp_path / "run")
    drops = [(r.setting_id, r.look, r.constraint) for r in run.records() if isinstance(r, DropRecord)]
    assert sorted(drops) == sorted((r.setting_id, r.look, r.constraint) for r in drops_of(whole).values())
    assert [record.look for record in looks_of(run)] == [1, 2]
    drawn = Counter((run.path / DRAWN).read_text().split())
    assert set(drawn.values()) == {1}
    assert drawn.keys() == run.samples().keys() == whole.samples().keys()


def test_a_look_without_scores_drops_nobody_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(metric: Brightness, items: object) -> NoReturn:
        raise ValueError("out of order")

    monkeypatch.setattr(Brightness, "score", fail)
    run = pipeline.start(tmp_path / "run", racing_experiment(prompts=racing_experiment().prompts[: FIRST + 1]), "", {})
    notes: list[str] = []
    observer = Observer()
    monkeypatch.setattr(observer, "note", notes.append)
    outcome = pipeline.execute(run, observer=observer, report_path=run.path / "report", engine=Drawer())
    assert (outcome.standing.dropped, outcome.exit_code) == (0, ExitCode.FAILED_SAMPLES)
    assert any(
        f"look 1 goes without {4 * FIRST * SEEDS} scores that failed" in n and "out of order" in n for n in notes
    )


def test_a_race_that_has_looked_is_neither_changed_nor_turned_off(tmp_path: Path) -> None:
    experiment = racing_experiment()
    assert experiment.race is not None
    other = replace(experiment, race=replace(experiment.race, first_prompts=7))
    run = pipeline.start(tmp_path / "run", experiment, "", {})
    assert pipeline.start(run.path, other, "", {}).info.experiment.race == other.race, "before a look it is free"
    execute(run)
    for asked in (other, replace(experiment, race=None)):
        with pytest.raises(RunDirectoryError, match="raced for another question") as caught:
            pipeline.start(run.path, asked, "", {})
        assert "choose another name" in str(caught.value.remedy)
    assert pipeline.start(run.path, experiment, "", {}).info.experiment.race == experiment.race


def test_what_was_dropped_is_in_no_result_and_is_listed_with_its_reason(raced: tuple[RunDirectory, Outcome]) -> None:
    run, _ = raced
    plan = plan_of(run)
    document = build_document(run, plan, join_table(run, plan))
    assert sorted(summary.setting.steps or 0 for summary in document.summaries) == [4, 8]
    assert any("Racing dropped 2 of 4 settings" in notice.text for notice in document.notices)
    assert not any("Not finished" in notice.text for notice in document.notices)
    table = dict(document.measurements)["Dropped by the race"]
    assert len(table.rows) == 2
    assert "levels" in table.rows[0].cells[-1].text
    side = open_side(str(run.path))
    assert sorted(setting.steps or 0 for setting in side.settings) == [4, 8]
    out = Console(record=True, width=120)
    print_run(out, run, plan)
    text = out.export_text()
    assert text.count("dropped at look 1 of 2") == 2
    assert "32 spared as racing dropped 2 settings, 0 not done" in text


def test_a_report_before_anything_is_dropped_says_nothing_of_it(tmp_path: Path) -> None:
    plain = racing_experiment(race=None, prompts=racing_experiment().prompts[:2])
    run, outcome = race(tmp_path / "run", plain)
    document = build_document(run, plan_of(run), join_table(run, plan_of(run)))
    assert "Dropped by the race" not in dict(document.measurements)
    assert (outcome.standing.dropped, outcome.requests) == (0, 4 * 2 * SEEDS)


def test_what_a_service_may_have_drawn_for_a_dropped_setting_is_still_fetched() -> None:
    plan = build_plan(racing_experiment())
    setting = plan.settings[0]
    first, second, *_ = [r for r in plan.groups[0].requests if r.setting_id == setting.id]
    state = RunState(samples={}, deaths={}, tries={}, submitted={first.id: "job-1", second.id: None})
    (work,) = pending_work(plan, state, retry_failed=False, dropped={setting.id})
    assert [r.id for r in work.pending if r.setting_id == setting.id] == [first.id]


def test_a_plan_says_when_it_looks_and_what_it_takes() -> None:
    experiment = racing_experiment()
    out = Console(record=True, width=120)
    print_plan(out, experiment, build_plan(experiment), Path("nowhere"), show_all=False)
    text = out.export_text()
    assert "race: 2 looks, at 6, 12 of 14 prompts" in text
    assert f"at least {4 * FIRST * SEEDS + (PROMPTS - FIRST) * SEEDS} images, 2 model loads" in text
    assert f"at most {4 * PROMPTS * SEEDS} images, 3 model loads" in text


def test_a_race_without_anything_to_drop_is_refused() -> None:
    axes = racing_experiment().axes
    alone = racing_experiment(axes=replace(axes, steps=(8,)))
    assert [problem.key for problem in race_problems(alone, build_plan(alone))] == ["run.race"]
    lost = racing_experiment(reference=replace(alone.reference, acceleration="high"))
    assert [problem.key for problem in race_problems(lost, build_plan(lost))] == ["race.max_quality_loss"]


TRIAL = ("experiment=trial", "run.race=on", "prompts=shapes", "prompts.limit=20", "metrics=[mini_clip_score,psnr,look]")


def test_a_race_is_asked_for_on_the_command_line() -> None:
    race = load([*TRIAL, "race.max_quality_loss={clip_score:{noise_floor:0.5}}", "race.level=0.1"]).experiment.race
    assert race is not None
    assert (race.looks, race.first_prompts, race.question.level) == (5, 8, 0.1)
    assert race.question.max_quality_loss[0].margin.kind == "noise_floor"
    assert load([*TRIAL[:1], "run.race=off"]).experiment.race is None


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("race.max_quality_loss={clip_scor:{absolute:1}}", "race.max_quality_loss.clip_scor", "did you mean"),
        ("race.max_quality_loss={psnr:{absolute:1}}", "race.max_quality_loss.psnr", "needs no reference"),
        ("race.max_quality_loss={colourfulness:{absolute:1}}", "race.max_quality_loss.colourfulness", "better side"),
        ("race.max_quality_loss={clip_score:{absolute:1,relative:1}}", "race.max_quality_loss.clip_score", "exactly"),
        ("race.max_quality_loss={}", "race.max_quality_loss", "at least one metric"),
        ("race.objective=quality", "race.quality_metric", "the metric"),
        ("race.objective=usd_per_image", "race.objective", "a price"),
        ("race.first_prompts=20", "race.first_prompts", "fewer than there are prompts"),
        ("run.race=maybe", "run.race", "boolean"),
        ("run.race=[a]", "run.race", "boolean"),
        ("race.max_quality_loss={latency:{absolute:1}}", "race.max_quality_loss.latency", "another name"),
    ],
)
def test_what_a_race_cannot_be_is_said_with_its_key(override: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([*TRIAL, override])
    assert expected in {problem.key: str(problem) for problem in caught.value.problems}[key]


def test_a_noise_floor_needs_seeds_and_everything_wrong_is_said_at_once() -> None:
    wrong = ["run.seeds=0", "race.max_quality_loss={clip_score:{noise_floor:1}}", "race.first_prompts=30"]
    with pytest.raises(ConfigError) as caught:
        load([*TRIAL, *wrong])
    assert [problem.key for problem in caught.value.problems] == [
        "race.first_prompts",
        "race.max_quality_loss.clip_score.noise_floor",
    ]


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("latency", [None, 2.0, None]),
        ("energy", [None, 20.0, None]),
        ("peak_memory", [7.0, 8.0, 9.0]),
        ("usd_per_image", [None, 0.5, None]),
    ],
)
def test_the_costs_of_a_race_are_of_samples_that_count(cost: Cost, expected: list[float | None]) -> None:
    """A first call and a repeated one are no timings; two pictures a request share its price."""
    rows = pd.DataFrame(
        {
            "timing_valid": [False, True, False],
            "end_to_end_s": [9.0, 2.0, 3.0],
            "energy_j": [90.0, 20.0, 30.0],
            "peak_allocated_bytes": [7.0, 8.0, 9.0],
            "peak_rss_bytes": [1.0, 1.0, 1.0],
            "service_request_id": [None, None, None],
            "usd": [9.0, 1.0, 3.0],
            "usd_basis": ["device_hour"] * 3,
            "num_images": [2, 2, 2],
        }
    )
    found = [None if math.isnan(value) else value for value in seen._cost(rows, cost)]
    assert found == expected
