"""Runs to report on: drawn pictures, made-up timings and scores, and everything that can be missing or hostile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kreabench.core.planned import (
    LoadGroup,
    Plan,
    Request,
    Setting,
    SkippedSetting,
)
from kreabench.core.records import (
    SCHEMA_VERSION,
    Cost,
    FailureRecord,
    HostedCall,
    ImageRecord,
    LoadRecord,
    Memory,
    Record,
    SampleRecord,
    WarmupRecord,
)
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import (
    ExperimentSpec,
    MetricSpec,
    PriceSpec,
    Prompt,
    TargetSpec,
)
from kreabench.rundir.directory import RunDirectory, RunInfo
from kreabench.rundir.table import rebuild_table
from tests.support import (
    UTC,
    encode_image,
    make_acceleration,
    make_experiment,
    make_failure,
    make_request,
    make_setting,
    make_target,
    make_timings,
    picture,
)

KEY = "01234567-89ab-cdef-0123-456789abcdef:00112233445566778899aabbccddeeff"
"""Shaped like a key of fal."""

HOSTILE = (
    '<script>document.title="pwned"</script><img src=x onerror="document.title=\'pwned\'">',
    "\u202ereversed \u2066and isolated, \"quotes\" & 'apostrophes' | pipes | `code` $x$ **bold** [a](javascript:0)",
    "={1+1}\nsecond line\n\n\n# no heading\n</td></table></style><style>body{display:none}</style>",
    "long " * 2000 + "W" * 2000,
)

PROMPTS = (
    "a red bicycle leaning against a whitewashed wall in the late afternoon sun",
    "portrait of an old fisherman mending a net, natural skin texture, window light",
    "three green glass bottles on a wooden table, the middle one half full",
    "a hand-painted shop sign that reads OPEN UNTIL LATE above a narrow door",
)

TWO_TARGETS = (
    make_target(name="mini_local", model="builtin:mini-flux", untrained=True, usd_per_hour=2.5),
    make_target(
        name="mini_fal",
        backend="fal",
        model="fal-ai/flux/krea",
        hosted=True,
        untrained=True,
        emulated=True,
        accelerations=("none", "regular", "high"),
        price=PriceSpec(
            usd_first_megapixel=0.025,
            usd_further_megapixel=0.025,
            usd_per_image=None,
            megapixel_pixels=1_000_000,
            round_up=True,
            source="https://fal.ai/models/fal-ai/flux/krea",
            date="2026-10-02",
        ),
    ),
)


def make_run(
    path: Path,
    *,
    targets: Sequence[TargetSpec] = TWO_TARGETS,
    accelerations: Sequence[str] = ("none", "regular", "high"),
    steps: Sequence[int] = (2, 4, 8),
    sizes: Sequence[tuple[int, int]] = ((128, 128), (192, 128)),
    prompts: Sequence[str] = PROMPTS,
    seeds: Sequence[int] = (0, 1),
    done: float = 1.0,
    failing: Iterable[str] = (),
    scores: bool = True,
    pictures: bool = True,
    skipped: Sequence[SkippedSetting] = (),
    concurrency: Sequence[int] = (1,),
    records: Sequence[Record] = (),
    **changes: Any,
) -> tuple[RunDirectory, Plan]:
    """A run directory at `path` with its table, and its plan.

    `done` is the share of requests that ran; those of the prompts whose ids are in `failing` failed.
    """
    texts = tuple(Prompt(id=f"prompt-{n}", text=text, category="objects") for n, text in enumerate(prompts))
    experiment = make_experiment(
        name="demo",
        description="the whole path on a CPU with a tiny untrained model and a loopback service",
        targets=tuple(targets),
        accelerations=tuple(make_acceleration(name=name) for name in accelerations),
        prompts=texts,
        seeds=tuple(seeds),
        **changes,
    )
    groups = tuple(_group(target, experiment, accelerations, steps, sizes, concurrency) for target in targets)
    plan = Plan(
        hash="0123456789abcdef",
        groups=groups,
        skipped=tuple(skipped),
        excluded=0,
        settings=tuple(setting for group in groups for setting in group.settings),
    )
    run = RunDirectory.create(path, _info(experiment), "name: demo\n")
    with run.writer() as writer:
        writer.append(*records)
        for group in groups:
            writer.append(_load(group), *_samples(run.path, group, done, frozenset(failing), pictures))
    if scores:
        with run.score_writer() as score_writer:
            score_writer.append_scores(_scores(run, plan, experiment.metrics))
    rebuild_table(run, plan)
    return run, plan


def _group(
    target: TargetSpec,
    experiment: ExperimentSpec,
    accelerations: Sequence[str],
    steps: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    concurrency: Sequence[int],
) -> LoadGroup:
    settings: list[Setting] = []
    for width, height in sizes:
        family = [
            make_setting(
                target=target.name,
                acceleration=name,
                steps=count if target.limits.steps else None,
                guidance=4.5 if target.limits.guidance else None,
                width=width,
                height=height,
                concurrency=number,
            )
            for name in accelerations
            for count in (steps if target.limits.steps else steps[:1])
            for number in (concurrency if target.hosted else (1,))
        ]
        most = max(steps) if target.limits.steps else None
        references = {s.concurrency: s.id for s in family if s.acceleration == accelerations[0] and s.steps == most}
        settings += [replace(setting, reference_id=references[setting.concurrency]) for setting in family]
    requests = tuple(
        make_request(setting, prompt_id=prompt.id, prompt=prompt.text, seed=seed)
        for prompt in experiment.prompts
        for seed in experiment.seeds
        for setting in settings
    )
    return LoadGroup(
        id=settings[0].load_key,
        target=target,
        accelerations=experiment.accelerations,
        settings=tuple(settings),
        requests=requests,
        warmup=1,
    )


def _info(experiment: ExperimentSpec) -> RunInfo:
    return RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash="0123456789abcdef",
        created_utc=UTC,
        experiment=experiment,
        versions={"kreabench": "0.1.0", "python": "3.11.9", "torch": "2.15.0", "diffusers": "0.42.1"},
        environment={"OMP_NUM_THREADS": "2"},
        git_revision="4561be8",
    )


def _load(group: LoadGroup) -> LoadRecord:
    return LoadRecord(
        group_id=group.id,
        target=group.target.name,
        started_utc=UTC,
        load_s=0.84,
        identity={"model": group.target.model, "device": "cpu", "dtype": "float32"},
    )


SPEED = {"none": 1.0, "regular": 0.72, "high": 0.5}


def _samples(
    path: Path, group: LoadGroup, done: float, failing: frozenset[str], pictures: bool
) -> Iterator[SampleRecord | WarmupRecord | FailureRecord]:
    settings = {setting.id: setting for setting in group.settings}
    for setting in group.settings:
        yield WarmupRecord(
            group_id=group.id,
            setting_id=setting.id,
            started_utc=UTC,
            timings=make_timings(),
            cost=Cost(usd=0.0004 if group.target.price or group.target.usd_per_hour else None, basis="device_hour"),
        )
    for request in group.requests[: round(done * len(group.requests))]:
        setting = settings[request.setting_id]
        if request.prompt_id in failing:
            yield failed_sample(request, group.id)
        else:
            yield _delivered(path, group, setting, request, pictures)


def failed_sample(request: Request, group_id: str = "group") -> SampleRecord:
    """A request that killed its worker twice."""
    return SampleRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id=group_id,
        prompt_id=request.prompt_id,
        seed=request.seed,
        repeat=request.repeat,
        attempt=2,
        status="failed",
        started_utc=UTC,
        cost=Cost(usd=None, basis="none"),
        error=make_failure(
            message=f"{HOSTILE[0]} died; see /home/somebody/runs/demo/worker.log | key {KEY}",
            remedy="Look at ~/.cache/kreabench/log or C:\\Users\\somebody\\log.",
        ),
    )


def _delivered(path: Path, group: LoadGroup, setting: Setting, request: Request, pictures: bool) -> SampleRecord:
    random = np.random.default_rng(int(request.id[:8], 16))
    megapixels = setting.width * setting.height / 1e6
    step = 1.6 * megapixels * SPEED.get(setting.acceleration, 1.0) * float(random.lognormal(0, 0.05))
    stages = {"encode": 0.012, "denoise": (setting.steps or 4) * step, "decode": 0.9 * megapixels}
    if group.target.hosted:
        stages = {
            "submit": 0.011,
            "queue": 0.04 + 0.02 * random.random(),
            "inference": sum(stages.values()),
            "download": 0.008,
        }
    seconds = sum(stages.values()) + 0.002
    relative = f"images/{setting.id}/{request.id}.png"
    content = _drawing(setting.id, setting.width, setting.height, setting.steps, request.prompt_id, request.seed)
    if pictures:
        (path / relative).parent.mkdir(parents=True, exist_ok=True)
        (path / relative).write_bytes(content)
    image = ImageRecord(
        index=0,
        path=relative,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        width=setting.width,
        height=setting.height,
        format="png",
        seed=request.seed,
        nsfw=None,
        degenerate=None,
    )
    hosted = HostedCall(
        service_request_id=f"request-{request.id}",
        attempts=1,
        polls=9,
        queue_s=0.05,
        inference_s=seconds - 0.05,
        runner="runner-1",
        billable_units=1.0,
    )
    usd = 0.025 if group.target.hosted else (group.target.usd_per_hour or 0.0) / 3600 * seconds
    return SampleRecord(
        request_id=request.id,
        setting_id=setting.id,
        group_id=group.id,
        prompt_id=request.prompt_id,
        seed=request.seed,
        repeat=0,
        attempt=1,
        status="ok",
        started_utc=UTC,
        steps_run=setting.steps,
        timings=make_timings(
            end_to_end_s=seconds,
            stages_s=stages,
            residual_s=0.002,
            steps_s=(),
            resolution_s=0.02 if group.target.hosted else None,
        ),
        timing_valid=True,
        memory=Memory(peak_rss_bytes=int(6.1e8 + 4e9 * megapixels)),
        hosted=hosted if group.target.hosted else None,
        cost=Cost(usd=usd, basis="billed" if group.target.hosted else "device_hour"),
        images=(image,),
    )


@lru_cache(maxsize=512)
def _drawing(setting_id: str, width: int, height: int, steps: int | None, prompt_id: str, seed: int) -> bytes:
    """A file of PNG: many runs draw the same."""
    from PIL import Image

    base = picture(width, height, seed=hash_of(prompt_id, seed))
    noise = picture(width, height, seed=hash_of(setting_id, prompt_id))
    return encode_image(Image.blend(base, noise, 0.45 / (steps or 4)), compress_level=1)


def hash_of(*parts: object) -> int:
    """A number that is the same on every run."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)


