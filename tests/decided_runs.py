"""Small run directories that this version plans itself, with drawn numbers and everything that a sample can have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import SCHEMA_VERSION, Cost, DropRecord, ImageRecord, LoadRecord, Memory, SampleRecord
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory, RunInfo
from kreabench.rundir.table import rebuild_table
from tests.report_runs import hash_of
from tests.support import (
    UTC,
    encode_image,
    make_acceleration,
    make_experiment,
    make_failure,
    make_image_record,
    make_prompt,
    make_sample,
    make_timings,
    picture,
)

METRICS = tuple(
    MetricSpec(name=name, kind=kind, options={})
    for name, kind in (("clip", "clip_score"), ("psnr", "psnr"), ("lpips", "lpips"))
)


def decided_run(
    path: Path,
    *,
    version: int = 0,
    steps: Sequence[int] = (2, 4),
    prompts: int = 4,
    seeds: Sequence[int] = (0, 1),
    metrics: Sequence[MetricSpec] = METRICS,
    done: float = 1.0,
    drops: Sequence[DropRecord] = (),
    info: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[RunDirectory, Plan]:
    """A run of two accelerations with its table, and its plan. Two `version`s differ by noise; the first prompt's first
    picture is lost in all; `done` is the share of requests that ran."""
    experiment = make_experiment(
        name="decided",
        accelerations=(make_acceleration(), make_acceleration(name="faster")),
        axes=replace(make_experiment().axes, steps=tuple(steps)),
        prompts=tuple(make_prompt(number) for number in range(prompts)),
        seeds=tuple(seeds),
        metrics=tuple(metrics),
        **changes,
    )
    plan = build_plan(experiment)
    made = RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash=plan.hash,
        created_utc=UTC,
        experiment=experiment,
        versions={"kreabench": "0.1.0", "torch": "2.15.0"},
        environment={},
        git_revision=None,
    )
    run = RunDirectory.create(path, replace(made, **(info or {})), "name: decided\n")
    requests = [request for group in plan.groups for request in group.requests]
    samples = [_sample(request, plan, version) for request in requests[: round(done * len(requests))]]
    loads = [
        LoadRecord(group_id=group.id, target=group.target.name, started_utc=UTC, load_s=0.8, identity={"device": "cpu"})
        for group in plan.groups
    ]
    with run.writer() as writer:
        writer.append(*loads, *samples, *drops)
    with run.score_writer() as score_writer:
        score_writer.append_scores(score for sample in samples for score in _scores(sample, metrics, version))
    rebuild_table(run, plan)
    return run, plan


def _sample(request: Request, plan: Plan, version: int) -> SampleRecord:
    random = np.random.default_rng(hash_of(request.id, version))
    if request.prompt_id == "prompt-0" and request.seed == 0:
        return make_sample(request, error=make_failure())
    setting = next(setting for setting in plan.settings if setting.id == request.setting_id)
    image = make_image_record(
        sha256=hashlib.sha256(f"{request.id} {version}".encode()).hexdigest(),
        seed=request.seed,
        nsfw=bool(random.random() < 0.2),
        degenerate="black" if request.prompt_id == "prompt-1" and request.seed == 0 else None,
    )
    return make_sample(
        request,
        timings=make_timings(end_to_end_s=_seconds(setting) * float(random.lognormal(0, 0.05))),
        timing_valid=bool(random.random() < 0.9),
        memory=Memory(peak_rss_bytes=int(1e9 + random.integers(10**6)), peak_allocated_bytes=int(4e9)),
        cost=Cost(usd=float(random.random()), basis="device_hour"),
        images=(image,),
    )


def _seconds(setting: Setting) -> float:
    return (setting.steps or 1) * (0.05 if setting.acceleration == "faster" else 0.1)


def _scores(sample: SampleRecord, metrics: Sequence[MetricSpec], version: int) -> Iterator[ScoreRecord]:
    random = np.random.default_rng(hash_of(sample.request_id, version, "scores"))
    for image in sample.images:
        for number, metric in enumerate(metrics):
            value = float(25 + hash_of(sample.prompt_id) % 7 + random.normal())
            status = ("ok", "ok", "ok", "ok", "infinite", "failed")[int(random.integers(6))] if number == 1 else "ok"
            if number == 2 and random.random() < 0.2:
                continue  # not scored yet
            yield ScoreRecord(
                request_id=sample.request_id,
                image_index=image.index,
                image_sha256=image.sha256,
                metric=metric.name,
                identity=f"identity of {metric.name}",
                status=status,  # type: ignore[arg-type]
                value=value if status == "ok" else None,
                reason="cannot open /home/somebody/weights/psnr.pt" if status == "failed" else "",
                truncated=sample.prompt_id == "prompt-2",
                untrained=number == 0,
            )


def pictured_run(path: Path) -> Path:
    """The directory of a `decided_run` whose pictures are files of it."""
    numbers, make_record = count(), make_image_record

    def stored(**changes: Any) -> ImageRecord:
        content = encode_image(picture(seed=next(numbers)))
        relative = f"images/setting/{next(numbers)}.png"
        (path / relative).parent.mkdir(parents=True, exist_ok=True)
        (path / relative).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return make_record(**changes | {"path": relative, "sha256": sha256, "size_bytes": len(content)})

    with patch.dict(globals(), make_image_record=stored):
        decided_run(path)
    return path
