"""Runs to decide on, large ones too: journals and samples.parquet as a real run leaves them, without the pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import Cost, DeviceState, Failure, LoadRecord, SampleRecord
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import AccelerationSpec, ExperimentSpec, MetricSpec, Prompt
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import JOURNAL_FILE, SCORES_FILE, RunDirectory
from kreabench.rundir.provenance import collect
from kreabench.rundir.table import rebuild_table
from run_directory import PROMPT, sample_of, synthetic_experiment, write_lines

METRICS = ("clip_score", "aesthetic", "pickscore", "hpsv2", "psnr", "lpips")
TO_REFERENCE = frozenset({"psnr", "lpips"})
MOST_STEPS = 50
ONE_FAILS_IN = 199
STEP_S = 0.1
USD_PER_HOUR = 2.0
WATTS = 550.0


def experiment_of(settings: int, prompts: int, seeds: int) -> ExperimentSpec:
    """`settings` of one target that share a reference: up to 50 numbers of steps, with as many accelerations."""
    base = synthetic_experiment()
    steps = min(settings, MOST_STEPS)
    names = ("none", *(f"faster{number}" for number in range(1, settings // steps)))
    target = replace(base.targets[0], defaults=replace(base.targets[0].defaults, steps=steps))
    return replace(
        base,
        targets=(target,),
        accelerations=tuple(AccelerationSpec(name=name, description="", hosted=None, features={}) for name in names),
        axes=replace(base.axes, steps=tuple(range(1, steps + 1))),
        prompts=tuple(Prompt(id=f"prompt-{n}", text=PROMPT + str(n), category="made up") for n in range(prompts)),
        seeds=tuple(range(seeds)),
        metrics=tuple(MetricSpec(name=name, kind=name, options={}) for name in METRICS),
    )


def write_run(path: Path, *, settings: int, prompts: int, seeds: int, version: int = 0) -> None:
    """A whole run directory; runs of two `version`s have other pictures, and scores that differ by noise alone."""
    experiment = experiment_of(settings, prompts, seeds)
    plan = build_plan(experiment)
    info = collect(plan.hash, experiment, environ=os.environ, now=datetime.now(UTC))
    run = RunDirectory.create(path, info, "# made by a benchmark\n")
    write_lines(run.path / JOURNAL_FILE, _journal(plan, version))
    write_lines(run.path / SCORES_FILE, _scores(plan, version))
    rebuild_table(run, plan)


def _journal(plan: Plan, version: int) -> Iterator[LoadRecord | SampleRecord]:
    for group in plan.groups:
        yield LoadRecord(
            group_id=group.id,
            target=group.target.name,
            started_utc="2026-01-02T03:04:05.678Z",
            load_s=12.5,
            identity={"model": group.target.model, "device": "cpu"},
        )
        settings = {setting.id: setting for setting in group.settings}
        noise = np.random.default_rng([version, 1]).lognormal(sigma=0.03, size=(len(group.requests), 2)).tolist()
        for request, (time, energy) in zip(group.requests, noise, strict=True):
            sample = replace(sample_of(request), group_id=group.id)
            yield (
                _failed(sample)
                if _fails(request, version)
                else _drawn(sample, _picture(request, version), settings[request.setting_id], time, energy)
            )


def _fails(request: Request, version: int) -> bool:
    return int(_picture(request, version)[:8], 16) % ONE_FAILS_IN == 0


def _failed(sample: SampleRecord) -> SampleRecord:
    """Costs that differ, pictures that lack a partner: what takes a comparison time."""
    failure = Failure(type="crashed", stage="denoise", message="made up", remedy="", transient=True)
    return replace(
        sample,
        status="failed",
        error=failure,
        timings=None,
        timing_valid=False,
        memory=None,
        images=(),
        cost=Cost(usd=None, basis="none"),
    )


def _drawn(sample: SampleRecord, sha256: str, setting: Setting, time: float, energy: float) -> SampleRecord:
    """Seconds, joules and dollars of `setting`, times noise that is each request's own."""
    assert sample.timings is not None
    steps = setting.steps or 1
    step_s = STEP_S * time * (0.7 if setting.acceleration != "none" else 1.0)
    stages_s = {**sample.timings.stages_s, "denoise": steps * step_s}
    seconds = sum(stages_s.values()) + sample.timings.residual_s
    return replace(
        sample,
        steps_run=steps,
        images=(replace(sample.images[0], sha256=sha256),),
        timings=replace(sample.timings, end_to_end_s=seconds, stages_s=stages_s, steps_s=(step_s,) * steps),
        device=DeviceState(
            energy_j=seconds * WATTS * energy,
            sm_clock_mhz=1980.0,
            sm_clock_min_mhz=1965.0,
            temperature_c=61.0,
            throttle_reasons=(),
            foreign_processes=0,
            readings=30,
        ),
        cost=Cost(usd=seconds / 3600 * USD_PER_HOUR, basis="device_hour"),
    )


def _scores(plan: Plan, version: int) -> Iterator[ScoreRecord]:
    settings = {setting.id: setting for setting in plan.settings}
    for group in plan.groups:
        noise = np.random.default_rng(version).normal(size=(len(group.requests), len(METRICS))).tolist()
        for request, values in zip(group.requests, noise, strict=True):
            if not _fails(request, version):
                yield from _scores_of(request, settings[request.setting_id], values, version)


def _scores_of(request: Request, setting: Setting, noise: list[float], version: int) -> Iterator[ScoreRecord]:
    sha256 = _picture(request, version)
    of_prompt = int(request.prompt_id.rpartition("-")[2]) % 40 / 10
    for metric, value in zip(METRICS, noise, strict=True):
        itself = metric in TO_REFERENCE and setting.id == setting.reference_id
        yield ScoreRecord(
            request_id=request.id,
            image_index=0,
            image_sha256=sha256,
            metric=metric,
            identity="0123456789abcdef",
            status="not_applicable" if itself else "ok",
            value=None if itself else 25.0 + of_prompt - 2.0 / (setting.steps or 1) + 0.5 * value,
            reason="this is the reference picture itself" if itself else "",
            reference_sha256=sha256 if metric in TO_REFERENCE and not itself else None,
        )


def _picture(request: Request, version: int) -> str:
    return hashlib.sha256(f"{request.id} {version}".encode()).hexdigest()
