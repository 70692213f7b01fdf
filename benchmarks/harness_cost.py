"""What the harness costs a sample, beside a bare diffusers loop over the same requests that also saves PNGs.

    python benchmarks/harness_cost.py [--rounds N] [--block N]

Harness: worker process, messages, back end with its stage clock, image store, journal with fsync. Bare: a process that
calls the pipeline and `image.save`. Loading and warm-up are excluded from both. Blocks of requests go A B A B, so that
drift of the machine hits both alike. Each round starts both processes anew, because where a process happens to lie in
memory alone makes it up to a tenth faster or slower. Exits 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kreabench.backends.mini import resolve_model
from kreabench.backends.quiet import no_progress_bars
from kreabench.config.resolve import load
from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import Record, SampleRecord
from kreabench.execution.budget import Budget
from kreabench.execution.local import LocalEngine
from kreabench.execution.pending import pending_work
from kreabench.pipeline import start
from kreabench.plan_build import build_plan
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.writers import RunWriter

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
        self._batches: Generator[tuple[Record, ...], None, None] = engine.run(work, run.path, budget.admit)
        for _ in range(1 + WARMUP):  # the load, and the plan's own warm-up calls
            self.draw()

    def draw(self) -> SampleRecord | None:
        """The next record, journalled; the sample if it is one. Raises RuntimeError for a failure."""
        (record,) = next(self._batches)  # a local target is asked for one picture at a time
        if getattr(record, "error", None) is not None:
            raise RuntimeError(f"the harness failed: {record}")
        self._writer.append(record)
        return record if isinstance(record, SampleRecord) else None

    def close(self) -> None:
        """Stop the worker."""
        self._batches.close()


class BareProcess:
    """A process around `bare_loop`."""

    def __init__(self, setting: Setting, folder: Path, options: dict[str, Any]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._end, end = spawn.Pipe()
        self._process = spawn.Process(target=bare_loop, args=(end, setting, folder, options), daemon=True)
        self._process.start()
        end.close()

    def draw(self, requests: Sequence[Request]) -> list[float]:
        """Milliseconds of each request, measured over there. Raises EOFError when the process died."""
        self._end.send(requests)
        times: list[float] = self._end.recv()
        return times

    def close(self) -> None:
        """Stop the process."""
        self._end.close()
        self._process.join()


def bare_loop(end: Connection, setting: Setting, folder: Path, options: dict[str, Any]) -> None:
    """What a person would write, with the PNG settings of the harness, so that only the harness differs."""
    import torch
    from diffusers import FluxPipeline

    torch.set_num_threads(options["torch_threads"])
    with no_progress_bars():
        pipeline = FluxPipeline.from_pretrained(resolve_model("builtin:mini-untrained"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def draw(request: Request) -> None:
        picture = pipeline(
            request.prompt,
            width=setting.width,
            height=setting.height,
            num_inference_steps=setting.steps,
            guidance_scale=setting.guidance,
            max_sequence_length=options["max_sequence_length"],
            generator=torch.Generator().manual_seed(request.seed),
        ).images[0]
        picture.save(folder / f"{request.id}.png", compress_level=1)

    try:
        while True:
            end.send([milliseconds(lambda request=request: draw(request)) for request in end.recv()])  # type: ignore[misc]
    except EOFError:
        return


def milliseconds(call: Callable[[], object]) -> float:
    """Wall time of `call`."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def measure(folder: Path, rounds: int, block: int) -> list[Round]:
    """`rounds` fresh pairs of processes, each drawing 2 × `block` requests."""
    experiment = load(
        [
            "target=mini_local",
            "target.mini_local.model=builtin:mini-untrained",
            "target.mini_local.options.max_sequence_length=128",
            "axes.steps=[8]",
            "axes.size=[256x256]",
            "prompts.limit=1",
            "metrics=[]",
            f"run.seeds={list(range(rounds * 2 * block))}",
            f"run.warmup={WARMUP}",
            "name=harness_cost",
        ]
    ).experiment
    plan = build_plan(experiment)
    run = start(folder / "run", experiment, "", os.environ)
    results = []
    with run.writer() as writer:
        for index in range(rounds):
            requests = plan.groups[0].requests[2 * block * index : 2 * block * (index + 1)]
            results.append(one_round(run, plan, writer, folder, (requests[:block], requests[block:])))
    return results


def one_round(
    run: RunDirectory, plan: Plan, writer: RunWriter, folder: Path, blocks: Sequence[Sequence[Request]]
) -> Round:
    """Both ways anew, then each block both ways."""
    group = plan.groups[0]
    bare = BareProcess(group.settings[0], folder, group.target.options)
    harness = Harness(run, plan, writer)  # loads while the other process does
    bare.draw(group.requests[:WARMUP])
    ours: list[float] = []
    theirs: list[float] = []
    try:
        for requests in blocks:
            ours += [milliseconds(harness.draw) for _ in requests]
            theirs += bare.draw(requests)
    finally:
        harness.close()
        bare.close()
    return Round(harness_ms=tuple(ours), bare_ms=tuple(theirs))


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
    parser.add_argument("--rounds", type=int, default=7, help="fresh pairs of processes, at least 3")
    parser.add_argument("--block", type=int, default=8, help="samples a block, two blocks a round")
    arguments = parser.parse_args()
    # In the checkout (where git ignores it), not in a temporary folder: that is often in memory, where fsync is free.
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="harness-cost-", dir=results) as folder:
        kept = report(measure(Path(folder), max(3, arguments.rounds), arguments.block))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
