"""Runs of the hosted path against the loopback fal, for the benchmarks beside this file: worker, journal, budget."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from kreabench.config.resolve import load
from kreabench.core.records import FailureRecord, Record, SampleRecord, SubmissionRecord
from kreabench.execution.budget import Budget
from kreabench.execution.local import LocalEngine
from kreabench.execution.pending import pending_work
from kreabench.pipeline import start
from kreabench.plan_build import build_plan

SAMPLE_CPU_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedRun:
    """What one run left behind."""

    samples: tuple[SampleRecord, ...]
    failures: tuple[FailureRecord, ...]
    truth: dict[str, dict[str, Any]]
    """The service's id of a request → its line in the emulator's truth log."""
    wall_s: float
    """From the first submission to the last sample."""
    client_cpu_s: float
    """Processor time of driver and worker between these two, the emulator left out."""
    spent_usd: float


def hosted_run(
    folder: Path, *, requests: int, concurrency: int, service: dict[str, Any], options: dict[str, Any] | None = None
) -> HostedRun:
    """`requests` requests of the loopback endpoint through the whole engine, into `folder`."""
    truth_log = folder / "truth.jsonl"
    service = {"images": "patterns", "seed": 1, "truth_log": str(truth_log), **service}
    composed = load(
        [
            "target=[mini_fal]",
            *(f"target.mini_fal.options.{name}={value}" for name, value in (options or {}).items()),
            *(f"++target.mini_fal.service.options.{name}={_value(value)}" for name, value in service.items()),
            "axes.size=[256x256]",
            "axes.output_format=[jpeg]",
            "prompts=drawn",
            "prompts.limit=1",
            "metrics=[]",
            f"run.seeds={list(range(requests))}",
            f"run.concurrency={concurrency}",
            "name=hosted",
        ]
    )
    experiment = composed.experiment
    plan = build_plan(experiment)
    run = start(folder / "run", experiment, "", os.environ, composed.input_files)
    budget = Budget(None, plan)
    work = pending_work(plan, run.state(), retry_failed=False)
    records: list[Record] = []
    began = ended = 0.0
    with (
        run.writer() as writer,
        _ProcessorTime() as processor,
        closing(LocalEngine(experiment.engine).run(work, run.path, budget.admit)) as batches,
    ):
        for batch in batches:
            if not began and any(isinstance(record, SubmissionRecord) for record in batch):
                began = time.monotonic()
                processor.begin()
            writer.append(*batch)
            for record in batch:
                budget.record(record)
            records += batch
            if any(isinstance(record, SampleRecord) for record in batch):
                ended = time.monotonic()
        processor.end()
    return HostedRun(
        samples=tuple(record for record in records if isinstance(record, SampleRecord)),
        failures=tuple(record for record in records if isinstance(record, FailureRecord)),
        truth={entry["request_id"]: entry for entry in read_truth(truth_log)},
        wall_s=ended - began,
        client_cpu_s=processor.seconds,
        spent_usd=budget.spent_usd,
    )


def _value(value: Any) -> str:
    """`value` in Hydra's grammar, whose keys take no quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(item)}" for name, item in value.items()) + "}"
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def read_truth(path: Path) -> list[dict[str, Any]]:
    """Every line of a truth log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class _ProcessorTime:
    """Processor seconds of this process and of the workers below it, read while they live."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._own = psutil.Process()
        self._workers: dict[int, float] = {}
        self._known: dict[int, psutil.Process] = {}
        self._others: set[int] = set()
        self._before: dict[int, float] = {}
        self._own_before = 0.0
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _ProcessorTime:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.set()
        self._thread.join()

    def begin(self) -> None:
        """What was used before does not count."""
        self._read()
        self._before = dict(self._workers)
        self._own_before = _seconds(self._own)

    def end(self) -> None:
        """Everything since `begin`, up to the last reading of each worker."""
        used = sum(seconds - self._before.get(pid, 0.0) for pid, seconds in self._workers.items())
        self.seconds = used + _seconds(self._own) - self._own_before

    def _watch(self) -> None:
        while not self._running.wait(SAMPLE_CPU_EVERY_S):
            self._read()

    def _read(self) -> None:
        for pid in _children(self._own.pid):
            try:
                process = self._known.setdefault(pid, psutil.Process(pid))
                if pid not in self._others and "kreabench.execution.worker" not in process.cmdline():
                    self._others.add(pid)
                if pid not in self._others:
                    self._workers[pid] = _seconds(process)
            except psutil.Error:
                continue


def _children(pid: int) -> list[int]:
    """Ids of the children of `pid`, read at little cost: what looks on must not be what is measured."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in found for child in file.read_text().split()]


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def pointed_at(environment: dict[str, str]) -> Iterator[None]:
    """The environment by which the fal client finds the emulator, for a process that has not imported it yet."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of `values` do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
