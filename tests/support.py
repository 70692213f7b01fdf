"""Small, complete specs, plans and records for tests: every maker has defaults and takes overrides by field name."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from PIL import Image

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.ids import stable_hash
from kreabench.core.planned import (
    LoadGroup,
    Plan,
    Request,
    Setting,
)
from kreabench.core.records import SCHEMA_VERSION, Cost, Failure, ImageRecord, Memory, SampleRecord, Timings
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import (
    AccelerationSpec,
    AxesSpec,
    Defaults,
    ExperimentSpec,
    Limits,
    MetricSpec,
    Prompt,
    ReferenceSpec,
    TargetSpec,
)
from kreabench.rundir.directory import RunDirectory, RunInfo

ROOT = Path(__file__).resolve().parents[1]
"""Where a child process finds the package `tests`."""
UTC = "2026-01-02T03:04:05.678Z"


def make_target(**changes: Any) -> TargetSpec:
    """A local target on the fake back end."""
    base = TargetSpec(
        name="mini_fake",
        backend="fake",
        task="text-to-image",
        model="builtin:fake",
        revision=None,
        hosted=False,
        untrained=True,
        emulated=False,
        defaults=Defaults(steps=4, guidance=4.5, size="128x128"),
        limits=Limits(
            steps=(1, 50),
            guidance=(1.0, 20.0),
            num_images=(1, 4),
            output_formats=("png", "jpeg"),
            size_multiple=16,
            min_side_px=64,
            max_pixels=4_194_304,
        ),
        accelerations=None,
        price=None,
        usd_per_hour=None,
        expected=None,
        service=None,
        key_env=None,
        options={"load_s": 0.0, "latency_s": 0.0, "faults": []},
    )
    return replace(base, **changes)


def make_acceleration(**changes: Any) -> AccelerationSpec:
    """No acceleration at all."""
    base = AccelerationSpec(name="none", description="as the model comes", hosted="none", features={})
    return replace(base, **changes)


def make_setting(**changes: Any) -> Setting:
    """A setting of `make_target`; its id follows from its fields unless given. It is its own reference."""
    base = Setting(
        id="",
        target="mini_fake",
        task="text-to-image",
        acceleration="none",
        steps=4,
        guidance=4.5,
        width=128,
        height=128,
        num_images=1,
        output_format="png",
        load_key="",
        reference_id=None,
    )
    setting = replace(base, **changes)
    load_key = setting.load_key or stable_hash(["load", setting.target])
    fields = asdict(replace(setting, reference_id=None, load_key=load_key))
    later = {"batch_size": 1, "replicas": 1}  # as in plans: what came later changes no id while it is as before
    known = {key: value for key, value in fields.items() if (key, value) not in later.items()}
    identity = setting.id or stable_hash(known)
    reference = changes.get("reference_id", identity)
    return replace(setting, id=identity, load_key=load_key, reference_id=reference)


def make_prompt(number: int = 0, **changes: Any) -> Prompt:
    """Prompt `number` of an endless list."""
    base = Prompt(id=f"prompt-{number}", text=f"a photograph of {number} red bicycles", category="objects")
    return replace(base, **changes)


def make_request(setting: Setting | None = None, **changes: Any) -> Request:
    """A request of `setting`; its id follows from its fields unless given."""
    setting = setting or make_setting()
    base = Request(
        id="",
        setting_id=setting.id,
        prompt_id="prompt-0",
        prompt="a photograph of 0 red bicycles",
        seed=0,
        repeat=0,
    )
    request = replace(base, **changes)
    return request if request.id else replace(request, id=stable_hash(request))


def make_group(
    settings: Sequence[Setting] | None = None,
    *,
    target: TargetSpec | None = None,
    accelerations: Sequence[AccelerationSpec] | None = None,
    prompts: int = 2,
    seeds: Sequence[int] = (0,),
    repeats: int = 1,
    warmup: int = 0,
    **changes: Any,
) -> LoadGroup:
    """A load group with every request of `settings` × prompts × seeds × repeats, prompts outermost."""
    target = target or make_target()
    chosen = tuple(settings) if settings else (make_setting(target=target.name),)
    requests = tuple(
        make_request(setting, prompt_id=prompt.id, prompt=prompt.text, seed=seed, repeat=repeat)
        for prompt in map(make_prompt, range(prompts))
        for seed in seeds
        for repeat in range(repeats)
        for setting in chosen
    )
    group = LoadGroup(
        id=chosen[0].load_key,
        target=target,
        accelerations=tuple(accelerations) if accelerations else (make_acceleration(),),
        settings=chosen,
        requests=requests,
        warmup=warmup,
    )
    return replace(group, **changes)


def make_plan(*groups: LoadGroup, **changes: Any) -> Plan:
    """A plan of `groups`; one default group when none is given."""
    chosen = groups or (make_group(),)
    base = Plan(
        hash=stable_hash([[request.id for request in group.requests] for group in chosen]),
        groups=chosen,
        skipped=(),
        excluded=0,
        settings=tuple(setting for group in chosen for setting in group.settings),
    )
    return replace(base, **changes)


def make_experiment(**changes: Any) -> ExperimentSpec:
    """An experiment of one target, one acceleration and two prompts."""
    base = ExperimentSpec(
        name="test",
        description="made by a test",
        targets=(make_target(),),
        accelerations=(make_acceleration(),),
        axes=AxesSpec(steps=(4,), guidance=(4.5,), size=("128x128",), num_images=(1,), output_format=("png",)),
        prompts=(make_prompt(0), make_prompt(1)),
        seeds=(0,),
        repeats=1,
        warmup=0,
        order_seed=0,
        reference=ReferenceSpec(acceleration="none", steps="default"),
        metrics=(
            MetricSpec(name="clip", kind="clip_score", options={}),
            MetricSpec(name="psnr", kind="psnr", options={}),
            MetricSpec(name="ssim", kind="ssim", options={}),
        ),
        engine=EngineSpec(kind="local", sample_timeout_s=30.0, warmup_timeout_s=30.0, load_timeout_s=30.0),
        budget_usd=None,
    )
    return replace(base, **changes)


def make_image_record(index: int = 0, **changes: Any) -> ImageRecord:
    """The record of a 128 × 128 PNG that need not exist."""
    base = ImageRecord(
        index=index,
        path=f"images/made-up/{index}.png",
        sha256=hashlib.sha256(str(index).encode()).hexdigest(),
        size_bytes=1234,
        width=128,
        height=128,
        format="png",
        seed=index,
        nsfw=None,
        degenerate=None,
    )
    return replace(base, **changes)


def make_timings(**changes: Any) -> Timings:
    """Half a second, explained but for 10 ms."""
    base = Timings(
        end_to_end_s=0.5,
        stages_s={"encode": 0.09, "denoise": 0.3, "decode": 0.1},
        residual_s=0.01,
        steps_s=(0.075, 0.075, 0.075, 0.075),
    )
    return replace(base, **changes)


def make_failure(**changes: Any) -> Failure:
    """A crash that `resume` does not try again."""
    base = Failure(
        type="crashed",
        stage="denoise",
        message="the worker died of signal 9",
        remedy="See worker.log in the run directory.",
        transient=False,
        signal=9,
    )
    return replace(base, **changes)


def make_sample(request: Request | None = None, **changes: Any) -> SampleRecord:
    """The delivered sample of `request`; with `error=` given, its failed one."""
    request = request or make_request()
    base = SampleRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id="group",
        prompt_id=request.prompt_id,
        seed=request.seed,
        repeat=request.repeat,
        attempt=1,
        status="ok",
        started_utc=UTC,
        steps_run=4,
        timings=make_timings(),
        timing_valid=True,
        memory=Memory(peak_rss_bytes=500_000_000),
        cost=Cost(usd=None, basis="none"),
        images=(make_image_record(seed=request.seed),),
    )
    if changes.get("error") is not None:
        base = replace(base, status="failed", steps_run=None, timings=None, timing_valid=False, images=())
    return replace(base, **changes)


def make_score(sample: SampleRecord | None = None, **changes: Any) -> ScoreRecord:
    """The CLIP score of the first image of `sample`."""
    sample = sample or make_sample()
    base = ScoreRecord(
        request_id=sample.request_id,
        image_index=0,
        image_sha256=sample.images[0].sha256 if sample.images else "",
        metric="clip",
        identity="0123456789abcdef",
        status="ok",
        value=31.5,
    )
    return replace(base, **changes)


def picture(width: int = 128, height: int = 128, *, seed: int = 0) -> Image.Image:
    """A smooth picture that differs for every seed and is neither black nor constant."""
    low = Image.frombytes("RGB", (8, 8), hashlib.shake_256(str(seed).encode()).digest(192))
    return low.resize((width, height), Image.Resampling.BICUBIC)


def encode_image(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """`image` as a file of `format`."""
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def make_run(path: Path, **changes: Any) -> RunDirectory:
    """A new run directory of `make_experiment`, without any record."""
    info = RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash="0123456789abcdef",
        created_utc=UTC,
        experiment=make_experiment(),
        versions={"kreabench": "0.1.0"},
        environment={},
        git_revision=None,
    )
    return RunDirectory.create(path, replace(info, **changes), "name: test\n")
