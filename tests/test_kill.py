"""kill -9 at random moments, of the driver and of its workers: nothing lost, nothing twice, nobody left behind."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from kreabench.core.records import SCHEMA_VERSION, FailureRecord, SampleRecord
from kreabench.rundir.directory import RunDirectory, RunInfo
from tests.engine_support import is_gone, wait_until, worker_pids
from tests.resume_driver import make_groups
from tests.support import UTC, make_experiment

DRIVER_KILLS = 8
WORKER_KILLS = 6
MARK = "KREABENCH_TEST_MARK"


class Journal:
    """The journal as somebody outside sees it; every look checks that nothing ever seen has changed or gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = b""

    def samples(self) -> int:
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        assert whole.startswith(self._seen), "a line that was there is gone"
        self._seen = whole
        return whole.count(b'{"kind":"sample"')


@contextmanager
def driver(run_path: Path, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.resume_driver", str(run_path)], env={**os.environ, MARK: mark}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def marked(mark: str) -> list[int]:
    """Living processes that descend from one of our drivers."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and not is_gone(process.pid):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill_a_worker(driver_pid: int) -> bool:
    """Whether there was one."""
    try:
        pids = worker_pids(driver_pid)
    except psutil.NoSuchProcess:
        return False
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return bool(pids)


def kill_workers(process: subprocess.Popen[bytes], journal: Journal, chance: random.Random, times: int) -> int:
    """Kill workers of a driver that goes on; how many.

    Two more samples must have come since the last one: a request that dies twice is failed for good, rightly.
    """
    killed = 0
    while killed < times and process.poll() is None:
        target = journal.samples() + 2
        wait_until(lambda target=target: journal.samples() >= target or process.poll() is not None, "samples")  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.03))
        killed += kill_a_worker(process.pid)
    return killed


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_twice_however_often_it_is_killed(tmp_path: Path) -> None:
    chance = random.Random(20260102)
    mark = uuid.uuid4().hex
    path = tmp_path / "run"
    info = RunInfo(
        schema_version=SCHEMA_VERSION,
        plan_hash="0" * 16,
        created_utc=UTC,
        experiment=make_experiment(),
        versions={},
        environment={},
        git_revision=None,
    )
    run = RunDirectory.create(path, info, "")
    journal = Journal(path / "journal.jsonl")
    driver_kills = worker_kills = 0
    while driver_kills < DRIVER_KILLS:
        before = journal.samples()
        with driver(path, mark) as process:
            if driver_kills % 2:
                wait_until(lambda before=before: journal.samples() > before or process.poll() is not None, "a sample")  # type: ignore[misc]
                worker_kills += kill_workers(process, journal, chance, driver_kills % 4 // 2)
                time.sleep(chance.uniform(0.0, 0.2))
            else:  # while it starts, repairs the journal, loads or warms up
                time.sleep(chance.uniform(0.0, 0.5))
            assert process.poll() is None, "it was done before it had been killed often enough"
            process.kill()
            driver_kills += 1
    with driver(path, mark) as process:
        worker_kills += kill_workers(process, journal, chance, WORKER_KILLS - worker_kills)
        assert process.wait(60) == 0
    assert worker_kills >= WORKER_KILLS
    journal.samples()
    check_run(run)
    wait_until(lambda: marked(mark) == [], "every process that belonged to a driver ends")


def check_run(run: RunDirectory) -> None:
    """Every request has exactly one sample, and every picture is the one that its line names."""
    found = [record for record in run.records() if isinstance(record, SampleRecord)]
    wanted = [request.id for group in make_groups() for request in group.requests]
    assert Counter(record.request_id for record in found) == Counter(wanted)
    assert {record.status for record in found} == {"ok"}
    blamed = [record for record in run.records() if isinstance(record, FailureRecord) and record.request_id is not None]
    assert blamed, "no worker was killed with a sample in hand"
    assert {failure.error.signal for failure in blamed} == {signal.SIGKILL}
    again = {record.request_id for record in found if record.attempt == 2}
    assert again == {failure.request_id for failure in blamed}
    assert not any(record.timing_valid for record in found if record.request_id in again)
    pictures = {image.path: image.sha256 for record in found for image in record.images}
    assert len(pictures) == len(found)
    for path, sha256 in pictures.items():
        assert hashlib.sha256((run.path / path).read_bytes()).hexdigest() == sha256
    stored = {str(file.relative_to(run.path)) for file in (run.path / "images").rglob("*.png")}
    assert stored == set(pictures)
