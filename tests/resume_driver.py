"""A driver as small as can be, for tests that kill it: `python -m tests.resume_driver RUN` goes on with a run."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from kreabench.core.planned import LoadGroup
from kreabench.execution.engine import GroupWork
from kreabench.execution.local import LocalEngine
from kreabench.rundir.directory import RunDirectory
from tests.engine_support import admit_all, engine_spec
from tests.support import make_group, make_setting, make_target


def make_groups() -> list[LoadGroup]:
    """Two models with two settings each; 400 requests of at least 8 ms."""
    options = {"load_s": 0.02, "latency_s": 0.008, "faults": [], "state_dir": None}
    groups = []
    for name in ("one", "two"):
        settings = [make_setting(target=name, steps=steps, width=64, height=64) for steps in (2, 4)]
        target = make_target(name=name, options=options)
        groups.append(make_group(settings, target=target, prompts=100, warmup=1))
    return groups


def main(run_path: Path) -> None:
    run = RunDirectory.open(run_path)
    with run.writer() as writer:
        state = run.state()
        work = [
            GroupWork(
                group=group,
                pending=tuple(request for request in group.requests if request.id not in state.samples),
                deaths=state.deaths,
                tries=state.tries,
            )
            for group in make_groups()
        ]
        with closing(LocalEngine(engine_spec()).run(work, run_path, admit_all)) as batches:
            for batch in batches:
                writer.append(*batch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
