"""A run on a Ray cluster of three nodes whose workers, actors, nodes and drivers are killed; needs `kreabench[ray]`.

    python benchmarks/ray_faults.py [--load-s S]

Four load groups of 60 requests of the fake back end, one of which kills whoever draws it. Meanwhile two workers and an
actor are killed, a node is removed and another added, and the driver is killed twice and started again, which takes
over the actors with their models. Each call of the back end is logged by the workers themselves, beside the journal.
Exits 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engine_support import admit_all, engine_spec, is_gone
from tests.support import make_group, make_plan, make_run, make_setting, make_target

from kreabench.core.engine_spec import RaySpec
from kreabench.core.planned import LoadGroup, Plan
from kreabench.core.records import FailureRecord, LoadRecord, SampleRecord
from kreabench.execution.pending import pending_work
from kreabench.execution.table import engine_for
from kreabench.rundir.directory import RunDirectory

GROUPS, PROMPTS, LATENCY_S = 4, 60, 0.05
POISON = " 17 red"
LIMIT_S = 600.0
CALLS = "KREABENCH_BENCH_CALLS"
HOOK = f"""
import os, sys
if "kreabench.execution.worker" in sys.orig_argv:
    from kreabench.backends.fake import FakeBackend

    def logged(method, label):
        def call(self, *arguments, **options):
            with open(os.environ["{CALLS}"], "a") as file:
                file.write(label(arguments) + "\\n")
            return method(self, *arguments, **options)
        return call

    FakeBackend.open = logged(FakeBackend.open, lambda arguments: "open " + arguments[0].name)
    FakeBackend.generate = logged(FakeBackend.generate, lambda arguments: "draw " + arguments[1].id)
"""
"""Of each worker's own account; nothing that the driver could know or get wrong."""


def groups(load_s: float) -> tuple[LoadGroup, ...]:
    """The last one holds the poison."""
    made = []
    for number in range(GROUPS):
        faults = [{"kind": "crash", "prompt_contains": POISON}] if number == GROUPS - 1 else []
        options = {"load_s": load_s, "latency_s": LATENCY_S, "faults": faults, "state_dir": None}
        name = f"target_{number}"
        target = make_target(name=name, options=options)
        made.append(make_group([make_setting(target=name, width=64, height=64)], target=target, prompts=PROMPTS))
    return tuple(made)


def drive(run_path: Path, address: str, plan: Plan) -> None:
    """What `kreabench resume` does, less scores and report."""
    run = RunDirectory.open(run_path)
    ray = RaySpec(
        address=address,
        workers=None,
        gpus_per_worker=0,
        cpus_per_worker=1,
        accelerator_type=None,
        start_timeout_s=120.0,
    )
    engine = engine_for(engine_spec(kind="ray", ray=ray))
    with run.writer() as writer:
        work = pending_work(plan, run.state(), retry_failed=False)
        with closing(engine.run(work, run.path, admit_all)) as batches:
            for batch in batches:
                writer.append(*batch)


@dataclass
class Night:
    """The run as somebody outside sees it, and what is done to it."""

    run: RunDirectory
    plan: Plan
    command: list[str]
    driver: subprocess.Popen[bytes]
    faults: int = 0
    kept: int = 0
    """Workers that outlived a driver."""

    def samples(self) -> int:
        return len(self.run.samples())

    def wait_for(self, samples: int) -> None:
        """Until so many samples are journalled. Raises TimeoutError and RuntimeError."""
        ends = time.monotonic() + LIMIT_S
        while self.samples() < samples:
            if time.monotonic() > ends:
                raise TimeoutError(f"not within {LIMIT_S:g} s: {samples} samples")
            if self.driver.poll() not in (None, 0):
                raise RuntimeError(f"the driver ended with {self.driver.returncode}")
            time.sleep(0.05)

    def kill_worker(self) -> None:
        """One that has a request in hand, most likely."""
        workers()[0].kill()

    def kill_actor(self) -> None:
        """The parent of a worker, which goes with it."""
        worker = workers()[0]
        actor = worker.parent()
        if actor is not None:
            actor.kill()
        wait_until_gone([worker])

    def kill_driver(self) -> None:
        """And start another one."""
        self.driver.kill()
        self.driver.wait()
        time.sleep(1)
        self.kept += len(workers())
        self.driver = subprocess.Popen(self.command)


def workers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "kreabench.execution.worker" in (process.info["cmdline"] or []) and CALLS in environment(process):
            found.append(process)
    return found


def environment(process: psutil.Process) -> dict[str, str]:
    """Empty for a process that has just ended."""
    try:
        found: dict[str, str] = process.environ()
        return found if found.get(CALLS) == os.environ.get(CALLS) else {}
    except psutil.Error:
        return {}