def _scores(run: RunDirectory, plan: Plan, metrics: Sequence[MetricSpec]) -> list[ScoreRecord]:
    settings = {setting.id: setting for setting in plan.settings}
    scores = []
    for sample in run.samples().values():
        setting = settings[sample.setting_id]
        random = np.random.default_rng(hash_of(sample.prompt_id, sample.seed, sample.setting_id))
        prompt = hash_of(sample.prompt_id) % 40 / 10
        loss = (0 if setting.acceleration == "none" else 1.5 if setting.acceleration == "regular" else 4) + 6 / (
            setting.steps or 4
        )
        values = {
            "clip_score": 24 + prompt - 0.3 * loss + 0.4 * float(random.normal()),
            "psnr": 34 - 2.2 * loss + 0.8 * float(random.normal()),
            "ssim": 0.97 - 0.03 * loss + 0.01 * float(random.normal()),
        }
        is_reference = setting.reference_id == setting.id
        for image in sample.images:
            for metric in metrics:
                against_itself = is_reference and metric.kind in {"psnr", "ssim"}
                scores.append(
                    ScoreRecord(
                        request_id=sample.request_id,
                        image_index=image.index,
                        image_sha256=image.sha256,
                        metric=metric.name,
                        identity="0123456789abcdef",
                        status="not_applicable" if against_itself else "ok",
                        value=None if against_itself else values[metric.kind],
                        reason="this is the reference picture itself" if against_itself else "",
                        untrained=metric.kind == "clip_score",
                    )
                )
    return scores
