"""The scoring stage: every metric of every picture once, only what is missing, and no fault that spreads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from kreabench.backends.base import GeneratedImage
from kreabench.core.errors import EnvironmentProblem, ExitCode, Problem, RunDirectoryError
from kreabench.core.planned import (
    Plan,
)
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import METRICS, MetricRow
from kreabench.rundir import pictures
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.images import store_image
from kreabench.scoring.chunks import CHUNK_IMAGES
from kreabench.scoring.summary import ScoringSummary
from tests.scoring_support import (
    counts,
    deliver,
    group_of,
    new_run,
    reference_and_fast,
    requests_of,
    score_with,
    scores,
)
from tests.support import encode_image, make_plan, make_request, make_sample, make_setting, make_target, picture


class Recorder:
    """A metric of mean brightness that tells what it saw, and breaks on demand."""

    seen: ClassVar[list[ScoreItem]] = []
    opened: ClassVar[int] = 0
    closed: ClassVar[int] = 0
    fault: ClassVar[Callable[[Sequence[ScoreItem]], list[Score]] | None] = None
    open_fault: ClassVar[Exception | None] = None

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.needs = ()

    def open(self, shared: Shared) -> dict[str, Any]:
        if Recorder.open_fault is not None:
            raise Recorder.open_fault
        Recorder.opened += 1
        return {"version": self.version}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        Recorder.seen.extend(items)
        if Recorder.fault is not None:
            return Recorder.fault(items)
        return [Score(status="ok", value=sum(item.image.resize((1, 1)).getpixel((0, 0)))) for item in items]  # type: ignore[arg-type]

    def close(self) -> None:
        Recorder.closed += 1


BRIGHTNESS = MetricSpec(name="brightness", kind="brightness", options={})
PSNR = MetricSpec(name="psnr", kind="psnr", options={})
SSIM = MetricSpec(name="ssim", kind="ssim", options={})


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    row = MetricRow(
        location=f"{__name__}:Recorder",
        options=f"{__name__}:Recorder",
        unit="1",
        better="higher",
        range=(0.0, 765.0),
        needs_reference=False,
        summary="mean brightness",
        bias="none",
        cost="none",
    )
    monkeypatch.setitem(METRICS, "brightness", row)
    monkeypatch.setattr(Recorder, "seen", [])
    for name, value in (("opened", 0), ("closed", 0), ("fault", None), ("open_fault", None)):
        monkeypatch.setattr(Recorder, name, value)
    return Recorder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the pictures that are read, in order."""
    paths: list[str] = []
    real = pictures.read_picture

    def counting(run_path: Path, record: Any) -> Image.Image:
        paths.append(record.path)
        return real(run_path, record)

    monkeypatch.setattr("kreabench.scoring.chunks.read_picture", counting)
    return paths


def score(run: RunDirectory, plan: Plan, *metrics: MetricSpec, **options: Any) -> ScoringSummary:
    return score_with(run, plan, *(metrics or (BRIGHTNESS,)), **options)


def test_every_picture_gets_one_score_of_every_metric(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)

    summary = score(run, plan, BRIGHTNESS, PSNR, SSIM)

    assert counts(summary) == {"scored": 4}
    assert counts(summary, "psnr") == counts(summary, "ssim") == {"scored": 2, "not_applicable": 2}
    assert (summary.problems, summary.failed) == ((), 0)
    records = list(run.scores())
    assert len(records) == 12
    sha256 = {(request_id, image.index): image.sha256 for request_id, s in run.samples().items() for image in s.images}
    assert all(sha256[record.request_id, record.image_index] == record.image_sha256 for record in records)
    assert len({(record.metric, record.identity) for record in records}) == 3


