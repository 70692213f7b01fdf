"""Bad input costs its own scores alone, and old runs take new metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench import pipeline
from kreabench.core.planned import Plan
from kreabench.core.records import SCHEMA_VERSION
from kreabench.core.specs import MetricSpec
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory
from tests.scoring_support import counts, deliver, group_of, new_run, requests_of, score_with, scores
from tests.support import make_experiment, make_plan, make_request, make_setting, picture

PSNR = MetricSpec(name="psnr", kind="psnr", options={})
SSIM = MetricSpec(name="ssim", kind="ssim", options={})
MINI = MetricSpec(
    name="clip",
    kind="clip_score",
    options={"model": "builtin:mini-untrained", "weights": "random", "untrained": True, "device": "cpu"},
)


def pair(width: int, height: int, **changes: Any) -> tuple[Any, Any]:
    reference = make_setting(steps=4, width=width, height=height, **changes)
    return reference, make_setting(steps=2, width=width, height=height, reference_id=reference.id, **changes)


def test_sizes_from_tiny_to_wide_are_scored_in_one_go(tmp_path: Path) -> None:
    sizes = [(16, 16), (64, 48), (768, 16), (256, 256)]
    plan = make_plan(group_of(*(setting for size in sizes for setting in pair(*size)), prompts=2))
    run = new_run(tmp_path / "run", plan)

    summary = score_with(run, plan, PSNR, SSIM)

    assert counts(summary, "psnr") == counts(summary, "ssim") == {"scored": 8, "not_applicable": 8}


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "another", "a folder"])
def test_a_damaged_file_fails_alone(tmp_path: Path, damage: str) -> None:
    plan = make_plan(group_of(*pair(64, 64), prompts=3))
    run = new_run(tmp_path / "run", plan)
    hurt = next(request for setting, request in requests_of(plan) if setting.steps == 2)
    path = run.path / run.samples()[hurt.id].images[0].path
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes({"cut": content[:100], "empty": b"", "another": content + b"x"}[damage])

    summary = score_with(run, plan, PSNR)

    assert counts(summary, "psnr") == {"scored": 2, "not_applicable": 3, "failed": 1}
    record = scores(run, "psnr")[hurt.id, 0]
    assert record.status == "failed"
    assert record.value is None
    assert record.reason


def test_prompts_empty_endless_and_in_any_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "cache"))
    setting = make_setting(width=64, height=64)
    texts = {
        "empty": "",
        "blank": "  ",
        "endless": "dogs " * 2000,
        "script": "红色的自行车 دراجة 🚲",
        "odd": "\x00\u202e",
    }
    requests = tuple(make_request(setting, prompt_id=name, prompt=text) for name, text in texts.items())
    plan = make_plan(replace(group_of(setting), requests=requests))
    run = new_run(tmp_path / "run", plan)

    score_with(run, plan, MINI)

    found = {request.prompt_id: scores(run, "clip")[request.id, 0] for request in requests}
    assert {name for name, record in found.items() if record.status == "ok"} == {"endless", "script", "odd"}
    assert {found[name].reason for name in ("empty", "blank")} == {"the prompt has no words"}
    assert found["endless"].truncated


def test_a_metric_of_another_version_fails_and_the_rest_is_scored(tmp_path: Path) -> None:
    plan = make_plan(group_of(*pair(64, 64)))
    run = new_run(tmp_path / "run", plan)

    summary = score_with(run, plan, MetricSpec(name="old", kind="of_another_version", options={}), PSNR)

    assert counts(summary, "old") == {"failed": 4}
    assert counts(summary, "psnr") == {"scored": 2, "not_applicable": 2}
    assert [problem.key for problem in summary.problems] == ["metrics.old"]


def old_run(path: Path) -> tuple[RunDirectory, Plan]:
    """A finished run as an older version left it: schema 2, without what came later."""
    experiment = make_experiment(metrics=(PSNR,))
    run = pipeline.start(path, experiment, "", {})
    plan = build_plan(experiment)
    for number, (setting, request) in enumerate(requests_of(plan)):
        deliver(run, setting, request, [picture(setting.width, setting.height, seed=number)])
    score_with(run, plan, PSNR)
    info = json.loads((path / "run.json").read_text())
    info["schema_version"] = 2
    del info["experiment"]["scoring"]
    for metric in info["experiment"]["metrics"]:
        del metric["per"]
    for prompt in info["experiment"]["prompts"]:
        prompt.pop("questions", None)
    (path / "run.json").write_text(json.dumps(info))
    lines = [json.loads(line) for line in (path / "scores.jsonl").read_text().splitlines()]
    old = [{key: value for key, value in line.items() if key not in {"notes", "usd", "details"}} for line in lines]
    (path / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    return RunDirectory.open(path), plan


def test_an_old_run_takes_a_new_metric_without_drawing(tmp_path: Path) -> None:
    run, plan = old_run(tmp_path / "run")
    journal = (run.path / "journal.jsonl").read_bytes()

    summary = pipeline.rescore(run, metrics=(PSNR, SSIM), again=False, progress=lambda done, total: None)

    pictures = len(requests_of(plan))
    assert counts(summary, "psnr") == {"reused": pictures}
    assert counts(summary, "ssim") == {"not_applicable": pictures}
    assert (run.path / "journal.jsonl").read_bytes() == journal
    again = RunDirectory.open(run.path)
    assert [spec.name for spec in again.info.experiment.metrics] == ["psnr", "ssim"]
    assert again.info.schema_version == SCHEMA_VERSION, "what is in it now, an older version would misread"
