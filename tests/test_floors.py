"""Noise floors: which pictures of a reference are paired, and their scores: once, only what is missing, kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kreabench.cli.run_table import print_scoring
from kreabench.cli.terminal import console
from kreabench.core.errors import ExitCode
from kreabench.core.planned import Plan, Request
from kreabench.core.score_records import FloorScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS
from kreabench.pairing import RANDOM_WEIGHTS, pictures_of
from kreabench.pairing_floors import FloorPair, compiled_settings, floor_pairs
from kreabench.report.floors import fidelity_report, floors_sentence, floors_table, side_from
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.scoring.chunks import CHUNK_IMAGES
from kreabench.scoring.stage import Scoring
from kreabench.scoring.summary import MetricCounts, ScoringSummary
from tests.scoring_support import deliver, group_of, new_run, reference_and_fast, requests_of, score_with
from tests.support import (
    make_acceleration,
    make_group,
    make_plan,
    make_setting,
    make_target,
    picture,
)

PSNR = MetricSpec(name="psnr", kind="psnr", options={})
SSIM = MetricSpec(name="ssim", kind="ssim", options={})
CLOSE = MetricSpec(name="close", kind="close", options={})
BLUR = MetricSpec(name="blur_effect", kind="blur_effect", options={})


class Close:
    """A fidelity metric that costs nothing, tells what it saw, and breaks on demand."""

    seen: ClassVar[list[tuple[str, str]]] = []
    fault: ClassVar[Callable[[Sequence[ScoreItem]], list[Score]] | None] = None
    needs = ()

    def open(self, shared: Shared) -> dict[str, Any]:
        return {"version": 1}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        Close.seen.extend((item.sha256, item.reference_sha256) for item in items)
        if Close.fault is not None:
            return Close.fault(items)
        return [Score(status="ok", value=0.5) for _ in items]

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def close(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(METRICS["psnr"], location=f"{__name__}:Close", options=f"{__name__}:Close")
    monkeypatch.setitem(METRICS, "close", row)
    monkeypatch.setattr(Close, "seen", [])
    monkeypatch.setattr(Close, "fault", None)


def lone_reference(**changes: Any) -> Plan:
    """A plan of one setting, which is its own reference."""
    return make_plan(group_of(make_setting(width=64, height=64), **changes))


def pairs_of(run: RunDirectory, plan: Plan) -> list[FloorPair]:
    return floor_pairs(pictures_of(run.samples(), plan), run.samples(), plan)


def named(pairs: Sequence[FloorPair], plan: Plan) -> set[tuple[str, str, int, int, int, int]]:
    """Floor and prompt, then seed and repeat of both pictures."""
    requests = {request.id: request for _, request in requests_of(plan)}
    found: set[tuple[str, str, int, int, int, int]] = set()
    for pair in pairs:
        one, other = requests[pair.picture.request_id], requests[pair.partner_request_id]
        assert (one.prompt_id, one.setting_id) == (other.prompt_id, other.setting_id)
        found.add((pair.floor, one.prompt_id, one.seed, one.repeat, other.seed, other.repeat))
    return found


def floors(run: RunDirectory, metric: str = "close") -> dict[tuple[str, str], FloorScoreRecord]:
    """By the requests of both pictures."""
    return {
        (line.score.request_id, line.partner_request_id): line
        for line in run.floor_scores()
        if line.score.metric == metric
    }


def counts(summary: ScoringSummary, metric: str = "close") -> dict[str, int]:
    (found,) = [entry for entry in summary.floors if entry.metric == metric]
    return numbers(found)


def numbers(found: MetricCounts) -> dict[str, int]:
    names = ("scored", "reused", "not_applicable", "infinite", "failed", "left")
    return {name: getattr(found, name) for name in names if getattr(found, name)}


def request_with(plan: Plan, **fields: Any) -> Request:
    (found,) = [r for _, r in requests_of(plan) if all(getattr(r, name) == value for name, value in fields.items())]
    return found


def test_each_picture_is_paired_with_the_next_seed_and_what_was_drawn_again_with_the_first(tmp_path: Path) -> None:
    plan = lone_reference(prompts=2, seeds=(7, 3, 5), repeats=2)
    run = new_run(tmp_path / "run", plan)

    expected = {
        (floor, prompt, *pair)
        for prompt in ("prompt-0", "prompt-1")
        for floor, pair in (
            *(("another_seed", (seed, 0, following, 0)) for seed, following in ((3, 5), (5, 7), (7, 3))),
            *(("itself", (seed, 1, seed, 0)) for seed in (3, 5, 7)),
        )
    }
    assert named(pairs_of(run, plan), plan) == expected


def test_two_seeds_make_one_pair_and_one_seed_none_and_only_references_have_a_floor(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=1, seeds=(0, 1)))
    run = new_run(tmp_path / "two", plan)
    pairs = pairs_of(run, plan)
    assert named(pairs, plan) == {("another_seed", "prompt-0", 0, 0, 1, 0)}
    assert [pair.picture.setting_id for pair in pairs] == [reference.id]

    alone = lone_reference(prompts=2)
    assert pairs_of(new_run(tmp_path / "one", alone), alone) == []


def test_pictures_of_one_request_are_paired_by_index(tmp_path: Path) -> None:
    plan = make_plan(group_of(make_setting(width=64, height=64, num_images=2), prompts=1, seeds=(0, 9)))
    run = new_run(tmp_path / "run", plan)
    pairs = pairs_of(run, plan)
    assert [(pair.picture.image.index, pair.picture.reference and pair.picture.reference.index) for pair in pairs] == [
        (0, 0),
        (1, 1),
    ]


def test_floors_are_scored_by_the_fidelity_metrics_alone_and_equal_pictures_are_told(tmp_path: Path) -> None:
    plan = lone_reference(prompts=2, seeds=(0, 1), repeats=2)
    drawn = {r.id: [picture(64, 64, seed=17 * r.seed + int(r.prompt_id[-1]))] for _, r in requests_of(plan)}
    run = new_run(tmp_path / "run", plan, drawn)

    summary = score_with(run, plan, PSNR, SSIM, BLUR)

    assert [entry.metric for entry in summary.floors] == ["psnr", "ssim"]
    assert counts(summary, "psnr") == {"scored": 2, "infinite": 4}
    assert counts(summary, "ssim") == {"scored": 6}
    images = {sample.request_id: sample.images[0].sha256 for sample in run.samples().values()}
    for name in ("psnr", "ssim"):
        for (own, partner), line in floors(run, name).items():
            assert (line.score.image_sha256, line.score.reference_sha256) == (images[own], images[partner])
            assert (line.floor == "itself") == (images[own] == images[partner])
    assert {line.score.value for line in floors(run, "ssim").values() if line.floor == "itself"} == {1.0}


def test_only_what_is_missing_is_scored_and_again_scores_all(tmp_path: Path) -> None:
    plan = lone_reference(prompts=2, seeds=(0, 1, 2))
    run = new_run(tmp_path / "run", plan)
    assert counts(score_with(run, plan, CLOSE)) == {"scored": 6}
    before = (run.path / "floor_scores.jsonl").read_bytes()
    Close.seen.clear()

    assert counts(score_with(run, plan, CLOSE)) == {"reused": 6}
    assert (Close.seen, (run.path / "floor_scores.jsonl").read_bytes()) == ([], before)

    assert counts(score_with(run, plan, CLOSE, again=True)) == {"scored": 6}
    assert len(Close.seen) == 6


def test_a_picture_drawn_anew_is_compared_anew_on_both_of_its_sides(tmp_path: Path) -> None:
    plan = lone_reference(prompts=2, seeds=(0, 1, 2))
    run = new_run(tmp_path / "run", plan)
    score_with(run, plan, CLOSE)
    request = request_with(plan, prompt_id="prompt-0", seed=1)
    new = deliver(run, plan.settings[0], request, [picture(64, 64, seed=999)]).images[0].sha256
    Close.seen.clear()

    assert counts(score_with(run, plan, CLOSE)) == {"scored": 2, "reused": 4}
    assert [new in pair for pair in Close.seen] == [True, True]


def test_a_metric_with_other_options_scores_its_floor_anew(tmp_path: Path) -> None:
    plan = lone_reference(prompts=1, seeds=(0, 1))
    run = new_run(tmp_path / "run", plan)
    score_with(run, plan, PSNR)
    summary = score_with(run, plan, replace(PSNR, options={"sizes": "shrink"}))
    assert counts(summary, "psnr") == {"scored": 1}


def test_after_a_kill_among_the_floors_only_the_rest_is_scored(tmp_path: Path, monkeypatch: Any) -> None:
    plan = lone_reference(prompts=CHUNK_IMAGES, seeds=(0, 1, 2))
    run = new_run(tmp_path / "run", plan)
    total = 3 * CHUNK_IMAGES

    def die(items: Sequence[ScoreItem]) -> list[Score]:
        if len(Close.seen) > CHUNK_IMAGES:
            raise KeyboardInterrupt
        return [Score(status="ok", value=0.5) for _ in items]

    monkeypatch.setattr(Close, "fault", staticmethod(die))
    with pytest.raises(KeyboardInterrupt):
        score_with(run, plan, CLOSE)
    assert len(floors(run)) == CHUNK_IMAGES
    with (run.path / "floor_scores.jsonl").open("ab") as file:
        file.write(b'{"floor":"another_seed","partn')  # the line that a kill cut off
    assert len(floors(run)) == CHUNK_IMAGES

    monkeypatch.setattr(Close, "fault", None)
    assert counts(score_with(run, plan, CLOSE)) == {"reused": CHUNK_IMAGES, "scored": total - CHUNK_IMAGES}
    assert len(floors(run)) == total


def test_progress_counts_floors(tmp_path: Path) -> None:
    plan = lone_reference(prompts=2, seeds=(0, 1))
    run = new_run(tmp_path / "run", plan)
    told: list[tuple[int, int]] = []

    score_with(run, plan, BLUR, CLOSE, progress=lambda done, total: told.append((done, total)))

    everything = 4 + 4 + 2  # of blur_effect, of close (none applies to a reference), of the floor
    assert told == [(0, everything), (8, everything), (everything, everything)]


def test_what_cannot_be_compared_is_told_with_its_reason(tmp_path: Path) -> None:
    plan = lone_reference(prompts=1, seeds=(0, 1, 2, 3, 4, 5))
    ids = [request_with(plan, seed=seed).id for seed in range(6)]
    run = new_run(tmp_path / "run", plan, {ids[1]: None})
    fourth = request_with(plan, seed=4)
    deliver(run, plan.settings[0], fourth, [picture(64, 64, seed=4)], degenerate="black")

    summary = score_with(run, plan, PSNR)

    assert counts(summary, "psnr") == {"scored": 2, "not_applicable": 3}
    reasons = {own: line.score.reason for (own, _), line in floors(run, "psnr").items()}
    assert reasons[ids[0]] == "the picture of the next seed is missing: its request failed (timeout)"
    assert reasons[ids[3]] == "the picture of the next seed is degenerate: it is all black"
    assert reasons[ids[4]] == "degenerate picture: it is all black"


def test_a_service_that_draws_every_picture_with_one_seed_has_no_floor_of_another(tmp_path: Path) -> None:
    plan = lone_reference(prompts=1, seeds=(0, 1))
    run = new_run(tmp_path / "run", plan)
    for _, request in requests_of(plan):
        deliver(run, plan.settings[0], request, [picture(64, 64, seed=request.seed)], seed=42)

    assert counts(score_with(run, plan, CLOSE)) == {"not_applicable": 1}
    assert [line.score.reason for line in run.floor_scores()] == ["the service drew both pictures with seed 42"]


def test_random_weights_have_no_floor(tmp_path: Path) -> None:
    plan = make_plan(
        group_of(make_setting(width=64, height=64), target=make_target(random_weights=True), prompts=1, seeds=(0, 1))
    )
    run = new_run(tmp_path / "run", plan)
    assert counts(score_with(run, plan, CLOSE)) == {"not_applicable": 1}
    assert {line.score.reason for line in run.floor_scores()} == {RANDOM_WEIGHTS}
    assert Close.seen == []


def test_a_metric_that_breaks_leaves_failures_that_are_tried_again(tmp_path: Path, monkeypatch: Any) -> None:
    plan = lone_reference(prompts=2, seeds=(0, 1))
    run = new_run(tmp_path / "run", plan)

    def crash(_: Sequence[ScoreItem]) -> list[Score]:
        raise ZeroDivisionError("no light")

    monkeypatch.setattr(Close, "fault", staticmethod(crash))
    summary = score_with(run, plan, CLOSE)
    assert (counts(summary), summary.failed, summary.exit_code) == ({"failed": 2}, 2, ExitCode.FAILED_SAMPLES)
    assert {line.score.reason for line in run.floor_scores()} == {"ZeroDivisionError: no light"}

    monkeypatch.setattr(Close, "fault", None)
    assert counts(score_with(run, plan, CLOSE)) == {"scored": 2}


def test_while_drawing_a_picture_waits_for_its_partner(tmp_path: Path) -> None:
    plan = lone_reference(prompts=1, seeds=(0, 1))
    late = request_with(plan, seed=1)
    run = new_run(tmp_path / "run", plan)
    samples = run.samples()
    early = {key: sample for key, sample in samples.items() if key != late.id}
    with run.score_writer() as writer, Scoring(run, plan, metrics=[CLOSE], writer=writer) as scoring:
        scoring.score(early, drawing=True)
        assert run.floor_scores() == []
        scoring.score(samples, drawing=True)
        assert [line.score.status for line in run.floor_scores()] == ["ok"]
        scoring.score(samples)
        assert len(list(run.floor_score_lines())) == 1


def test_a_run_scored_by_an_older_version_has_no_floors_until_it_is_scored_again(tmp_path: Path) -> None:
    plan = lone_reference(prompts=2, seeds=(0, 1))
    run = new_run(tmp_path / "run", plan, metrics=(PSNR,), seeds=(0, 1))
    score_with(run, plan, PSNR)
    scores = (run.path / "scores.jsonl").read_bytes()
    (run.path / "floor_scores.jsonl").unlink()
    assert run.floor_scores() == []
    assert floors_sentence(run, plan, join_table(run, plan)) == ""

    summary = score_with(run, plan, PSNR)

    assert counts(summary, "psnr") == {"scored": 2}
    assert (run.path / "scores.jsonl").read_bytes() == scores
    assert "psnr another seed" in floors_sentence(run, plan, join_table(run, plan))


def test_the_terminal_and_the_report_show_the_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=3, seeds=(0, 1), repeats=2))
    drawn = {r.id: [picture(64, 64, seed=r.seed + 7 * int(r.prompt_id[-1]))] for _, r in requests_of(plan)}
    for _, r in requests_of(plan):
        if r.setting_id == fast.id:
            drawn[r.id] = [picture(64, 64, seed=r.seed + 7 * int(r.prompt_id[-1]) + 500)]
    run = new_run(tmp_path / "run", plan, drawn, metrics=(PSNR,), seeds=(0, 1), repeats=2)

    print_scoring(console(), run.path, score_with(run, plan, PSNR))
    assert "psnr, noise floor" in capsys.readouterr().out

    table = join_table(run, plan)
    assert "psnr drawn again the same picture (6 pairs), another seed" in floors_sentence(run, plan, table)
    shown = floors_table(fidelity_report(side_from(run, plan, table), run.info.experiment))
    assert shown is not None
    rows = [[cell.text for cell in row.cells] for row in shown.rows]
    assert [row[1] for row in rows] == ["drawn again", "another seed", "mini_fake none"]
    assert (rows[0][2], rows[2][4]) == ("∞", "undecided")
    assert shown.notes == ()


def test_with_one_seed_and_one_repeat_the_report_says_what_is_not_known(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=2))
    run = new_run(tmp_path / "run", plan, metrics=(PSNR,))
    score_with(run, plan, PSNR)
    shown = floors_table(fidelity_report(side_from(run, plan, join_table(run, plan)), run.info.experiment))
    assert shown is not None
    assert [note.split(":")[0] for note in shown.notes] == [
        "Drawn with one seed alone",
        "Nothing was drawn twice (repeats, passes)",
    ]


@pytest.mark.parametrize(
    ("features", "steps", "hosted", "found"),
    [
        ({"compile_regional": {}}, 4, False, True),
        ({"compile_full": {}, "fuse_qkv": {}, "attention": {"backend": "native"}}, 4, False, True),
        ({"compile_full": {}}, 2, False, False),
        ({"compile_full": {}}, 4, True, False),
        ({"fuse_qkv": {}}, 4, False, False),
        ({"compile_full": {}, "attention": {"backend": "sage"}}, 4, False, False),
        ({"compile_full": {}, "first_block_cache": {"threshold": 0.1}}, 4, False, False),
        ({"compile_full": {}, "fp8_dynamic": {}}, 4, False, False),
        ({"compile_full": {}, "lora": {"path": "x"}}, 4, False, False),
    ],
)
def test_a_compiled_setting_is_one_that_does_nothing_else_than_its_reference(
    features: dict[str, dict[str, Any]], steps: int, hosted: bool, found: bool
) -> None:
    reference = make_setting()
    fast = make_setting(acceleration="fast", steps=steps, reference_id=reference.id)
    group = make_group(
        (reference, fast),
        target=make_target(hosted=hosted),
        accelerations=(make_acceleration(), make_acceleration(name="fast", features=features)),
    )
    assert compiled_settings(make_plan(group)) == (frozenset({fast.id}) if found else frozenset())