def test_a_metric_sees_the_picture_the_prompt_and_the_right_reference(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(METRICS, "brightness", replace(METRICS["brightness"], needs_reference=True))
    reference, fast = reference_and_fast(num_images=2)
    plan = make_plan(group_of(reference, fast, prompts=2, seeds=(0, 1), repeats=2))
    run = new_run(tmp_path / "run", plan)
    number = {(r.setting_id, r.prompt, r.seed, r.repeat): n for n, (_, r) in enumerate(requests_of(plan))}

    score(run, plan)

    expected = {
        (
            picture(64, 64, seed=10 * n + index).tobytes(),
            prompt,
            picture(64, 64, seed=10 * number[reference.id, prompt, seed, repeat] + index).tobytes(),
        )
        for (setting_id, prompt, seed, repeat), n in number.items()
        for index in range(2)
        if setting_id == fast.id
    }
    assert len(expected) == 16
    seen = [(item.image.tobytes(), item.prompt, item.reference and item.reference.tobytes()) for item in Recorder.seen]
    seen = seen[: len(expected)]  # pairs of the noise floor follow
    assert sorted(seen) == sorted(expected)


def test_scoring_again_computes_nothing(tmp_path: Path, reads: list[str]) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    score(run, plan, BRIGHTNESS, PSNR)
    before = (run.path / "scores.jsonl").read_bytes()
    reads.clear()
    Recorder.seen.clear()

    summary = score(run, plan, BRIGHTNESS, PSNR)

    assert counts(summary) == counts(summary, "psnr") == {"reused": 4}
    assert (reads, Recorder.seen) == ([], [])
    assert (run.path / "scores.jsonl").read_bytes() == before


def test_again_computes_everything(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    score(run, plan)

    assert counts(score(run, plan, again=True)) == {"scored": 4}
    assert len(Recorder.seen) == 8


def test_only_new_samples_are_scored(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    late_setting, late = requests_of(plan)[3]
    run = new_run(tmp_path / "run", plan, {late.id: None})
    assert counts(score(run, plan)) == {"scored": 3}
    Recorder.seen.clear()

    deliver(run, late_setting, late, [picture(64, 64, seed=77)])

    assert counts(score(run, plan)) == {"scored": 1, "reused": 3}
    assert [item.image.tobytes() for item in Recorder.seen] == [picture(64, 64, seed=77).tobytes()]


def test_a_picture_that_was_drawn_anew_is_scored_anew_and_so_is_what_was_compared_with_it(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=1))
    run = new_run(tmp_path / "run", plan)
    score(run, plan, BRIGHTNESS, PSNR)
    (_, request) = next(entry for entry in requests_of(plan) if entry[0].id == reference.id)

    new = deliver(run, reference, request, [picture(64, 64, seed=500)])
    summary = score(run, plan, BRIGHTNESS, PSNR)

    assert counts(summary) == {"scored": 1, "reused": 1}
    assert counts(summary, "psnr") == {"scored": 1, "not_applicable": 1}
    compared = [record for record in scores(run, "psnr").values() if record.status == "ok"]
    assert [record.reference_sha256 for record in compared] == [new.images[0].sha256]


def test_a_changed_metric_is_scored_anew_and_not_mixed(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    score(run, plan)
    old = {record.identity for record in run.scores()}

    summary = score(run, plan, replace(BRIGHTNESS, options={"version": 2}))

    assert counts(summary) == {"scored": 4}
    new = {record.identity for record in run.scores()}
    assert len(new) == 1
    assert new != old


def test_two_metrics_of_one_kind_are_kept_apart(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    other = MetricSpec(name="other", kind="brightness", options={"version": 2})

    summary = score(run, plan, BRIGHTNESS, other)

    assert counts(summary) == counts(summary, "other") == {"scored": 4}


def test_an_interrupt_keeps_what_was_scored_and_the_rest_follows(tmp_path: Path, monkeypatch: Any) -> None:
    settings = reference_and_fast()
    plan = make_plan(group_of(*settings, prompts=CHUNK_IMAGES))
    run = new_run(tmp_path / "run", plan)

    def interrupt(items: Sequence[ScoreItem]) -> list[Score]:
        if len(Recorder.seen) > CHUNK_IMAGES:
            raise KeyboardInterrupt
        return [Score(status="ok", value=1.0) for _ in items]

    monkeypatch.setattr(Recorder, "fault", staticmethod(interrupt))
    with pytest.raises(KeyboardInterrupt):
        score(run, plan)
    assert len(scores(run)) == CHUNK_IMAGES
    assert Recorder.closed == Recorder.opened == 1

    monkeypatch.setattr(Recorder, "fault", None)
    assert counts(score(run, plan)) == {"scored": CHUNK_IMAGES, "reused": CHUNK_IMAGES}


def test_progress_is_told_from_nothing_to_all(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=CHUNK_IMAGES))
    run = new_run(tmp_path / "run", plan)
    told: list[tuple[int, int]] = []

    score(run, plan, BRIGHTNESS, PSNR, progress=lambda done, total: told.append((done, total)))

    everything = 2 * 2 * CHUNK_IMAGES
    assert told == [(0, everything), (everything // 2, everything), (everything, everything)]


def test_a_metric_that_crashes_costs_only_its_own_scores(tmp_path: Path, monkeypatch: Any) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)

    def crash(_: Sequence[ScoreItem]) -> list[Score]:
        raise ZeroDivisionError("no light\nat all")

    monkeypatch.setattr(Recorder, "fault", staticmethod(crash))
    summary = score(run, plan, BRIGHTNESS, PSNR)

    assert counts(summary) == {"failed": 4}
    assert counts(summary, "psnr") == {"scored": 2, "not_applicable": 2}
    assert summary.failed == 4
    assert {(record.status, record.value, record.reason) for record in scores(run).values()} == {
        ("failed", None, "ZeroDivisionError: no light at all")
    }

    monkeypatch.setattr(Recorder, "fault", None)
    assert counts(score(run, plan)) == {"scored": 4}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [Score(status="ok", value=math.nan)] * 2,
        [Score(status="ok", value=math.inf)] * 2,
        [Score(status="ok", value=None)] * 2,
        [Score(status="infinite", value=1.0)] * 2,
        [Score(status="not_applicable", value=math.nan)] * 2,
        [Score(status="ok", value=1.0, details={"part": math.nan})] * 2,
        [Score(status="ok", value=math.nan, usd=math.nan)] * 2,
    ],
)
def test_a_metric_that_answers_nonsense_has_failed(tmp_path: Path, monkeypatch: Any, answer: list[Score]) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    monkeypatch.setattr(Recorder, "fault", staticmethod(lambda _: answer))

    assert counts(score(run, plan)) == {"failed": 2}
    assert all(record.value is None and "gave" in record.reason for record in scores(run).values())


def test_a_reason_that_no_file_can_hold_does_not_stop_the_scoring(tmp_path: Path, monkeypatch: Any) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    bad = Score(status="failed", value=None, reason="broken \udcff name " + "x" * 100_000)
    monkeypatch.setattr(Recorder, "fault", staticmethod(lambda items: [bad for _ in items]))

    assert counts(score(run, plan)) == {"failed": 2}
    assert all(len(record.reason) <= 1000 for record in scores(run).values())


def test_a_metric_that_cannot_be_opened_leaves_the_others_and_names_its_key(tmp_path: Path, monkeypatch: Any) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)
    problem = Problem(key="options.weights", found="'lost.pt'", expected="a file", remedy="Fetch it first")
    monkeypatch.setattr(Recorder, "open_fault", EnvironmentProblem([problem]))

    summary = score(run, plan, BRIGHTNESS, PSNR)

    assert [p.key for p in summary.problems] == ["metrics.brightness.options.weights"]
    assert counts(summary) == {"failed": 4}
    assert counts(summary, "psnr") == {"scored": 2, "not_applicable": 2}
    for record in scores(run).values():
        assert record.status == "failed"
        assert "metrics.brightness.options.weights" in record.reason
        assert "Fetch it first" in record.reason

    monkeypatch.setattr(Recorder, "open_fault", None)
    assert counts(score(run, plan)) == {"scored": 4}

    monkeypatch.setattr(Recorder, "open_fault", EnvironmentProblem([problem]))
    summary = score(run, plan, again=True)
    assert counts(summary) == {"reused": 4}, "what it has stays"
    assert summary.exit_code == ExitCode.FAILED_SAMPLES, "but it was not scored anew"


def test_the_longest_message_about_weights_keeps_its_remedy(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    missing = str(tmp_path / "missing.safetensors")
    clip = MetricSpec(name="clip", kind="clip_score", options={"model": "ViT-B-32", "weights": missing})

    summary = score(run, plan, clip)

    assert [problem.key for problem in summary.problems] == ["metrics.clip.options.weights"]
    assert all(record.reason.endswith(summary.problems[0].remedy) for record in scores(run, "clip").values())


@pytest.mark.parametrize("again", [False, True])
def test_scores_that_are_held_outlive_a_metric_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: Any, again: bool
) -> None:
    plan = make_plan(group_of())
    late_setting, late = requests_of(plan)[3]
    run = new_run(tmp_path / "run", plan, {late.id: None})
    score(run, plan)
    deliver(run, late_setting, late, [picture(64, 64)])
    monkeypatch.setattr(Recorder, "open_fault", OSError("library gone"))

    summary = score(run, plan, again=again)

    assert counts(summary) == {"reused": 3, "failed": 1}
    assert "library gone" in summary.problems[0].found
    # One identity, or the table would show none of the three.
    assert len({record.identity for record in run.scores()}) == 1


def test_options_that_a_metric_refuses_are_its_problem(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan)

    summary = score(run, plan, replace(BRIGHTNESS, options={"colour": "red"}))

    assert [problem.key for problem in summary.problems] == ["metrics.brightness"]
    assert counts(summary) == {"failed": 4}


def test_a_damaged_picture_fails_with_its_reason_and_so_does_what_is_compared_with_it(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=2))
    run = new_run(tmp_path / "run", plan)
    damaged = next(request for setting, request in requests_of(plan) if setting.id == reference.id)
    path = run.path / run.samples()[damaged.id].images[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    summary = score(run, plan, BRIGHTNESS, PSNR)

    assert counts(summary) == {"scored": 3, "failed": 1}
    assert counts(summary, "psnr") == {"scored": 1, "not_applicable": 2, "failed": 1}
    failed = [record for record in run.scores() if record.status == "failed"]
    assert all("changed after it was stored" in record.reason for record in failed)
    assert [record.reason.startswith("the reference: ") for record in failed if record.metric == "psnr"] == [True]

    path.write_bytes(whole)
    assert counts(score(run, plan)) == {"scored": 1, "reused": 3}


def test_a_picture_that_is_gone_fails_with_its_reason(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    first = next(iter(run.samples().values()))
    (run.path / first.images[0].path).unlink()

    assert counts(score(run, plan)) == {"scored": 1, "failed": 1}
    assert "is gone" in scores(run)[first.request_id, 0].reason


def test_why_there_is_no_fidelity(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    alone = make_setting(steps=9, width=64, height=64, reference_id=None)
    plan = make_plan(group_of(reference, fast, alone, prompts=2))
    failed = next(r for s, r in requests_of(plan) if s.id == reference.id and r.prompt_id == "prompt-1")
    run = new_run(tmp_path / "run", plan, {failed.id: None})

    score(run, plan, PSNR)

    reasons = {
        (setting.steps, request.prompt_id): scores(run, "psnr")[request.id, 0].reason
        for setting, request in requests_of(plan)
        if request.id != failed.id
    }
    assert reasons == {
        (4, "prompt-0"): "this is the reference",
        (2, "prompt-0"): "",
        (2, "prompt-1"): "the reference is missing: its request failed (timeout)",
        (9, "prompt-0"): "no reference setting is planned",
        (9, "prompt-1"): "no reference setting is planned",
    }


def test_a_reference_that_comes_later_is_used_then(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=1))
    run = new_run(tmp_path / "run", plan, {request.id: None for _, request in requests_of(plan)})
    of_setting = {setting.id: request for setting, request in requests_of(plan)}
    deliver(run, fast, of_setting[fast.id], [picture(64, 64)])
    assert counts(score(run, plan, PSNR), "psnr") == {"not_applicable": 1}
    assert counts(score(run, plan, PSNR), "psnr") == {"reused": 1}

    deliver(run, reference, of_setting[reference.id], [picture(64, 64)])

    assert counts(score(run, plan, PSNR), "psnr") == {"infinite": 1, "not_applicable": 1}


def test_a_request_that_has_not_run_is_no_reference_yet(tmp_path: Path) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=1))
    run = new_run(tmp_path / "run", make_plan(replace(plan.groups[0], requests=())))
    request = next(request for setting, request in requests_of(plan) if setting.id == fast.id)
    deliver(run, fast, request, [picture(64, 64)])

    score(run, plan, PSNR)
    assert "has not run" in scores(run, "psnr")[request.id, 0].reason

    other = next(request for setting, request in requests_of(plan) if setting.id == reference.id)
    deliver(run, reference, other, None)
    score(run, plan, PSNR)
    assert "its request failed" in scores(run, "psnr")[request.id, 0].reason


