"""Policies, comparisons and whole run directories for tests of the gate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.outcomes import Outcome
from kreabench.core.policies import CheckSpec, MarginKind, MarginSpec, PolicySpec
from kreabench.core.records import SCHEMA_VERSION, LoadRecord
from kreabench.core.specs import MetricSpec
from kreabench.decisions.gate import GateResult
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory, RunInfo
from tests.compare_support import Scores
from tests.support import (
    UTC,
    make_experiment,
    make_image_record,
    make_prompt,
    make_sample,
    make_score,
    make_timings,
)

CLIP = MetricSpec(name="clip", kind="clip_score", options={})


def make_check(name: str, value: float = 1.0, kind: MarginKind = "absolute", **changes: Any) -> CheckSpec:
    """A check of `name`."""
    return replace(CheckSpec(name=name, margin=MarginSpec(kind=kind, value=value)), **changes)


def make_policy(*checks: CheckSpec, **changes: Any) -> PolicySpec:
    """At least four prompts, 5 % unpaired."""
    base = PolicySpec(
        name="test", description="", level=0.05, min_prompts=4, max_unpaired_share=0.05, checks=tuple(checks)
    )
    return replace(base, **changes)


def noisy(shift: float = 0.0, *, seed: int, sd: float = 1.0) -> Scores:
    """Scores about 30, with prompts 2 apart and `sd` from seed to seed."""

    def scores(number: int, prompts: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        random = np.random.default_rng([seed, number])
        own = 2.0 * np.random.default_rng(0).normal(size=prompts.max() + 1)
        return np.asarray(30.0 + shift + own[prompts] + sd * random.normal(size=prompts.size))

    return scores


def outcomes(result: GateResult) -> dict[str, Outcome]:
    """Check → outcome, of a gate of one pair of settings."""
    return {check.name: check.outcome for check in result.checks}


def reasons(result: GateResult) -> dict[str, str]:
    """Check → why."""
    return {check.name: check.judgement.reason for check in result.checks}


def write_run(
    path: Path,
    *,
    shift: float = 0.0,
    salt: int = 0,
    prompts: int = 16,
    seeds: Sequence[int] = (0, 1),
    done: float = 1.0,
) -> Path:
    """A run directory as `kreabench run` leaves it, without pictures; its clip score is `shift` higher.

    `salt` draws other pictures.
    """
    experiment = make_experiment(
        name=path.name, prompts=tuple(map(make_prompt, range(prompts))), seeds=tuple(seeds), metrics=(CLIP,)
    )
    plan = build_plan(experiment)
    info = RunInfo(
        schema_version=SCHEMA_VERSION, plan_hash=plan.hash, created_utc=UTC, experiment=experiment,
        versions={"kreabench": "0.1.0", "torch": f"2.{salt}"}, environment={}, git_revision=None,
    )  # fmt: skip
    run = RunDirectory.create(path, info, "name: test\n")
    random = np.random.default_rng(salt)
    own = 2.0 * np.random.default_rng(0).normal(size=prompts)
    (group,) = plan.groups
    chosen = sorted(group.requests, key=lambda request: request.id)[: round(done * len(group.requests))]
    with run.writer() as writer, run.score_writer() as scores:
        writer.append(LoadRecord(group_id=group.id, target="mini_fake", started_utc=UTC, load_s=0.1, identity={}))
        for number, request in enumerate(chosen):
            sha = hashlib.sha256(f"{request.id} {salt}".encode()).hexdigest()
            image = make_image_record(sha256=sha, seed=request.seed)
            sample = make_sample(
                request,
                group_id=group.id,
                images=(image,),
                timings=make_timings(end_to_end_s=0.5 + 0.001 * (number % 7), residual_s=0.01 + 0.001 * (number % 7)),
            )
            writer.append(sample)
            value = float(30.0 + shift + own[int(request.prompt_id.split("-")[1])] + 0.5 * random.normal())
            scores.append_scores([make_score(sample, value=value)])
    return path
