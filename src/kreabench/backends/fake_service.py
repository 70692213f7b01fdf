"""The service behind `backends.fake_hosted`: a folder with a file of jobs, which is its account too."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

JOBS_FILE = "jobs.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request that the service has taken. Seconds are those of the wall clock."""

    id: str
    request_id: str
    units: float
    """Billed once it is done: megapixels, each picture rounded up."""
    submitted_s: float
    started_s: float
    done_s: float
    fails: bool
    cancelled: bool = False

    @property
    def billed_units(self) -> float:
        return 0.0 if self.fails or self.cancelled else self.units


class FakeService:
    """The jobs of one folder. Safe for several threads and processes: every change holds a lock on the file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOBS_FILE
        self._path.touch()

    def submit(self, job: Job, max_running: int | None) -> Job | None:
        """Take the job: with an id, its times from the moment when it was taken. None where too many are running."""
        with self._locked() as descriptor:
            jobs = read_account(self._path.parent)
            now = time.time()
            running = sum(other.done_s > now and not other.cancelled for other in jobs)
            if max_running is not None and running >= max_running:
                return None
            job = replace(_later(job, now - job.submitted_s), id=f"job-{len(jobs) + 1:05d}")
            os.write(descriptor, msgspec.json.encode(job) + b"\n")
        return job

    def find(self, job_id: str) -> Job | None:
        return next((job for job in read_account(self._path.parent) if job.id == job_id), None)

    def cancel(self, job_id: str) -> bool:
        """Whether the job was still waiting."""
        with self._locked() as descriptor:
            job = self.find(job_id)
            if job is None or job.started_s <= time.time():
                return False
            os.write(descriptor, json.dumps({"cancelled": job_id}).encode() + b"\n")
        return True

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """A descriptor of its own for each caller, so that threads keep each other out too."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _later(job: Job, by_s: float) -> Job:
    return replace(job, submitted_s=job.submitted_s + by_s, started_s=job.started_s + by_s, done_s=job.done_s + by_s)


def read_account(folder: Path) -> list[Job]:
    """Every job that the service in `folder` ever took, in order."""
    jobs: dict[str, Job] = {}
    content = (folder / JOBS_FILE).read_bytes()
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        entry = msgspec.json.decode(line)
        if "cancelled" in entry and "id" not in entry:
            jobs[entry["cancelled"]] = replace(jobs[entry["cancelled"]], cancelled=True)
        else:
            job = msgspec.convert(entry, Job)
            jobs[job.id] = job
    return list(jobs.values())