def test_fewer_pictures_in_the_reference(tmp_path: Path) -> None:
    reference, fast = reference_and_fast(num_images=2)
    plan = make_plan(group_of(reference, fast, prompts=1))
    request = {setting.id: request for setting, request in requests_of(plan)}
    run = new_run(tmp_path / "run", plan, {request[reference.id].id: [picture(64, 64)]})

    score(run, plan, PSNR)

    assert scores(run, "psnr")[request[fast.id].id, 0].status == "ok"
    assert "no picture 1" in scores(run, "psnr")[request[fast.id].id, 1].reason


def test_degenerate_pictures_are_kept_out_of_every_metric(tmp_path: Path, reads: list[str]) -> None:
    reference, fast = reference_and_fast()
    plan = make_plan(group_of(reference, fast, prompts=2))
    black = next(request for setting, request in requests_of(plan) if setting.id == reference.id)
    run = new_run(tmp_path / "run", plan, {black.id: [Image.new("RGB", (64, 64))]})

    summary = score(run, plan, BRIGHTNESS, PSNR)

    assert counts(summary) == {"scored": 3, "not_applicable": 1}
    assert scores(run)[black.id, 0].reason == "degenerate picture: it is all black"
    assert counts(summary, "psnr") == {"scored": 1, "not_applicable": 3}
    assert {record.reason for record in scores(run, "psnr").values()} == {
        "",
        "this is the reference",
        "degenerate picture: it is all black",
        "the reference is degenerate: it is all black",
    }
    assert run.samples()[black.id].images[0].path not in reads
    assert counts(score(run, plan, BRIGHTNESS, PSNR)) == {"reused": 4}


