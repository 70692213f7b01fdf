"""Scores of sets: the pictures of a setting against those of its reference, in the pass that scores pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from kreabench.core.planned import Plan
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import Member, Score, ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS, MetricRow
from kreabench.rundir import pictures
from kreabench.rundir.directory import RunDirectory
from tests.scoring_support import counts, deliver, group_of, new_run, reference_and_fast, requests_of, score_with
from tests.support import make_plan, make_setting, make_target, picture

SPEC = MetricSpec(name="gap", kind="gap", options={}, per="set")
ALONE = MetricSpec(name="alone", kind="alone", options={}, per="set")
PSNR = MetricSpec(name="psnr", kind="psnr", options={})


class Gap:
    """A metric of sets: the distance of the mean colours; it tells what it saw, and breaks on demand."""

    seen: ClassVar[list[ScoreItem]] = []
    compared: ClassVar[list[tuple[int, int]]] = []
    features_fault: ClassVar[Exception | None] = None
    compare_fault: ClassVar[Exception | None] = None
    answer: ClassVar[Score | None] = None
    bad_seed: ClassVar[int | None] = None
    opened: ClassVar[int] = 0

    def __init__(self, version: int = 1) -> None:
        self.needs = ()
        self._version = version

    def open(self, shared: Shared) -> dict[str, Any]:
        Gap.opened += 1
        return {"version": self._version}

    def features(self, items: Sequence[ScoreItem]) -> list[Any]:
        Gap.seen.extend(items)
        if Gap.features_fault is not None:
            raise Gap.features_fault
        return [
            "it is too strange" if item.seed == Gap.bad_seed else np.asarray(item.image, np.float32).mean(axis=(0, 1))
            for item in items
        ]

    def compare(self, pictures: Sequence[Member], reference: Sequence[Member]) -> Score:
        Gap.compared.append((len(pictures), len(reference)))
        if Gap.compare_fault is not None:
            raise Gap.compare_fault
        if len(pictures) < 2:
            return Score(status="not_applicable", value=None, reason="one picture is no set")
        if Gap.answer is not None:
            return Gap.answer
        means = [np.mean([member.features for member in side], axis=0) for side in (pictures, reference) if side]
        return Score(status="ok", value=float(np.linalg.norm(means[0] - means[-1])), notes=("small",))

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(autouse=True)
def gap(monkeypatch: pytest.MonkeyPatch) -> None:
    row = MetricRow(
        location=f"{__name__}:Gap",
        options=f"{__name__}:Gap",
        per="set",
        unit="levels",
        better="lower",
        range=(0.0, None),
        needs_reference=True,
        summary="distance of mean colours",
        bias="none",
        cost="none",
    )
    monkeypatch.setitem(METRICS, "gap", row)
    monkeypatch.setitem(METRICS, "alone", replace(row, needs_reference=False))
    changes: tuple[tuple[str, Any], ...] = (("seen", []), ("compared", []), ("opened", 0), ("bad_seed", None))
    for name, value in (*changes, ("features_fault", None), ("compare_fault", None), ("answer", None)):
        monkeypatch.setattr(Gap, name, value)


def made(tmp_path: Path, *, prompts: int = 3, **changes: Any) -> tuple[RunDirectory, Plan]:
    plan = make_plan(group_of(*reference_and_fast(**changes), prompts=prompts))
    return new_run(tmp_path / "run", plan), plan


def records(run: RunDirectory, metric: str = "gap") -> dict[int | None, SetScoreRecord]:
    """By the setting's steps: 4 is the reference."""
    steps = {setting.id: setting.steps for setting in reference_and_fast()}
    return {steps[record.setting_id]: record for record in run.set_scores() if record.metric == metric}


def request_of(plan: Plan, steps: int, number: int = 0) -> Any:
    return [entry for entry in requests_of(plan) if entry[0].steps == steps][number]


def test_a_setting_is_compared_with_its_reference_and_the_reference_with_nothing(tmp_path: Path) -> None:
    run, plan = made(tmp_path)

    summary = score_with(run, plan, SPEC, ALONE)

    means = {
        steps: np.mean(
            [
                np.asarray(picture(64, 64, seed=10 * n)).mean(axis=(0, 1))
                for n, (setting, _) in enumerate(requests_of(plan))
                if setting.steps == steps
            ],
            axis=0,
        )
        for steps in (2, 4)
    }
    found = records(run)
    assert found[2].value == pytest.approx(np.linalg.norm(means[2] - means[4]), rel=1e-4)
    assert (found[2].pictures, found[2].reference_pictures, found[2].left_out) == (3, 3, 0)
    assert found[2].notes == ("small",)
    assert (found[4].status, found[4].reason) == ("not_applicable", "this is the reference")
    assert counts(summary, "gap") == {"scored": 1, "not_applicable": 1}
    alone = records(run, "alone")
    assert {record.status for record in alone.values()} == {"ok"}
    assert {record.reference_pictures for record in alone.values()} == {None}
    assert counts(summary, "alone") == {"scored": 2}
    assert [entry.per for entry in summary.metrics] == ["set", "set"]


