"""The first part of `gpu.py`: what kreabench's whole path costs a sample, beside a bare diffusers loop.

Run as a script, with its work as JSON, it is that bare loop.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = "krea_random"


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """Seconds a sample, medians over all blocks."""

    harness_s: float
    bare_s: float
    n: int
    """Samples of each."""

    @property
    def share(self) -> float:
        return self.harness_s / self.bare_s - 1


def overrides(arguments: argparse.Namespace, name: str, seeds: int) -> list[str]:
    """The experiment on the device and geometry asked for."""
    options = f"target.{TARGET}.options"
    small = ["dtype=float32", "max_sequence_length=128", "torch_threads=1"] if arguments.geometry == "mini" else []
    return [
        "experiment=gpu_random_weights",
        f"name={name}",
        f"run.dir={arguments.runs}",
        f"report.dir={arguments.reports}",
        f"run.seeds={list(range(seeds))}",
        f"axes.steps=[{arguments.steps}]",
        f"axes.size=[{arguments.size}]",
        f"{options}.device={arguments.device}",
        f"{options}.geometry={arguments.geometry}",
        *(f"{options}.{option}" for option in small),
    ]


def measure_overhead(arguments: argparse.Namespace) -> Overhead:
    """Harness, bare, bare, harness: a fresh process each, so that drift hits both alike and memory is never shared.

    Raises RuntimeError when a part cannot run.
    """
    results: dict[str, list[float]] = {"harness": [], "bare": []}
    # In the checkout (where git ignores it), not in a temporary folder: that is often in memory, where fsync is free.
    parent = ROOT / "benchmarks" / "results"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-overhead-", dir=parent) as folder:
        for index, letter in enumerate(arguments.order):
            kind, measure = ("harness", harness_block) if letter == "A" else ("bare", bare_block)
            results[kind] += measure(arguments, Path(folder) / str(index))
    harness, bare = (statistics.median(results[kind]) for kind in ("harness", "bare"))
    return Overhead(harness_s=harness, bare_s=bare, n=len(results["bare"]))


def harness_block(arguments: argparse.Namespace, folder: Path) -> list[float]:
    """Seconds from one journalled sample to the next, over the real path of `kreabench run`."""
    from kreabench.config.resolve import load
    from kreabench.core.records import SampleRecord
    from kreabench.execution.budget import Budget
    from kreabench.execution.local import LocalEngine
    from kreabench.execution.pending import pending_work
    from kreabench.pipeline import start
    from kreabench.plan_build import build_plan

    experiment = load([*overrides(arguments, "overhead", arguments.block), "acceleration=[none]"]).experiment
    plan = build_plan(experiment)
    run = start(folder, experiment, "", os.environ)
    engine, budget = LocalEngine(experiment.engine), Budget(None, plan)
    seconds, last = [], 0.0
    with (
        run.writer() as writer,
        closing(engine.run(pending_work(plan, run.state(), retry_failed=False), run.path, budget.admit)) as batches,
    ):
        for batch in batches:
            (record,) = batch  # local targets are asked for one picture at a time
            writer.append(record)
            error = getattr(record, "error", None)
            if error is not None:
                raise RuntimeError(f"a sample of the overhead failed: {error.message}")
            now = time.perf_counter()
            if isinstance(record, SampleRecord):
                seconds.append(now - last)
            last = now
    return seconds


def bare_block(arguments: argparse.Namespace, folder: Path) -> list[float]:
    """Seconds of each picture in a process of its own that knows nothing of kreabench but the random weights."""
    from kreabench.config.resolve import load

    folder.mkdir()
    experiment = load([*overrides(arguments, "bare", arguments.block), "acceleration=[none]"]).experiment
    work = {
        "folder": str(folder),
        "options": experiment.targets[0].options,
        "prompt": experiment.prompts[0].text,
        "guidance": experiment.targets[0].defaults.guidance,
        "steps": arguments.steps,
        "size": [int(side) for side in arguments.size.split("x")],
        "warmup": experiment.warmup,
        "seeds": list(experiment.seeds),
    }
    command = [sys.executable, __file__, json.dumps(work)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the bare loop ended with exit code {done.returncode}")
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def bare_process(work: dict[str, Any]) -> None:
    """What a person would write, with the harness's PNG settings; prints the seconds of each picture."""
    import torch
    from diffusers import FluxPipeline

    from kreabench.backends.random_weights import build_components

    options = work["options"]
    if options["torch_threads"] is not None:
        torch.set_num_threads(options["torch_threads"])
    device = options["device"] if ":" in options["device"] or options["device"] == "cpu" else f"{options['device']}:0"
    pipeline = FluxPipeline(**build_components(options["geometry"], device=device, dtype=options["dtype"]))
    pipeline.set_progress_bar_config(disable=True)
    width, height = work["size"]

    def draw(seed: int) -> float:
        began = time.perf_counter()
        picture = pipeline(
            work["prompt"],
            width=width,
            height=height,
            num_inference_steps=work["steps"],
            guidance_scale=work["guidance"],
            max_sequence_length=options["max_sequence_length"],
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        picture.save(Path(work["folder"]) / f"{seed}.png", compress_level=1)
        return time.perf_counter() - began

    for _ in range(work["warmup"]):
        draw(work["seeds"][0])
    print(json.dumps([draw(seed) for seed in work["seeds"]]))


if __name__ == "__main__":
    bare_process(json.loads(sys.argv[1]))
