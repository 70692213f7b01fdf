"""kill -9 and Ctrl-C with many requests in flight: nothing is lost, nothing is sent twice, and the dollars add up."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from kreabench.core.records import FailureRecord, SampleRecord, SubmissionRecord
from kreabench.rundir.directory import RunDirectory
from tests.engine_support import is_gone, wait_until, worker_pids
from tests.hosted_driver import make_hosted_group
from tests.hosted_support import USD, billed_usd, jobs, journal_usd
from tests.support import ROOT, make_run

KILLS = 8
REQUESTS = 130


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A run, the folder of its service, and what is asked for."""

    run: RunDirectory
    state_dir: Path
    options: dict[str, Any]

    @contextmanager
    def driver(self) -> Iterator[subprocess.Popen[bytes]]:
        arguments = [str(self.run.path), str(self.state_dir), json.dumps(self.options)]
        process = subprocess.Popen([sys.executable, "-m", "tests.hosted_driver", *arguments], cwd=ROOT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def finish(self) -> None:
        with self.driver() as process:
            assert process.wait(60) == 0

    def lines(self, kind: str) -> int:
        journal = self.run.path / "journal.jsonl"
        return journal.read_bytes().count(f'{{"kind":"{kind}"'.encode()) if journal.exists() else 0


def make_rig(tmp_path: Path, **options: Any) -> Rig:
    state_dir = tmp_path / "service"
    state_dir.mkdir()
    return Rig(run=make_run(tmp_path / "run"), state_dir=state_dir, options=options)


def kill_something(process: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Mostly the driver, sometimes its worker, and then the driver a little later."""
    if chance.random() < 0.3:
        try:
            for pid in worker_pids(process.pid):
                os.kill(pid, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass
        time.sleep(chance.uniform(0.0, 0.4))
    process.kill()
    process.wait()


@pytest.mark.timeout(300)
def test_nothing_is_bought_twice_however_often_it_is_killed(tmp_path: Path) -> None:
    faults = [
        {"kind": "server_error", "prompt_contains": "7 red"},
        {"kind": "reset", "prompt_contains": "13 red"},
        {"kind": "lost", "prompt_contains": "5 red", "times": 6},
        {"kind": "rate_limited", "prompt_contains": "4 red", "times": 3, "retry_after_s": 0.01},
    ]
    rig = make_rig(tmp_path, faults=faults, prompts=REQUESTS, concurrency=8, queue_s=0.03, inference_s=0.05)
    chance = random.Random(20260203)
    for _ in range(KILLS):
        with rig.driver() as process:
            before = rig.lines("submission")
            wait_until(lambda before=before: rig.lines("submission") > before or process.poll() is not None, "requests")  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.25))
            assert process.poll() is None, "it was done before it had been killed often enough"
            kill_something(process, chance)
    rig.finish()
    rig.finish()  # what was lost while its job was worked on is fetched now
    check(rig)


def check(rig: Rig) -> None:
    records = list(rig.run.records())
    group = make_hosted_group(rig.state_dir, rig.options)
    final = rig.run.samples()
    assert set(final) == {request.id for request in group.requests}
    taken = jobs(rig.state_dir)
    assert all(sum(job.billed_units > 0 for job in found) <= 1 for found in taken.values()), (
        "something was bought twice"
    )
    assert any(sample.hosted is not None and sample.hosted.recovered for sample in final.values())
    delivered = [sample for sample in final.values() if sample.status == "ok"]
    names = Counter(sample.hosted.service_request_id for sample in delivered if sample.hosted)
    assert len(names) == len(delivered)
    for sample in final.values():
        if sample.status == "ok":
            assert sample.hosted is not None
            assert sample.hosted.service_request_id in {job.id for job in taken[sample.request_id]}
        else:
            assert sample.error is not None
            assert sample.error.type in {"network", "server_error", "crashed"}
            assert not sample.error.fetch_again
    lost = [
        sample
        for sample in final.values()
        if sample.cost.usd is None and not any(job.billed_units for job in taken.get(sample.request_id, ()))
    ]
    assert all(sample.error and sample.error.stage == "submit" for sample in lost)
    assert journal_usd(records) == billed_usd(rig.state_dir) + USD * len(lost)
    assert rig.run.state().submitted == {}


def test_the_first_interrupt_cancels_what_waits_and_leaves_what_is_worked_on_to_be_fetched(tmp_path: Path) -> None:
    waiting = make_rig(tmp_path, prompts=8, concurrency=4, queue_s=30.0)
    with waiting.driver() as process:
        wait_until(lambda: waiting.lines("submission") == 8, "four requests in flight")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - began < 5.0
    records = list(waiting.run.records())
    cancelled = [record for record in records if isinstance(record, FailureRecord)]
    assert [(record.error.type, record.error.fetch_again, record.cost.usd) for record in cancelled] == [
        ("cancelled", False, 0.0)
    ] * 4
    assert not any(isinstance(record, SampleRecord) for record in records)
    assert billed_usd(waiting.state_dir) == journal_usd(records) == 0.0
    assert waiting.run.state().submitted == {}


def test_what_the_service_works_on_at_an_interrupt_is_fetched_later(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, prompts=6, concurrency=4, inference_s=1.0)
    with rig.driver() as process:
        wait_until(lambda: rig.lines("submission") == 8, "four requests in flight")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    state = rig.run.state()
    assert len(state.submitted) == 4
    assert None not in state.submitted.values()
    assert (state.samples, state.tries) == ({}, {})
    rig.finish()
    final = rig.run.samples()
    assert {sample.status for sample in final.values()} == {"ok"}
    assert sum(sample.hosted.recovered for sample in final.values() if sample.hosted) == 4
    assert all(len(taken) == 1 for taken in jobs(rig.state_dir).values())
    assert journal_usd(list(rig.run.records())) == billed_usd(rig.state_dir) == 6 * USD


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, prompts=2, concurrency=2, faults=[{"kind": "hang"}])
    with rig.driver() as process:
        wait_until(lambda: rig.lines("submission") == 4, "two requests that hang")
        pids = worker_pids(process.pid)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - began < 6.0
    assert len(pids) == 1
    assert is_gone(pids[0])
    assert len(rig.run.state().submitted) == 2


def test_a_termination_is_like_an_interrupt_where_the_program_catches_it(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, prompts=2, concurrency=2, inference_s=0.5)
    with rig.driver() as process:
        wait_until(lambda: rig.lines("submission") == 4, "two requests in flight")
        process.terminate()  # this driver does not catch it
        assert process.wait(20) == -signal.SIGTERM
    assert len(rig.run.state().submitted) == 2


def test_a_resume_counts_what_is_still_open_against_the_budget(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, prompts=12, concurrency=4, inference_s=0.6, budget_usd=5 * USD)
    with rig.driver() as process:
        wait_until(lambda: rig.lines("submission") == 8, "four requests in flight")
        process.kill()
        process.wait()
    with rig.driver() as process:
        assert process.wait(30) == 5
    final = rig.run.samples()
    assert len(final) == len(jobs(rig.state_dir)) == 5
    assert billed_usd(rig.state_dir) == 5 * USD
    named = [record for record in rig.run.records() if isinstance(record, SubmissionRecord)]
    assert len({record.service_request_id for record in named} - {None}) == 5
