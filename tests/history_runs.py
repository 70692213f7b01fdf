"""Runs of a history: small run directories of one setting, with made-up scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kreabench.core.planned import Plan, Request
from kreabench.core.records import LoadRecord
from kreabench.core.specs import MetricSpec
from kreabench.plan_build import build_plan
from tests.support import (
    UTC,
    make_experiment,
    make_failure,
    make_image_record,
    make_prompt,
    make_run,
    make_sample,
    make_score,
    make_timings,
)

CLIP = MetricSpec(name="clip", kind="clip_score", options={})
PSNR = MetricSpec(name="psnr", kind="psnr", options={})

Score = Callable[[Request], float]


def history_run(
    path: Path,
    scores: Mapping[str, Score],
    *,
    day: int = 1,
    versions: Mapping[str, str] | None = None,
    device: str = "cpu",
    identities: Mapping[str, str] | None = None,
    latency_s: float = 0.5,
    failing: Sequence[str] = (),
    **changes: Any,
) -> Plan:
    """A finished run of `day` January at `path`; `scores` gives each metric's value of a request."""
    metrics = tuple(spec for spec in (CLIP, PSNR) if spec.name in scores)
    given = {"prompts": tuple(map(make_prompt, range(4))), "seeds": (0, 1), "metrics": metrics} | changes
    experiment = make_experiment(**given)
    plan = build_plan(experiment)
    run = make_run(
        path,
        experiment=experiment,
        plan_hash=plan.hash,
        created_utc=UTC.replace("-01-02T", f"-01-{day:02d}T"),
        versions=dict(versions or {"torch": "2.14.0"}),
    )
    (group,) = plan.groups
    samples = []
    for request in group.requests:
        image = make_image_record(seed=request.seed)
        timings = make_timings(end_to_end_s=latency_s)
        failed = {"error": make_failure()} if request.prompt_id in failing else {}
        samples.append(make_sample(request, group_id=group.id, images=(image,), timings=timings, **failed))
    with run.writer() as writer:
        writer.append(
            LoadRecord(
                group_id=group.id, target=group.target.name, started_utc=UTC, load_s=0.1, identity={"device": device}
            )
        )
        for sample in samples:
            writer.append(sample)
    with run.score_writer() as score_writer:
        score_writer.append_scores(
            [
                make_score(
                    sample,
                    metric=name,
                    identity=(identities or {}).get(name, f"{name}-1"),
                    value=value if math.isfinite(value) else None,
                    status="ok" if math.isfinite(value) else "infinite",
                )
                for name, score in scores.items()
                for request, sample in zip(group.requests, samples, strict=True)
                if sample.images
                for value in [score(request)]
            ]
        )
    return plan
