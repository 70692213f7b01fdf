"""The jobs of a run seen from outside: how far they are, and merging what they drew."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kreabench.merging import Merged, merge
from kreabench.rundir.batches import (
    JOBS_FOLDER,
    Batch,
    close,
    open_batches,
    read_batch,
    read_end,
    read_jobs,
)
from kreabench.slurm.jobs import alive

State = Literal["done", "budget", "closed", "failed", "alive", "killed", "never submitted", "unknown"]
_ENDED: frozenset[str] = frozenset({"done", "budget", "closed", "failed", "killed", "never submitted"})

POLL_S = 10.0
_PATIENCE = 6
"""Polls without an answer about any job that is left: then nobody will say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementState:
    """How far one job is."""

    name: str
    job_id: str | None
    state: State
    message: str
    """What a job that failed, or stopped at the budget, said."""
    requests: int
    log: Path
    """Where the job prints."""

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    def __str__(self) -> str:
        job = f"job {self.job_id}" if self.job_id else "no job id"
        said = {
            "done": "done",
            "alive": "waits or runs",
            "killed": f"was ended from outside (time, memory, scancel): see {self.log}*",
            "failed": f"failed: {self.message}",
            "budget": self.message,
            "closed": "stopped, as its batch was closed",
            "never submitted": "was never submitted",
            "unknown": "nobody can say whether it runs",
        }[self.state]
        return f"{self.name} ({job}, {self.requests} requests): {said}"


def states_of(folder: Path) -> list[ElementState]:
    """Every element of the batch in `folder`. Raises RunDirectoryError for damage."""
    batch: Batch = read_batch(folder)
    jobs = read_jobs(folder)
    lives = alive(jobs) if jobs is not None else {}
    found = []
    for element in batch.elements:
        job_id = jobs.ids.get(element.name) if jobs is not None else None
        ended = read_end(folder / element.name)
        state: State
        if ended is not None:
            state = ended.how
        elif jobs is not None and job_id is None and jobs.complete:
            state = "never submitted"
        else:
            life = lives.get(element.name)
            state = "unknown" if life is None else "alive" if life else "killed"
        found.append(
            ElementState(
                name=element.name,
                job_id=job_id,
                state=state,
                message=ended.message if ended is not None else "",
                requests=len(element.requests),
                log=folder / JOBS_FOLDER / (job_id or ""),
            )
        )
    return found


def merge_batches(
    run_path: Path, part_paths: Sequence[Path] = (), *, give_up_missing: bool = False, close_all: bool = False
) -> tuple[Merged, list[ElementState], bool]:
    """Merge the parts of a run and close the batches whose jobs have all ended; `close_all`: all of them.

    Returns what came of it, the state of each job that had not ended before, and whether the run is free to be gone on
    with. Raises as `merging.merge` does.
    """
    batches = open_batches(run_path)
    # Asked before merging: what a job adds after that is merged next time, so its batch must not be closed now.
    states = {folder: states_of(folder) for folder in batches}
    if close_all:
        for folder in batches:
            close(folder, merged=False)  # its jobs stop; it is free once the merge came to its end
    merged = merge(run_path, part_paths, give_up_missing=give_up_missing)
    below = {path.resolve() for path in part_paths}
    for folder, elements in states.items():
        everything = not below or all((folder / element.name).resolve() in below for element in elements)
        if close_all or (everything and all(element.ended for element in elements)):
            close(folder)
    return merged, [element for elements in states.values() for element in elements], not open_batches(run_path)


def wait_for(
    folder: Path,
    tell: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until all jobs of a batch have ended; False where nobody can say any more. `tell` is told what changes."""
    before, silent = "", 0
    while True:
        states = states_of(folder)
        left = [state for state in states if not state.ended]
        if not left:
            return True
        silent = silent + 1 if all(state.state == "unknown" for state in left) else 0
        if silent >= _PATIENCE:
            return False
        now = f"{len(states) - len(left)} of {len(states)} jobs have ended"
        if now != before:
            tell(now)
            before = now
        sleep(POLL_S)
