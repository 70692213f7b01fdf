"""What the harness costs a sample, beside a bare diffusers loop over the same requests that also saves PNGs.

    python benchmarks/harness_cost.py [--rounds N] [--block N]

Harness: worker process, messages, back end with its stage clock, image store, journal with fsync. Bare: the pipeline
called in this process and `image.save`. Loading and warm-up are excluded from both. Blocks of requests alternate,
harness and bare in turn, within one load of each, so that drift of the machine hits both alike. Exits 1 when a limit
is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kreabench.backends.mini import resolve_model
from kreabench.config.resolve import load
from kreabench.core.records import Record, SampleRecord
from kreabench.core.specs import Plan, Request, Setting
from kreabench.execution.budget import Budget
from kreabench.execution.local import LocalEngine
from kreabench.pipeline import pending_work, start
from kreabench.plan import build_plan
from kreabench.rundir.directory import RunDirectory, RunWriter

LIMIT_MS = 10.0
LIMIT_SHARE = 0.15
BARE_RANGE_MS = (60.0, 150.0)
"""What a bare picture should take for the limits to mean something."""
WARMUP = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Milliseconds of each sample of one pair of blocks."""

    harness_ms: tuple[float, ...]
    bare_ms: tuple[float, ...]


class Harness:
    """The real path of `kreabench run`, one journalled record at a time."""

    def __init__(self, run: RunDirectory, plan: Plan, writer: RunWriter) -> None:
        budget = Budget(None, plan)
        work = pending_work(plan, run.state(), retry_failed=False)
        engine = LocalEngine(run.info.experiment.engine)
        self._writer = writer
        self._records: Generator[Record, None, None] = engine.run(work, run.path, budget.admit)

    def warm_up(self) -> None:
        """Load, and the plan's warm-up calls."""
        for _ in range(1 + WARMUP):
            self.next()

    def next(self) -> None:
        """The next record, journalled. Raises RuntimeError when its request failed."""
        record = next(self._records)
        if isinstance(record, SampleRecord) and record.error is not None:
            raise RuntimeError(record.error.message)
        self._writer.append(record)

    def close(self) -> None:
        """Stop the worker."""
        self._records.close()


class BareLoop:
    """What a person would write."""

    def __init__(self, setting: Setting, folder: Path, options: dict[str, Any]) -> None:
        import torch
        from diffusers import FluxPipeline

        torch.set_num_threads(options["torch_threads"])
        self._torch: Any = torch
        self._setting = setting
        self._folder = folder
        self._tokens: int = options["max_sequence_length"]
        self._pipeline = FluxPipeline.from_pretrained(resolve_model("builtin:mini"), dtype=torch.float32)
        self._pipeline.set_progress_bar_config(disable=True)

    def draw(self, request: Request) -> None:
        """One picture, saved with the PNG settings of the harness, so that only the harness differs."""
        picture = self._pipeline(
            request.prompt,
            width=self._setting.width,
            height=self._setting.height,
            num_inference_steps=self._setting.steps,
            guidance_scale=self._setting.guidance,
            max_sequence_length=self._tokens,
            generator=self._torch.Generator().manual_seed(request.seed),
        ).images[0]
        picture.save(self._folder / f"{request.id}.png", compress_level=1)


def milliseconds(call: Callable[[], None]) -> float:
    """Wall time of `call`."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def measure(folder: Path, rounds: int, block: int) -> list[Round]:
    """Alternate blocks of the harness and of the bare loop."""
    overrides = ["target=mini_local", "axes.steps=[8]", "axes.size=[256x256]", "prompts.limit=1", "metrics=[]"]
    seeds = f"run.seeds={list(range(rounds * block))}"
    experiment = load([*overrides, seeds, f"run.warmup={WARMUP}", "name=harness_cost"]).experiment
    plan = build_plan(experiment)
    group = plan.groups[0]
    bare = BareLoop(group.settings[0], folder, group.target.options)
    for request in group.requests[:WARMUP]:
        bare.draw(request)
    run = start(folder / "run", experiment, "", os.environ)
    with run.writer() as writer:
        harness = Harness(run, plan, writer)
        try:
            harness.warm_up()
            blocks = [group.requests[index * block : (index + 1) * block] for index in range(rounds)]
            return [one_round(harness, bare, requests) for requests in blocks]
        finally:
            harness.close()


def one_round(harness: Harness, bare: BareLoop, requests: Sequence[Request]) -> Round:
    """The same requests both ways."""
    ours = tuple(milliseconds(harness.next) for _ in requests)
    theirs = tuple(milliseconds(lambda request=request: bare.draw(request)) for request in requests)  # type: ignore[misc]
    return Round(harness_ms=ours, bare_ms=theirs)


def report(results: Sequence[Round]) -> bool:
    """Print medians; whether both limits are kept."""
    print(f"{'round':>6} {'harness ms':>11} {'bare ms':>9} {'difference':>11} {'ratio':>7}")
    pairs = [(statistics.median(result.harness_ms), statistics.median(result.bare_ms)) for result in results]
    for number, (ours, theirs) in enumerate(pairs, start=1):
        print(f"{number:>6} {ours:>11.1f} {theirs:>9.1f} {ours - theirs:>11.1f} {ours / theirs:>7.3f}")
    difference = statistics.median(ours - theirs for ours, theirs in pairs)
    share = statistics.median(ours / theirs for ours, theirs in pairs) - 1
    bare_ms = statistics.median(theirs for _, theirs in pairs)
    print(f"harness cost a sample: {difference:.1f} ms (limit {LIMIT_MS:g}), {share:+.1%} (limit {LIMIT_SHARE:.0%})")
    if not BARE_RANGE_MS[0] <= bare_ms <= BARE_RANGE_MS[1]:
        print(f"note: a bare picture took {bare_ms:.0f} ms here; the limits are meant for {BARE_RANGE_MS} ms")
    return difference <= LIMIT_MS and share <= LIMIT_SHARE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of blocks, at least 3")
    parser.add_argument("--block", type=int, default=20, help="samples a block")
    arguments = parser.parse_args()
    # Beside the checkout, not in a temporary folder: that is often in memory, where fsync costs nothing.
    with tempfile.TemporaryDirectory(prefix=".harness-cost-", dir=Path.cwd()) as folder:
        kept = report(measure(Path(folder), max(3, arguments.rounds), arguments.block))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