def wait_until_gone(processes: list[psutil.Process]) -> None:
    ends = time.monotonic() + 60
    while any(not is_gone(process.pid) for process in processes):
        if time.monotonic() > ends:
            raise TimeoutError("workers outlive what they belonged to")
        time.sleep(0.05)


def torment(night: Night, cluster: object, nodes: list[object]) -> None:
    """Every fault, each after so many samples."""

    def remove() -> None:
        cluster.remove_node(nodes.pop(), allow_graceful=False)  # type: ignore[attr-defined]

    def add() -> None:
        nodes.append(cluster.add_node(num_cpus=2))  # type: ignore[attr-defined]

    faults: list[tuple[int, str, Callable[[], None]]] = [
        (15, "a worker is killed", night.kill_worker),
        (40, "the driver is killed", night.kill_driver),
        (70, "a node is removed", remove),
        (95, "an actor is killed", night.kill_actor),
        (115, "a node is added", add),
        (140, "the driver is killed again", night.kill_driver),
        (175, "a worker is killed", night.kill_worker),
    ]
    began = time.monotonic()
    for samples, what, do in faults:
        night.wait_for(samples)
        print(f"{time.monotonic() - began:6.1f} s  {night.samples():3d} samples: {what}", flush=True)
        do()
        night.faults += 1
    night.wait_for(GROUPS * PROMPTS)
    if night.driver.wait(60) != 0:
        raise RuntimeError(f"the driver ended with {night.driver.returncode}")
    print(f"{time.monotonic() - began:6.1f} s  all {night.samples()} samples", flush=True)


def verdict(night: Night, calls: Path) -> bool:
    """Print what came of it; whether every promise was kept."""
    records = list(night.run.records())
    lines = Counter(record.request_id for record in records if isinstance(record, SampleRecord))
    failed = [record for record in night.run.samples().values() if record.status == "failed"]
    asked = [request.id for group in night.plan.groups for request in group.requests]
    poison = [r.id for r in night.plan.groups[-1].requests if POISON in r.prompt]
    said = calls.read_text().split("\n")
    drawn = Counter(line.split()[1] for line in said if line.startswith("draw "))
    opened = sum(line.startswith("open ") for line in said)
    faults = night.faults + 2  # by the poison
    pictures = [night.run.path / image.path for sample in night.run.samples().values() for image in sample.images]
    checks = {
        f"{sum(lines.values())} sample lines for {len(asked)} requests, each once": lines == Counter(asked),
        f"{max(drawn.values())} executions of a request at most (limit 2)": max(drawn.values()) <= 2,
        f"{sum(count > 1 for count in drawn.values())} requests were executed twice": True,
        f"{len(failed)} failed: the poison, after {failed[0].attempt if failed else 0} attempts": [
            one.request_id for one in failed
        ]
        == poison,
        f"{opened} model loads (limit {GROUPS} groups + {faults} faults)": opened <= GROUPS + faults,
        f"{night.kept} workers outlived two drivers": night.kept > 0,
        f"{len(pictures)} pictures, all there": len(pictures) == len(asked) - 1
        and all(path.is_file() for path in pictures),
        f"{sum(isinstance(record, LoadRecord) for record in records)} loads and "
        f"{sum(isinstance(record, FailureRecord) for record in records)} failures in the journal": True,
        f"{len(workers())} workers left behind": not workers(),
    }
    for text, kept in checks.items():
        print(f"{'ok  ' if kept else 'FAIL'}  {text}")
    return all(checks.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--load-s", type=float, default=6.0, help="seconds that a model takes to load [6]")
    parser.add_argument("--drive", nargs=2, metavar=("RUN", "ADDRESS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    plan = make_plan(*groups(options.load_s))
    if options.drive:
        drive(Path(options.drive[0]), options.drive[1], plan)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "hook").mkdir()
        (root / "hook" / "sitecustomize.py").write_text(HOOK)
        os.environ[CALLS] = str(root / "calls")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root / "hook"), os.environ.get("PYTHONPATH", "")])
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
        run = make_run(root / "run")
        command = [sys.executable, __file__, "--load-s", str(options.load_s), "--drive", str(run.path), cluster.address]
        night = Night(run=run, plan=plan, command=command, driver=subprocess.Popen(command))
        try:
            torment(night, cluster, nodes)
            return 0 if verdict(night, root / "calls") else 1
        finally:
            night.driver.kill()
            night.driver.wait()
            cluster.shutdown()


if __name__ == "__main__":
    sys.exit(main())
