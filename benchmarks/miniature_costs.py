"""Whether the same seed gives the same picture, and what a picture takes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from kreabench.analysis.estimates import median
from kreabench.backends.mini import resolve_model
from kreabench.rundir.directory import RunDirectory
from miniature_curves import steps_run
from miniature_runs import METRIC
from miniature_tables import Table, with_interval

if TYPE_CHECKING:
    from pathlib import Path

    from kreabench import Run
    from miniature_runs import Bench

LIMIT = 16
"""Captions that are drawn again."""
LOADS = 8
_LOAD = """
import sys, time, torch
from diffusers import FluxPipeline
torch.set_num_threads(1)
FluxPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    FluxPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
    print(time.perf_counter() - began)
"""


def repeat_tables(bench: Bench) -> list[Table]:
    """The same requests after another load, and with another number of threads."""
    runs = {
        name: bench.draw(name, *bench.words(name, *words, metrics=(METRIC,), limit=min(LIMIT, bench.prompts)))
        for name, words in (
            ("repeat-base", ()),
            ("repeat-load", ()),
            ("repeat-threads", ("target.mini_local.options.torch_threads=2",)),
        )
    }
    base = runs["repeat-base"]
    return [
        Table(
            title="The same seed",
            note="Pictures of the same caption and seed, drawn again and held against the first ones by the SHA-256 "
            "of their files.",
            header=("", "equal pictures", "greatest difference of a channel, of 255"),
            rows=(
                ("loaded anew in another process", *_equality(base, runs["repeat-load"])),
                ("with two threads for one", *_equality(base, runs["repeat-threads"])),
            ),
        )
    ]


def _equality(base: Run, other: Run) -> tuple[str, str]:
    both = _merged(base, other)
    equal = both["image_sha256_x"] == both["image_sha256_y"]
    differences = [
        int(np.abs(_levels(base.path / left) - _levels(other.path / right)).max())
        for left, right in zip(both["image_path_x"], both["image_path_y"], strict=True)
    ]
    return f"{int(equal.sum())} of {len(both)}", str(max(differences, default=0))


def _merged(base: Run, other: Run) -> pd.DataFrame:
    return base.samples.merge(other.samples, on=["prompt_id", "seed", "image_index", "steps"])


def _levels(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def load_seconds(model: str) -> list[float]:
    """Of a few loads in a process that has imported everything before."""
    command = [sys.executable, "-c", _LOAD, str(resolve_model(model)), str(LOADS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def cost_tables(bench: Bench) -> list[Table]:
    """Seconds and memory of one thread."""
    run = steps_run(bench)
    samples = run.samples
    fit = samples[samples["timing_valid"].fillna(value=False).astype(bool)]
    load_s = max(load.load_s for load in RunDirectory.open(run.path).loads())
    again = with_interval(median(load_seconds(bench.model)))
    peak = samples["peak_rss_bytes"].max() / 2**20
    return [
        Table(
            title="Time and memory",
            note=f"On one thread of a processor. The pipeline loads in {again} s; the first load of a worker took "
            f"{load_s:.1f} s, with the imports of torch and diffusers. Its resident memory peaks at {peak:.0f} MiB. "
            "Medians with exact 95 % intervals.",
            header=("steps", "seconds a picture", "of these denoising"),
            rows=tuple(
                (
                    f"{steps}",
                    with_interval(median(part["end_to_end_s"].to_numpy(dtype=float)), digits=3),
                    with_interval(median(part["stage_denoise_s"].to_numpy(dtype=float)), digits=3),
                )
                for steps, part in fit.groupby("steps")
            ),
        )
    ]
