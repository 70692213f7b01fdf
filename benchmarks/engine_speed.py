"""What the engines cost a request beside the worker's own work, and how busy they keep eight light workers.

    python benchmarks/engine_speed.py [--requests N] [--no-ray]

Overhead: the time from one record to the next, less what the same back end and image store take in this process;
blocks of both go A B A B. Of each the tenth percentile is compared: on a machine that others use too, the median is one
of their time slices. Busy: the share of the time, from when all eight have begun until one has nothing left, that
workers spend on requests of 50 ms, storing included, by their own account; the rest they wait for the driver, which
journals each request with its fsync as in a run. Exits 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engine_support import admit_all, engine_spec
from tests.support import make_group, make_setting, make_target

from kreabench.core.engine_spec import EngineSpec, RaySpec
from kreabench.core.planned import LoadGroup
from kreabench.core.records import Record
from kreabench.execution.engine import Engine, GroupWork
from kreabench.execution.local import LocalEngine
from kreabench.execution.messages import Generate, Open
from kreabench.execution.table import engine_for
from kreabench.execution.worker import Worker
from kreabench.rundir.journal import JournalWriter
from kreabench.rundir.writers import RunWriter

LIMIT_MS = {"local": 1.0, "ray": 5.0}
WORKERS, REQUESTS, REQUEST_S, LEAST_BUSY = 8, 100, 0.05, 0.90
SPANS = "KREABENCH_BENCH_SPANS"
HOOK = f"""
import os, sys, time
if "kreabench.execution.worker" in sys.orig_argv:
    from kreabench.execution.answering import Answering

    made = Answering.line

    def line(self, answer, stage, started_utc, began, *others):
        said = made(self, answer, stage, started_utc, began, *others)
        with open(os.environ["{SPANS}"], "a") as file:
            file.write(f"{{os.getpid()}} {{began}} {{time.perf_counter()}}\\n")
        return said

    Answering.line = line
"""
BLOCK = 25
RAY = RaySpec(
    address=None, workers=1, gpus_per_worker=0, cpus_per_worker=1, accelerator_type=None, start_timeout_s=120.0
)


def light_group(name: str, prompts: int, latency_s: float) -> LoadGroup:
    """The fake back end; pictures so small that drawing them hardly needs the processor."""
    options = {"load_s": 0.0, "latency_s": latency_s, "faults": [], "state_dir": None}
    settings = [make_setting(target=name, width=32, height=32)]
    return make_group(settings, target=make_target(name=name, options=options), prompts=prompts)


def run(engine: Engine, groups: Sequence[LoadGroup], path: Path) -> Generator[tuple[Record, ...], None, None]:
    return engine.run([GroupWork(group=group, pending=group.requests) for group in groups], path, admit_all)


def overhead_ms(engine: Engine, group: LoadGroup, root: Path) -> float:
    """Of an undisturbed request; requests go through the engine and through a worker in this process by turns."""
    worker = Worker()
    path = str(root / "here")
    (root / "there").mkdir(parents=True)
    worker.answer(Open(target=group.target, accelerations=(), settings=group.settings, run_path=path))
    seconds: dict[str, list[float]] = {"engine": [], "here": []}
    with closing(run(engine, [group], root / "there")) as batches:
        next(batches)  # the load
        next(batches)  # the first call
        for start in range(0, len(group.requests) - 1 - BLOCK, BLOCK):
            began = time.perf_counter()
            for _ in range(BLOCK):
                next(batches)
                seconds["engine"].append(time.perf_counter() - began)
                began = time.perf_counter()
            for request in group.requests[start : start + BLOCK]:
                began = time.perf_counter()
                worker.answer(Generate(setting_id=request.setting_id, request=request))
                seconds["here"].append(time.perf_counter() - began)
    worker.close()
    quick, usual = ({name: quantile(values) for name, values in seconds.items()} for quantile in (tenth, median))
    print(f"       {quick['engine']:.2f} ms a request, {quick['here']:.2f} ms of them the worker's own")
    print(f"       medians: {usual['engine']:.2f} and {usual['here']:.2f} ms")
    return quick["engine"] - quick["here"]


def tenth(seconds: Sequence[float]) -> float:
    """The tenth percentile, in milliseconds."""
    return statistics.quantiles(seconds, n=10)[0] * 1000


def median(seconds: Sequence[float]) -> float:
    """In milliseconds."""
    return statistics.median(seconds) * 1000


def busy_share(root: Path) -> float:
    """Of eight workers with a group each, which log from when until when they carry out orders."""
    (root / "hook").mkdir(parents=True)
    (root / "hook" / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join([str(root / "hook"), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path, SPANS: str(root / "spans")}
    engine = LocalEngine(engine_spec(devices=("cpu",) * WORKERS), environ=environ)
    groups = [light_group(f"target_{number}", REQUESTS, REQUEST_S) for number in range(WORKERS)]
    with (
        closing(JournalWriter(root / "journal.jsonl")) as journal,
        closing(run(engine, groups, root)) as batches,
    ):
        writer = RunWriter(journal)
        for batch in batches:
            writer.append(*batch)
    spans: dict[str, list[tuple[float, float]]] = {}
    for line in (root / "spans").read_text().splitlines():
        pid, start, end = line.split()
        spans.setdefault(pid, []).append((float(start), float(end)))
    spans = {pid: found[2:] for pid, found in spans.items() if len(found) > REQUESTS}  # less the load, the first call
    begins = max(found[0][0] for found in spans.values())
    ends = min(found[-1][1] for found in spans.values())
    busy = sum(max(0.0, min(end, ends) - max(start, begins)) for found in spans.values() for start, end in found)
    print(f"       {ends - begins:.1f} s in which all {len(spans)} had work")
    return busy / (WORKERS * (ends - begins))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=400, help="of each measurement of overhead [400]")
    parser.add_argument("--no-ray", action="store_true", help="leave out the cluster")
    options = parser.parse_args()
    specs: dict[str, EngineSpec] = {"local": engine_spec()}
    if not options.no_ray:
        specs["ray"] = engine_spec(kind="ray", ray=RAY)
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, spec in specs.items():
            found = overhead_ms(engine_for(spec), light_group("one", options.requests, 0.002), root / name)
            kept.append(found <= LIMIT_MS[name])
            print(f"{'ok  ' if kept[-1] else 'FAIL'}   {name}: {found:.2f} ms a request (limit {LIMIT_MS[name]:g} ms)")
        share = busy_share(root / "busy")
        kept.append(share >= LEAST_BUSY)
        print(f"{'ok  ' if kept[-1] else 'FAIL'}   {WORKERS} workers: {share:.1%} busy (at least {LEAST_BUSY:.0%})")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