@pytest.mark.parametrize("colour", ["black", None])
def test_a_flagged_picture_is_kept_out_blanked_or_not(tmp_path: Path, colour: str | None) -> None:
    setting = make_setting(width=64, height=64)
    plan = make_plan(group_of(setting, prompts=1))
    run = new_run(tmp_path / "run", make_plan(replace(plan.groups[0], requests=())))
    image = Image.new("RGB", (64, 64), colour) if colour else picture(64, 64)
    deliver(run, setting, requests_of(plan)[0][1], [image], nsfw=True)

    score(run, plan)

    (record,) = scores(run).values()
    assert record.status == "not_applicable"
    assert "safety checker" in record.reason


def test_a_flagged_reference_is_compared_with_nothing(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    (setting, request), *_ = [entry for entry in requests_of(plan) if entry[0].steps == 4]
    deliver(run, setting, request, [picture(64, 64)], nsfw=True)

    score(run, plan, PSNR)

    reasons = {record.reason for record in scores(run, "psnr").values()}
    assert reasons == {"the safety checker flagged the picture", "the safety checker flagged the reference"}


def test_pictures_of_random_weights_are_scored_by_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(group_of(target=make_target(random_weights=True)))
    run = new_run(tmp_path / "run", plan)
    monkeypatch.setattr(Recorder, "open_fault", RuntimeError("made up"))

    for again in (False, True):
        summary = score(run, plan, BRIGHTNESS, PSNR, again=again)
        assert counts(summary) == counts(summary, "psnr") == {"not_applicable": 4}
        assert (summary.problems, summary.failed) == ((), 0)
    assert Recorder.opened == 0
    assert {record.reason for record in run.scores()} == {"random weights: their pictures mean nothing"}
    assert counts(score(run, plan, BRIGHTNESS, PSNR)) == {"reused": 4}


def test_each_picture_is_read_once_and_references_only_when_needed(tmp_path: Path, reads: list[str]) -> None:
    plan = make_plan(group_of(prompts=2))
    run = new_run(tmp_path / "run", plan)

    score(run, plan, BRIGHTNESS, PSNR, SSIM)
    assert len(reads) == len(set(reads)) == 4

    reads.clear()
    (setting, request) = next(entry for entry in requests_of(plan) if entry[0].steps == 2)
    deliver(run, setting, request, [picture(64, 64, seed=99)])
    score(run, plan, BRIGHTNESS)
    assert reads == [run.samples()[request.id].images[0].path]


def test_large_pictures_are_scored_few_at_a_time(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("kreabench.scoring.chunks.CHUNK_PIXELS", 2 * 64 * 64)
    plan = make_plan(group_of(prompts=3))
    run = new_run(tmp_path / "run", plan)
    sizes: list[int] = []

    def count(items: Sequence[ScoreItem]) -> list[Score]:
        sizes.append(len(items))
        return [Score(status="ok", value=0.0) for _ in items]

    monkeypatch.setattr(Recorder, "fault", staticmethod(count))
    score(run, plan)

    assert sizes == [2, 2, 2]


def test_a_lossy_format_is_told_to_the_metric(tmp_path: Path) -> None:
    plan = make_plan(group_of(prompts=1))
    run = new_run(tmp_path / "run", plan)
    setting, request = requests_of(plan)[0]
    content = encode_image(picture(64, 64), "JPEG")
    stored = store_image(run.path, setting, request, 0, GeneratedImage(content=content, seed=None, nsfw=None))
    with run.writer() as writer:
        writer.append(make_sample(request, images=(stored,)))

    score(run, plan)

    assert sorted(item.format for item in Recorder.seen) == ["jpeg", "png"]


def test_without_pictures_no_model_is_loaded(tmp_path: Path) -> None:
    plan = make_plan(group_of())
    run = new_run(tmp_path / "run", plan, {request.id: None for _, request in requests_of(plan)})

    summary = score(run, plan)

    assert counts(summary) == {}
    assert Recorder.opened == 0
    assert list(run.scores()) == []


def test_a_run_of_another_plan_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run", make_plan(group_of()))

    with pytest.raises(RunDirectoryError, match="another plan"):
        score(run, make_plan(group_of(make_setting(steps=7, width=64, height=64))))


def test_random_weights_and_cut_prompts_are_flagged(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "cache"))
    setting = make_setting(width=64, height=64)
    short, long = (make_request(setting, prompt_id=text[:5], prompt=text) for text in ("a dog", "many dogs " * 50))
    plan = make_plan(replace(group_of(setting), requests=(short, long)))
    run = new_run(tmp_path / "run", plan)
    clip = MetricSpec(
        name="clip",
        kind="clip_score",
        options={"model": "builtin:mini-untrained", "weights": "random", "untrained": True, "device": "cpu"},
    )

    score(run, plan, clip, PSNR)

    assert {record.untrained for record in scores(run, "clip").values()} == {True}
    assert {record.untrained for record in scores(run, "psnr").values()} == {False}
    assert {record.request_id: record.truncated for record in scores(run, "clip").values()} == {
        short.id: False,
        long.id: True,
    }
    assert {record.status for record in scores(run, "clip").values()} == {"ok"}