def test_each_picture_is_decoded_once_for_pictures_and_sets_and_comes_with_its_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plan = made(tmp_path)
    paths: list[str] = []

    def counting(run_path: Path, record: Any) -> Image.Image:
        paths.append(record.path)
        return pictures.read_picture(run_path, record)

    monkeypatch.setattr("kreabench.scoring.chunks.read_picture", counting)

    score_with(run, plan, PSNR, SPEC, ALONE)

    assert len(paths) == len(set(paths)) == 6
    assert len(Gap.seen) == 12  # each of two metrics saw each picture
    assert all(item.reference is None for item in Gap.seen)
    assert {item.prompt_id for item in Gap.seen} == {"prompt-0", "prompt-1", "prompt-2"}
    assert all(item.path is not None and item.path.is_file() for item in Gap.seen)


def test_what_is_held_is_reused_until_a_picture_of_either_side_changes(tmp_path: Path) -> None:
    run, plan = made(tmp_path)
    score_with(run, plan, SPEC)
    before = (run.path / "set_scores.jsonl").read_bytes()
    Gap.seen.clear()

    assert counts(score_with(run, plan, SPEC), "gap") == {"reused": 2}
    assert Gap.seen == []
    assert (run.path / "set_scores.jsonl").read_bytes() == before

    setting, request = request_of(plan, 4)
    deliver(run, setting, request, [picture(64, 64, seed=500)])
    old = records(run)[2]
    assert counts(score_with(run, plan, SPEC), "gap") == {"scored": 1, "not_applicable": 1}
    assert records(run)[2].members != old.members
    assert records(run)[2].value != old.value
    assert counts(score_with(run, plan, SPEC, again=True), "gap") == {"scored": 1, "not_applicable": 1}


def test_a_changed_metric_is_a_new_score(tmp_path: Path) -> None:
    run, plan = made(tmp_path)
    score_with(run, plan, SPEC)
    old = {record.identity for record in run.set_scores()}

    assert counts(score_with(run, plan, replace(SPEC, options={"version": 2})), "gap")["scored"] == 1
    new = {record.identity for record in run.set_scores()}
    assert len(new) == 1
    assert new != old


def test_degenerate_flagged_and_unreadable_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    run, plan = made(tmp_path, prompts=5)
    setting, black = request_of(plan, 2, 0)
    deliver(run, setting, black, [Image.new("RGB", (64, 64))])
    _, flagged = request_of(plan, 2, 1)
    deliver(run, setting, flagged, [picture(64, 64, seed=900)], nsfw=True)
    gone = run.path / run.samples()[request_of(plan, 2, 2)[1].id].images[0].path
    content = gone.read_bytes()
    gone.unlink()

    summary = score_with(run, plan, SPEC)

    found = records(run)[2]
    assert (found.status, found.pictures, found.reference_pictures, found.left_out) == ("ok", 2, 5, 3)
    assert any("is gone from the run directory" in note for note in found.notes)
    assert counts(summary, "gap") == {"scored": 1, "not_applicable": 1}

    gone.write_bytes(content)  # a file that is back is in the set again
    score_with(run, plan, SPEC)
    assert (records(run)[2].pictures, records(run)[2].left_out) == (3, 2)


def test_a_picture_that_the_metric_cannot_take_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(group_of(prompts=1, seeds=(0, 1, 2)))
    run = new_run(tmp_path / "run", plan)
    monkeypatch.setattr(Gap, "bad_seed", 1)

    score_with(run, plan, SPEC)

    found = records(run)[2]
    assert (found.status, found.pictures, found.reference_pictures, found.left_out) == ("ok", 2, 2, 1)
    assert found.notes[-1] == "2 pictures could not be used, the first: it is too strange"


