"""How long a large run takes to resume and to tabulate: 100,000 samples and 300,000 scores.

    python benchmarks/run_directory.py

Writes the run into a temporary folder, without the fsync of each line, which is no part of what is measured here, and
measures in fresh processes. Exits 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.ids import stable_hash
from kreabench.core.planned import (
    LoadGroup,
    Plan,
    Request,
    Setting,
)
from kreabench.core.records import Cost, ImageRecord, Memory, Record, SampleRecord, Timings
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
from kreabench.rundir import codec
from kreabench.rundir.directory import JOURNAL_FILE, SCORES_FILE, RunDirectory
from kreabench.rundir.provenance import collect
from kreabench.rundir.table import rebuild_table

SETTINGS, PROMPTS, SEEDS = 20, 500, 10
STEPS = 28
METRICS = ("clip", "psnr", "ssim")
PROMPT = "an oil painting of a lighthouse on a cliff at dusk, waves breaking below, warm light in one window, number "


def synthetic_experiment() -> ExperimentSpec:
    """What was asked: one local target."""
    limits = Limits(
        steps=(1, 50),
        guidance=(1.0, 20.0),
        num_images=(1, 4),
        output_formats=("png",),
        size_multiple=16,
        min_side_px=64,
        max_pixels=4_194_304,
    )
    target = TargetSpec(
        name="krea_local",
        backend="fake",
        task="text-to-image",
        model="builtin:fake",
        revision=None,
        hosted=False,
        untrained=True,
        emulated=False,
        defaults=Defaults(steps=STEPS, guidance=4.5, size="square_hd"),
        limits=limits,
        accelerations=None,
        price=None,
        usd_per_hour=2.0,
        expected=None,
        service=None,
        key_env=None,
        options={},
    )
    return ExperimentSpec(
        name="synthetic",
        description="made by a benchmark",
        targets=(target,),
        accelerations=(AccelerationSpec(name="none", description="", hosted=None, features={}),),
        axes=AxesSpec(steps=(STEPS,), guidance=(4.5,), size=("square_hd",), num_images=(1,), output_format=("png",)),
        prompts=tuple(Prompt(id=f"prompt-{n}", text=PROMPT + str(n), category="made up") for n in range(PROMPTS)),
        seeds=tuple(range(SEEDS)),
        repeats=1,
        warmup=0,
        order_seed=0,
        reference=ReferenceSpec(acceleration="none", steps="default"),
        metrics=tuple(MetricSpec(name=name, kind=name, options={}) for name in METRICS),
        engine=EngineSpec(kind="local", sample_timeout_s=60.0, warmup_timeout_s=60.0, load_timeout_s=60.0),
        budget_usd=None,
    )


def synthetic_plan(experiment: ExperimentSpec) -> Plan:
    """One load group of SETTINGS × PROMPTS × SEEDS requests."""
    settings = tuple(
        Setting(
            id=stable_hash(["setting", number]),
            target="krea_local",
            task="text-to-image",
            acceleration="none",
            steps=STEPS,
            guidance=1.0 + number / 2,
            width=1024,
            height=1024,
            num_images=1,
            output_format="png",
            load_key="group",
            reference_id=stable_hash(["setting", 0]),
        )
        for number in range(SETTINGS)
    )
    requests = tuple(
        Request(
            id=stable_hash([setting.id, prompt.id, seed]),
            setting_id=setting.id,
            prompt_id=prompt.id,
            prompt=prompt.text,
            seed=seed,
            repeat=0,
        )
        for prompt in experiment.prompts
        for seed in experiment.seeds
        for setting in settings
    )
    group = LoadGroup(
        id="group",
        target=experiment.targets[0],
        accelerations=experiment.accelerations,
        settings=settings,
        requests=requests,
        warmup=0,
    )
    return Plan(hash="synthetic", groups=(group,), skipped=(), excluded=0, settings=settings)


def sample_of(request: Request) -> SampleRecord:
    """A delivered sample with the fields of a local back end."""
    sha256 = hashlib.sha256(request.id.encode()).hexdigest()
    image = ImageRecord(
        index=0,
        path=f"images/krea-local-none-{STEPS}steps-1024x1024/{request.prompt_id}-s{request.seed}-{request.id[:8]}.png",
        sha256=sha256,
        size_bytes=1_500_000,
        width=1024,
        height=1024,
        format="png",
        seed=request.seed,
        nsfw=None,
        degenerate=None,
    )
    step_s = 0.1 + int(sha256[:4], 16) / 1e7
    stages_s = {"encode": 0.051, "prepare": 0.002, "denoise": STEPS * step_s, "decode": 0.11, "encode_file": 0.2}
    return SampleRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id="group",
        prompt_id=request.prompt_id,
        seed=request.seed,
        repeat=0,
        attempt=1,
        status="ok",
        started_utc="2026-01-02T03:04:05.678Z",
        steps_run=STEPS,
        timings=Timings(
            end_to_end_s=sum(stages_s.values()) + 0.001,
            stages_s=stages_s,
            residual_s=0.001,
            steps_s=(step_s,) * STEPS,
        ),
        timing_valid=True,
        memory=Memory(
            peak_rss_bytes=3_000_000_000, peak_allocated_bytes=30_000_000_000, peak_reserved_bytes=34_000_000_000
        ),
        cost=Cost(usd=0.0016, basis="device_hour"),
        images=(image,),
    )


def scores_of(request: Request) -> Iterator[ScoreRecord]:
    """One score a metric."""
    sha256 = hashlib.sha256(request.id.encode()).hexdigest()
    for metric in METRICS:
        yield ScoreRecord(
            request_id=request.id,
            image_index=0,
            image_sha256=sha256,
            metric=metric,
            identity="0123456789abcdef",
            status="ok",
            value=int(sha256[:6], 16) / 1e6,
            reference_sha256=None if metric == "clip" else sha256,
        )


def write_run(path: Path) -> None:
    """The whole run directory, without pictures."""
    experiment = synthetic_experiment()
    plan = synthetic_plan(experiment)
    info = collect(plan.hash, experiment, environ=os.environ, now=datetime.now(UTC))
    run = RunDirectory.create(path, info, "# made by a benchmark\n")
    requests = plan.groups[0].requests
    write_lines(run.path / JOURNAL_FILE, map(sample_of, requests))
    write_lines(run.path / SCORES_FILE, (score for request in requests for score in scores_of(request)))


def write_lines(path: Path, records: Iterable[Record | ScoreRecord]) -> None:
    """`records` as a journal holds them."""
    with path.open("wb") as file:
        file.writelines(codec.encode(record) + b"\n" for record in records)


def measure(what: str, path: Path) -> dict[str, float]:
    """Do `what` once in this process: seconds, and the peak of the whole process in MiB."""
    plan = synthetic_plan(synthetic_experiment())
    start = time.perf_counter()
    run = RunDirectory.open(path)
    if what == "state":
        count = len(run.state().samples)
    else:
        rebuild_table(run, plan)
        count = plan.request_count
    seconds = time.perf_counter() - start
    if count != SETTINGS * PROMPTS * SEEDS:
        raise SystemExit(f"{count} samples were read")
    return {"seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_fresh_process(what: str, path: Path) -> dict[str, float]:
    """`measure` in a process of its own, so that its peak memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, "--run", str(path)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=("state", "table"), help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.run)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        write_run(path)
        state, table = in_fresh_process("state", path), in_fresh_process("table", path)
    rows = [
        ("read the state for a resume", state["seconds"], 5.0, "s"),
        ("rebuild samples.parquet", table["seconds"], 20.0, "s"),
        ("peak memory of that", table["mib"], 1536.0, "MiB"),
    ]
    count = SETTINGS * PROMPTS * SEEDS
    print(f"run directory of {count:,} samples and {count * len(METRICS):,} scores")
    for name, value, limit, unit in rows:
        verdict = "ok" if value <= limit else "MISSED"
        print(f"  {name:<30}{value:>10.2f} {unit:<4} limit {limit:>7.0f} {unit:<4} {verdict}")
    return int(any(value > limit for _, value, limit, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
