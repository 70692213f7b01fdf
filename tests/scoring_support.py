"""Runs with pictures, for the tests of scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from kreabench.backends.base import GeneratedImage
from kreabench.core.planned import LoadGroup, Plan, Request, Setting
from kreabench.core.records import SCHEMA_VERSION, SampleRecord
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.rundir.directory import RunDirectory, RunInfo
from kreabench.rundir.images import store_image
from kreabench.scoring.stage import score_run
from kreabench.scoring.summary import ScoringSummary
from tests.support import (
    UTC,
    encode_image,
    make_experiment,
    make_failure,
    make_group,
    make_sample,
    make_setting,
    picture,
)


def reference_and_fast(**changes: Any) -> tuple[Setting, Setting]:
    """Two settings, of which the first is the reference of both."""
    reference = make_setting(steps=4, width=64, height=64, **changes)
    fast = make_setting(steps=2, width=64, height=64, reference_id=reference.id, **changes)
    return reference, fast


def group_of(*settings: Setting, **changes: Any) -> LoadGroup:
    """A load group of these settings, or of `reference_and_fast`."""
    return make_group(settings or reference_and_fast(), **changes)


def new_run(
    path: Path, plan: Plan, drawn: Mapping[str, Sequence[Image.Image] | None] | None = None, **changes: Any
) -> RunDirectory:
    """A run of `plan` in which every request was delivered, but for those that `drawn` names: their pictures, or None
    for a failed request. `changes` are of its experiment."""
    info = RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash=plan.hash,
        created_utc=UTC,
        experiment=make_experiment(**changes),
        versions={},
        environment={},
        git_revision=None,
    )
    run = RunDirectory.create(path, info, "")
    for number, (setting, request) in enumerate(requests_of(plan)):
        default = [
            picture(setting.width, setting.height, seed=10 * number + index) for index in range(setting.num_images)
        ]
        deliver(run, setting, request, (drawn or {}).get(request.id, default))
    return run


def requests_of(plan: Plan) -> list[tuple[Setting, Request]]:
    """In the order of the plan."""
    settings = {setting.id: setting for setting in plan.settings}
    return [(settings[request.setting_id], request) for group in plan.groups for request in group.requests]


def deliver(
    run: RunDirectory, setting: Setting, request: Request, images: Sequence[Image.Image] | None, **changes: Any
) -> SampleRecord:
    """Store the sample of `request`; None for `images` makes it a failed one."""
    if images is None:
        sample = make_sample(request, error=make_failure(type="timeout"))
    else:
        stored = tuple(
            store_image(
                run.path, setting, request, k, GeneratedImage(content=encode_image(image), seed=None, nsfw=None)
            )
            for k, image in enumerate(images)
        )
        sample = make_sample(request, images=tuple(replace(image, **changes) for image in stored))
    with run.writer() as writer:
        writer.append(sample)
    return sample


def score_with(run: RunDirectory, plan: Plan, *metrics: MetricSpec, **options: Any) -> ScoringSummary:
    """Score what is missing of a run."""
    with run.score_writer() as writer:
        return score_run(run, plan, metrics=metrics, writer=writer, **options)


def scores(run: RunDirectory, metric: str = "brightness") -> dict[tuple[str, int], ScoreRecord]:
    """By request id and image index."""
    return {(record.request_id, record.image_index): record for record in run.scores() if record.metric == metric}


def counts(summary: ScoringSummary, metric: str = "brightness") -> dict[str, int]:
    """What is not 0."""
    (found,) = [entry for entry in summary.metrics if entry.metric == metric]
    names = ("scored", "reused", "not_applicable", "infinite", "failed", "left")
    return {name: getattr(found, name) for name in names if getattr(found, name)}