@pytest.mark.parametrize("where", ["features_fault", "compare_fault", "answer"])
def test_a_metric_that_fails_costs_only_its_own_scores_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run, plan = made(tmp_path)
    nonsense = Score(status="ok", value=float("nan"))
    monkeypatch.setattr(Gap, where, nonsense if where == "answer" else ZeroDivisionError("no light"))

    summary = score_with(run, plan, PSNR, SPEC)

    assert counts(summary, "gap") == {"failed": 1, "not_applicable": 1}
    assert counts(summary, "psnr")["scored"] == 3
    assert records(run)[2].reason.startswith("the metric gave" if where == "answer" else "ZeroDivisionError: no light")
    assert records(run)[2].value is None

    monkeypatch.setattr(Gap, where, None)
    assert counts(score_with(run, plan, SPEC), "gap") == {"scored": 1, "reused": 1}


def test_a_metric_that_cannot_be_opened_fails_each_setting_and_what_is_held_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plan = made(tmp_path)

    def broken(self: Gap, shared: Shared) -> dict[str, Any]:
        raise OSError("library gone")

    with monkeypatch.context() as patch:
        patch.setattr(Gap, "open", broken)
        summary = score_with(run, plan, SPEC)
        assert counts(summary, "gap") == {"failed": 2}
        assert "library gone" in summary.problems[0].found
        assert all("library gone" in record.reason for record in records(run).values())

    score_with(run, plan, SPEC)
    monkeypatch.setattr(Gap, "open", broken)
    assert counts(score_with(run, plan, SPEC), "gap") == {"reused": 2}
    assert records(run)[2].status == "ok"


def test_one_picture_is_no_set_and_the_rest_is_scored(tmp_path: Path) -> None:
    run, plan = made(tmp_path, prompts=1)

    summary = score_with(run, plan, PSNR, SPEC)

    assert records(run)[2].reason == "one picture is no set"
    assert counts(summary, "gap") == {"not_applicable": 2}
    assert counts(summary, "psnr") == {"scored": 1, "not_applicable": 1}
    assert counts(score_with(run, plan, PSNR, SPEC), "gap") == {"reused": 2}


def test_why_there_is_nothing_to_compare(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    lonely = make_setting(steps=9, width=64, height=64, reference_id=None)
    orphan = make_setting(steps=11, width=64, height=64, reference_id=make_setting(steps=50).id)
    plan = make_plan(group_of(reference, fast, lonely, orphan, prompts=2))
    blackened = [request for setting, request in requests_of(plan) if setting.id == fast.id]
    run = new_run(tmp_path / "run", plan, {request.id: [Image.new("RGB", (64, 64))] for request in blackened})

    score_with(run, plan, SPEC)

    steps = {setting.id: setting.steps for setting in plan.settings}
    assert {steps[record.setting_id]: record.reason for record in run.set_scores()} == {
        4: "this is the reference",
        2: "no picture of the setting can be used",
        9: "no reference setting is planned",
        11: "no picture of the reference can be used",
    }
    assert Gap.compared == []


def test_pictures_of_random_weights_are_no_set(tmp_path: Path) -> None:
    plan = make_plan(group_of(target=make_target(random_weights=True)))
    run = new_run(tmp_path / "run", plan)

    summary = score_with(run, plan, SPEC, ALONE)

    assert counts(summary, "gap") == counts(summary, "alone") == {"not_applicable": 2}
    assert {record.reason for record in run.set_scores()} == {"random weights: their pictures mean nothing"}
    assert Gap.opened == 0


def test_pictures_of_several_indices_and_sizes_each_count_and_those_of_a_size_come_together(tmp_path: Path) -> None:
    settings = [
        make_setting(steps=steps, width=w, height=h, num_images=2) for steps, w, h in ((2, 64, 48), (3, 16, 16))
    ]
    plan = make_plan(group_of(*settings, prompts=2))
    run = new_run(tmp_path / "run", plan)

    score_with(run, plan, ALONE)

    assert {record.pictures for record in run.set_scores()} == {4}
    assert [item.image.size for item in Gap.seen] == [(16, 16)] * 4 + [(64, 48)] * 4
    assert sorted({item.seed for item in Gap.seen}) == [0, 1]


def test_the_same_picture_under_two_seeds_and_indices_counts_once(tmp_path: Path) -> None:
    """Seed 0 with two pictures a request draws seeds 0 and 1, and seed 1 draws 1 and 2."""
    plan = make_plan(group_of(make_setting(num_images=2), prompts=1, seeds=(0, 1)))
    run = new_run(tmp_path / "run", plan)
    for setting, request in requests_of(plan):
        sample = deliver(run, setting, request, [picture(128, 128, seed=request.seed + k) for k in range(2)])
        known = tuple(replace(image, seed=request.seed + image.index) for image in sample.images)
        with run.writer() as writer:
            writer.append(replace(sample, images=known))

    score_with(run, plan, ALONE)

    assert [record.pictures for record in run.set_scores()] == [3]
