"""A canary's folder: which runs are days, what the gate says of their scores, and what a program is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.config.gate_policies import load_policy
from kreabench.core.errors import ConfigError, ExitCode, RunDirectoryError
from kreabench.core.ids import stable_hash
from kreabench.core.planned import Request
from kreabench.core.records import LoadRecord
from kreabench.core.specs import MetricSpec
from kreabench.decisions.canary import CanaryResult, judge_canary
from kreabench.decisions.canary_days import Drawn, open_days
from kreabench.plan_build import build_plan
from kreabench.report.canary.json_file import render_json
from kreabench.report.canary.words import course, headline, rows
from kreabench.watching.distances import DISTANCES_FILE, distances
from kreabench.watching.watch import LOCK_FILE, Question, watching
from tests.support import (
    UTC,
    encode_image,
    make_experiment,
    make_failure,
    make_image_record,
    make_prompt,
    make_run,
    make_sample,
    make_score,
    picture,
)

CLIP = MetricSpec(name="clip", kind="clip_score", options={})
QUESTION = Question(false_alarms_per_year=0.2, measure="ssim", policy="canary")


def write_day(
    folder: Path,
    number: int,
    *,
    model: str = "old",
    score: Callable[[Request], float] = lambda request: 30 + int(request.prompt_id[-1]),
    identity: str = "clip-1",
    failing: Sequence[str] = (),
    drawn: float = 1.0,
    **changes: Any,
) -> None:
    """Day `number` of January: eight prompts, each drawn twice, at a service that repeats exactly."""
    given = {"prompts": tuple(map(make_prompt, range(8))), "repeats": 2, "metrics": (CLIP,)} | changes
    experiment = make_experiment(**given)
    plan = build_plan(experiment)
    created = UTC.replace("-01-02T", f"-01-{number:02d}T")
    run = make_run(folder / f"day-{number}", experiment=experiment, plan_hash=plan.hash, created_utc=created)
    (group,) = plan.groups
    chosen = group.requests[: round(drawn * len(group.requests))]
    samples = []
    for request in chosen:
        sha = hashlib.sha256(stable_hash([model, request.prompt_id, request.seed]).encode()).hexdigest()
        failed = {"error": make_failure(type="server_error")} if request.prompt_id in failing else {}
        image = make_image_record(sha256=sha, seed=request.seed)
        samples.append(make_sample(request, group_id=group.id, images=(image,), **failed))
    with run.writer() as writer, run.score_writer() as scores:
        load = LoadRecord(group_id=group.id, target=group.target.name, started_utc=UTC, load_s=0.1, identity={})
        writer.append(load)
        for sample in samples:
            writer.append(sample)
        scores.append_scores(
            [
                make_score(sample, identity=identity, value=score(request))
                for request, sample in zip(chosen, samples, strict=True)
                if sample.images
            ]
        )


def far(pairs: Sequence[tuple[Drawn, Drawn]]) -> list[float | None]:
    return [0.0 if first.sha256 == second.sha256 else 0.5 for first, second in pairs]


def judged(folder: Path) -> CanaryResult:
    days, notices = open_days(folder)
    return judge_canary(days, far, load_policy("canary", {"clip"}), notices=notices)


def test_a_change_of_model_is_judged_by_its_scores_too(tmp_path: Path) -> None:
    for number in (1, 2):
        write_day(tmp_path, number)
    write_day(tmp_path, 3, model="new", score=lambda request: 27 + 1.01 * int(request.prompt_id[-1]))
    found = judged(tmp_path)
    assert found.alarms == ("pictures", "scores")
    assert found.scores.base is not None
    assert found.scores.base.name == "day-1"
    assert found.exit_code(ExitCode.FAILED_SAMPLES) == ExitCode.REGRESSION
    assert headline(found) == "the hosted model changed; its pictures score worse"
    assert course(found) == "*=C"
    write_day(tmp_path, 4, model="new", score=lambda request: 27 + 1.01 * int(request.prompt_id[-1]))
    after = judged(tmp_path)
    assert (after.alarms, after.exit_code()) == ((), ExitCode.DONE)
    assert after.scores.base is not None
    assert after.scores.base.name == "day-3"


def test_a_change_that_scores_no_worse_is_a_change_all_the_same(tmp_path: Path) -> None:
    write_day(tmp_path, 1)
    write_day(tmp_path, 2, model="new")
    found = judged(tmp_path)
    assert found.alarms == ("pictures",)
    assert found.scores.gate is not None
    assert found.scores.gate.policy.level == 0.05
    assert "no loss is established against day-1" in {name: why for name, _, why in rows(found)}["scores"]


def test_an_unchanged_day_is_judged_at_the_level_of_a_daily_test(tmp_path: Path) -> None:
    for number in (1, 2):
        write_day(tmp_path, number)
    found = judged(tmp_path)
    assert found.scores.gate is not None
    assert found.scores.gate.policy.level == found.level == pytest.approx(0.2 / 365.25 / 3)
    assert found.scores.gate.outcome == "passed"


def test_scores_that_were_made_otherwise_are_not_compared_and_it_is_said(tmp_path: Path) -> None:
    write_day(tmp_path, 1)
    write_day(tmp_path, 2, identity="clip-2")
    found = judged(tmp_path)
    assert (found.alarms, found.exit_code()) == ((), ExitCode.INCONCLUSIVE)
    assert "other weights or options" in found.scores.reason


@pytest.mark.parametrize(
    ("how", "failures"),
    [({"failing": ["prompt-0", "prompt-5"]}, {"server_error": 4}), ({"drawn": 0.75}, {})],
)
def test_failures_are_counted_and_hidden_by_nothing(tmp_path: Path, how: dict[str, Any], failures: Any) -> None:
    write_day(tmp_path, 1)
    write_day(tmp_path, 2, **how)
    found = judged(tmp_path)
    assert (found.day.requests, found.day.delivered, found.day.failed) == (16, 12, 4)
    assert dict(found.day.failures) == failures
    assert found.pictures[-1].state == "identical"
    assert (found.alarms, found.exit_code()) == ((), ExitCode.FAILED_SAMPLES)
    assert "4 of 16 requests failed" in headline(found)


def test_runs_that_asked_for_something_else_or_cannot_be_read_do_not_count_and_are_named(tmp_path: Path) -> None:
    write_day(tmp_path, 1)
    axes = replace(make_experiment().axes, steps=(2,))
    write_day(tmp_path, 2, axes=axes)
    other = tuple(make_prompt(number, text="something else") for number in range(8))
    write_day(tmp_path, 3, prompts=other)
    write_day(tmp_path, 4)
    (tmp_path / "day-4" / "run.json").write_text("{")
    write_day(tmp_path, 5, prompts=tuple(map(make_prompt, range(6))))
    days, notices = open_days(tmp_path)
    assert [day.name for day in days] == ["day-1", "day-5"]
    assert days[0].requests == days[1].requests == 12
    told = " ".join(notices)
    assert "day-4 cannot be read" in told
    assert "day-2 asked for something else" in told
    assert "day-3 asked for something else" in told


def test_a_program_is_told_everything_in_numbers(tmp_path: Path) -> None:
    write_day(tmp_path, 1)
    write_day(tmp_path, 2, model="new")
    found = judged(tmp_path)
    content = json.loads(render_json(found, "krea_fal", found.exit_code()))
    assert (content["schema_version"], content["exit_code"], content["alarms"]) == (1, 1, ["pictures"])
    assert content["pictures"]["separation"]["between"] == 0.5
    assert content["pictures"]["exact"] is True
    assert content["scores"]["gate"]["outcome"] == content["scores"]["outcome"]
    assert [day["pictures"] for day in content["days"]] == ["first", "changed"]
    assert content["day"] == content["days"][-1]


def test_an_empty_folder_and_a_watched_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder with a run"):
        open_days(tmp_path)
    with watching(tmp_path / "new", QUESTION, {}) as watch:
        assert watch.repeats("another setting") == 2
        assert (tmp_path / "new" / LOCK_FILE).exists()
        with pytest.raises(RunDirectoryError, match="in use by another"), watching(tmp_path / "new", QUESTION, {}):
            pass


def test_distances_are_measured_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for seed in (0, 1):
        for kind in ("PNG", "JPEG"):
            content = encode_image(picture(64, 64, seed=seed), kind, **({"quality": 40} if kind == "JPEG" else {}))
            path = tmp_path / f"{seed}.{kind.lower()}"
            path.write_bytes(content)
            sha = hashlib.sha256(content).hexdigest()
            pictures.append(Drawn(sha256=sha, path=path, size=(64, 64), degenerate=False))
    lossless, lossy, other, _ = pictures
    copy = tmp_path / "copy.png"
    copy.write_bytes(encode_image(picture(64, 64, seed=0), "PNG", compress_level=0))
    stored_otherwise = replace(lossless, sha256=hashlib.sha256(copy.read_bytes()).hexdigest(), path=copy)
    pairs = [(lossless, lossless), (lossless, stored_otherwise), (lossless, lossy), (other, lossless)]
    with distances(tmp_path, "ssim", {}) as distance:
        first = distance(pairs)
        assert distance([(other, replace(lossy, sha256="gone", path=tmp_path / "gone.png"))]) == [None]
    assert first[:2] == [0.0, 0.0]
    assert first[2] is not None
    assert first[3] is not None
    assert 0 < first[2] < 0.3 < first[3]
    lines = (tmp_path / DISTANCES_FILE).read_text().splitlines()
    assert len(lines) == 3
    for one in pictures:
        one.path.unlink()
    with distances(tmp_path, "ssim", {}) as distance:
        assert distance(pairs) == first
    with distances(tmp_path, "ms_ssim", {}) as distance:
        assert distance(pairs)[2:] == [None, None], "what another metric measured does not count"
    (tmp_path / DISTANCES_FILE).write_text("{\n")
    with distances(tmp_path, "ssim", {}) as distance, pytest.raises(RunDirectoryError, match="it is made again"):
        distance(pairs)
