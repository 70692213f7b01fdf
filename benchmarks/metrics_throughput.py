"""How long scoring a large run takes with every metric that needs no weights: 10,000 pictures of 64 × 64 pixels.

    python benchmarks/metrics_throughput.py [--profile]

Writes a run of five settings, the reference among them, with drawn pictures into a temporary folder, and scores it in a
process of its own, as `kreabench score` does: libraries imported, pictures read, checked and decoded, every score
journalled, the table rebuilt. MS-SSIM is left out, as it needs larger pictures. Exits 1 when the limit is missed.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import PIL.Image

from kreabench.backends.base import GeneratedImage
from kreabench.backends.encoding import encode_picture
from kreabench.config.resolve import load, load_metrics
from kreabench.core.planned import Plan
from kreabench.core.records import Cost, SampleRecord
from kreabench.core.specs import MetricSpec
from kreabench.pipeline import rescore, start
from kreabench.plan_build import build_plan
from kreabench.rundir import codec
from kreabench.rundir.directory import JOURNAL_FILE, RunDirectory
from kreabench.rundir.images import store_image

STEPS = (2, 4, 6, 8, 10)
PROMPTS, SEEDS, SIDE_PX = 8, 250, 64
METRICS = ("psnr", "ssim", "look")
LIMIT_S = 120.0


def make_run(path: Path, seeds: int) -> None:
    """The run directory, its pictures delivered; without the fsync of each picture, which is no part of scoring."""
    composed = load(
        [
            "target=fake_local",
            f"axes.steps={list(STEPS)}",
            f"axes.size=[{SIDE_PX}x{SIDE_PX}]",
            f"prompts.limit={PROMPTS}",
            f"run.seeds={list(range(seeds))}",
            f"reference.steps={max(STEPS)}",
            f"metrics=[{','.join(METRICS)}]",
            "name=throughput",
        ]
    )
    run = start(path, composed.experiment, composed.config_yaml, os.environ)
    with mock.patch("os.fsync"), (run.path / JOURNAL_FILE).open("wb") as journal:
        journal.writelines(
            codec.encode(sample) + b"\n" for sample in samples(run.path, build_plan(composed.experiment))
        )


def samples(path: Path, plan: Plan) -> Iterator[SampleRecord]:
    """One for each request, with a picture that the steps change a little."""
    settings = {setting.id: setting for setting in plan.settings}
    for request in plan.groups[0].requests:
        setting = settings[request.setting_id]
        content = encode_picture(drawing(request.prompt_id, request.seed, setting.steps or 0), "png")
        image = GeneratedImage(content=content, seed=request.seed, nsfw=None)
        yield SampleRecord(
            request_id=request.id,
            setting_id=setting.id,
            group_id=plan.groups[0].id,
            prompt_id=request.prompt_id,
            seed=request.seed,
            repeat=request.repeat,
            attempt=1,
            status="ok",
            started_utc="2026-01-02T03:04:05.678Z",
            steps_run=setting.steps,
            cost=Cost(usd=None, basis="none"),
            images=(store_image(path, setting, request, 0, image),),
        )


def drawing(prompt_id: str, seed: int, steps: int) -> PIL.Image.Image:
    """Smooth colours with grain: nothing is flat, and nothing is noise."""
    random = np.random.default_rng([*prompt_id.encode(), seed])
    patches = PIL.Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((SIDE_PX, SIDE_PX), 3)
    grain = np.random.default_rng([seed, steps]).normal(0, 6, (SIDE_PX, SIDE_PX, 3))
    return PIL.Image.fromarray(np.clip(np.asarray(patches) + grain, 0, 255).astype(np.uint8))


def score(path: Path, metrics: tuple[MetricSpec, ...]) -> dict[str, float]:
    """Score the run once in this process: seconds, those of the processor in it, pictures, and scores by status."""
    run = RunDirectory.open(path)
    began, worked = time.perf_counter(), time.process_time()
    summary = rescore(run, metrics=metrics, again=False, progress=lambda done, total: None)
    seconds, processor_s = time.perf_counter() - began, time.process_time() - worked
    if summary.failed:
        raise SystemExit(f"{summary.failed} scores failed")
    pictures = sum(len(sample.images) for sample in run.samples().values())
    statuses: Counter[str] = Counter(record.status for record in run.scores())
    return {"seconds": seconds, "processor_s": processor_s, "pictures": pictures, **statuses}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="Print where the time goes; profiling slows it down.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="Fewer make a smaller run, which has no limit.")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        profile = cProfile.Profile()
        if arguments.profile:
            profile.enable()
        scored = score(arguments.run, load_metrics(METRICS))
        if arguments.profile:
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)
        print(json.dumps(scored))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        make_run(path, arguments.seeds)
        command = [sys.executable, __file__, "--run", str(path), *(["--profile"] if arguments.profile else [])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    seconds, processor_s = found.pop("seconds"), found.pop("processor_s")
    limit_s = LIMIT_S if arguments.seeds >= SEEDS else math.inf
    verdict = "ok" if seconds <= limit_s else "MISSED"
    print(f"scoring {found.pop('pictures'):,} pictures of {SIDE_PX} × {SIDE_PX} px on {os.cpu_count()} cores")
    print("  " + ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in found.items()))
    print(f"  {seconds:.1f} s ({processor_s:.1f} s of processor time), limit {limit_s:.0f} s: {verdict}")
    return int(seconds > limit_s)


if __name__ == "__main__":
    sys.exit(main())
