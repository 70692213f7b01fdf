"""One level of load: requests start when they are meant to, nothing is tried again, and the level ends by the clock."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.errors import BudgetReached
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import Failure, Record, SampleRecord
from kreabench.core.traffic import TrafficSpec
from kreabench.drops import is_unanswered, sent_in, spared, standing, told_of, unanswered
from kreabench.execution.engine import GroupWork
from kreabench.execution.flights import Flight, Requests
from kreabench.execution.hosted_answers import HostedAnswers
from kreabench.execution.messages import Failed
from kreabench.execution.pending import pending_work
from kreabench.execution.throttle import Throttle
from kreabench.rundir.directory import RunState
from tests.engine_support import failures, run, samples, start_batches, worker_pids
from tests.hosted_support import hosted_group, jobs, most_at_once, submissions
from tests.support import make_plan, make_sample


def traffic(**changes: Any) -> TrafficSpec:
    base = TrafficSpec(
        arrivals="fixed",
        rate_per_s=(20.0,),
        in_flight=(1,),
        duration_s=1.0,
        drain_s=20.0,
        max_requests=100,
        max_in_flight=16,
        objective_s=None,
        objective_share=0.95,
        seed=0,
    )
    return replace(base, **changes)


def level(state_dir: Path, *faults: dict[str, Any], at_s: Sequence[float | None], **changes: Any) -> LoadGroup:
    """A group whose requests are meant to start at these seconds."""
    spec = changes.pop("traffic", traffic())
    in_flight = changes.pop("in_flight", 16)
    group = hosted_group(state_dir, *faults, prompts=len(at_s), concurrency=in_flight, **changes)
    requests = tuple(replace(request, at_s=at) for request, at in zip(group.requests, at_s, strict=True))
    return replace(group, requests=requests, traffic=spec)


def keep(batches: Iterable[tuple[Record, ...]], records: list[Record], interrupt_at: int | None = None) -> None:
    """Into `records`, also when it ends in an error; with Ctrl-C after so many samples."""
    for batch in batches:
        records += batch
        if sum(isinstance(record, SampleRecord) for record in records) == interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)


def every(gap_s: float, number: int) -> list[float]:
    return [round(gap_s * index, 6) for index in range(number)]


def test_requests_start_when_they_are_meant_to_however_slow_the_service_and_the_disk(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=every(0.05, 16), inference_s=2.0)
    records: list[Record] = []
    for batch in start_batches(group, tmp_path):
        records += batch
        time.sleep(0.02)  # a slow disk
    drawn = samples(records)
    assert [drawn[request.id].status for request in group.requests] == ["ok"] * 16
    taken = [jobs(tmp_path)[request.id][0].submitted_s for request in group.requests]
    # Never early; that it is not late either holds of a machine that is free.
    assert all(
        after - taken[0] >= (request.at_s or 0.0) - 0.2 for after, request in zip(taken, group.requests, strict=True)
    )
    assert most_at_once(tmp_path) >= 12
    assert all(sample.timings.end_to_end_s >= 2.0 for sample in drawn.values() if sample.timings)
    intents = [record for record in submissions(records) if record.service_request_id is None]
    assert [record.request_id for record in intents] == [request.id for request in group.requests]


def test_waiting_in_the_client_is_part_of_the_latency(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0] * 5, in_flight=1, inference_s=0.3)
    found = samples(run(group, tmp_path))
    seconds = sorted(sample.timings.end_to_end_s for sample in found.values() if sample.timings)
    assert len(seconds) == 5
    assert seconds[-1] >= 5 * 0.3
    slowest = max(found.values(), key=lambda sample: sample.timings.end_to_end_s if sample.timings else 0.0)
    assert slowest.timings is not None
    assert slowest.timings.stages_s["client"] >= 4 * 0.3


def test_a_refusal_is_an_answer_and_holds_nothing_back(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0] * 6, inference_s=2.0, max_running=2)
    records = run(group, tmp_path)
    found = samples(records)
    refused = [sample for sample in found.values() if sample.error]
    assert [sample.error.type for sample in refused if sample.error] == ["rate_limited"] * 4
    assert all(sample.failed_after_s is not None for sample in refused)
    assert failures(records) == []
    assert all(len(taken) == 1 for taken in jobs(tmp_path).values())
    assert all(not sample.flags for sample in found.values())


def test_what_is_unanswered_at_the_end_is_cut_short(tmp_path: Path) -> None:
    spec = traffic(duration_s=0.3, drain_s=0.5)
    group = level(tmp_path, at_s=every(0.1, 3), inference_s=300.0, traffic=spec)
    begun = time.monotonic()
    records = run(group, tmp_path)
    assert time.monotonic() - begun < 60
    assert samples(records) == {}
    (ended,) = failures(records)
    assert is_unanswered(ended)
    assert len(submissions(records)) == 6  # each before it was sent, and with its name
    assert worker_pids() == []
    plan, sent = make_plan(group), sent_in(records)
    assert (unanswered(plan, {}, sent), spared(plan, {}, {}, sent)) == (3, 0)


@pytest.mark.parametrize("closing", [False, True])
def test_when_a_request_that_was_cut_short_would_have_failed_is_not_known(closing: bool, tmp_path: Path) -> None:
    """It has no place among the errors of a level that Ctrl-C ends."""
    group = level(tmp_path, at_s=[0.0])
    (request,) = group.requests
    requests = Requests(GroupWork(group=group, pending=group.requests, deaths={}, tries={}))
    requests.flights[request.id] = Flight(
        request=request, attempt=1, sent_s=0.0, started_utc="", service_id=None, fetching=False
    )
    answers = HostedAnswers(group, requests, Throttle(1), lambda: "")
    answers.closing = closing
    error = Failure(type="network", stage="call", message="ended", remedy="", transient=False)
    (sample,) = answers.records(
        [Failed(error=error, started_utc="", elapsed_s=2.0, fatal=False, request_id=request.id)]
    )
    assert isinstance(sample, SampleRecord)
    assert sample.failed_after_s == (None if closing else 2.0)


def test_what_a_closed_loop_did_not_come_to_is_spared_and_not_unanswered(tmp_path: Path) -> None:
    spec = traffic(arrivals="closed", in_flight=(2,), duration_s=0.5)
    group = level(tmp_path, at_s=[None] * 50, in_flight=2, inference_s=0.2, traffic=spec)
    records = run(group, tmp_path)
    found, sent = samples(records), sent_in(records)
    assert 2 <= len(found) < 50
    assert unanswered(make_plan(group), found, sent) == 0
    assert spared(make_plan(group), found, {}, sent) == 50 - len(found)
    assert told_of(make_plan(group), found, {}, sent).request_count == len(found)
    assert standing(make_plan(group), found, {}, sent).left == 0
    assert standing(make_plan(group), found, {}, sent, is_drawn=True).left == 50 - len(found)


def test_an_open_loop_that_was_cut_short_has_requests_that_no_resume_sends(tmp_path: Path) -> None:
    begun, later = (level(tmp_path, at_s=every(0.1, 3)) for _ in range(2))
    later = replace(later, id="later", requests=tuple(replace(one, id=f"later-{one.id}") for one in later.requests))
    plan = make_plan(begun, later)
    sample = make_sample(request_id=begun.requests[0].id)
    stands = standing(plan, {sample.request_id: sample}, {}, {begun.requests[1].id})
    assert (stands.requests, stands.delivered, stands.unanswered, stands.cut_off, stands.left) == (6, 1, 1, 1, 3)
    assert told_of(plan, {sample.request_id: sample}, {}, {}) == plan


def test_a_closed_loop_keeps_so_many_in_flight_and_ends_by_the_clock(tmp_path: Path) -> None:
    spec = traffic(arrivals="closed", in_flight=(3,), duration_s=1.5)
    group = level(tmp_path, at_s=[None] * 200, in_flight=3, inference_s=0.2, traffic=spec)
    found = samples(run(group, tmp_path))
    assert most_at_once(tmp_path) == 3
    assert 3 <= len(found) <= 3 * (1.5 / 0.2 + 1)
    assert all(sample.status == "ok" for sample in found.values())


def test_a_spent_budget_ends_it_after_what_is_in_flight(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=every(0.05, 10), inference_s=0.5)
    admitted: list[str] = []

    def admit(_: LoadGroup, request: Request | None) -> None:
        if len(admitted) == 4:
            raise BudgetReached("stopped at the budget")
        admitted.append(request.id if request else "")

    records: list[Record] = []
    with pytest.raises(BudgetReached):
        keep(start_batches(group, tmp_path, admit=admit), records)
    assert len(records) > 4
    assert set(samples(records)) == set(admitted)
    assert len(jobs(tmp_path)) == 4


def test_a_worker_that_dies_ends_the_level(tmp_path: Path) -> None:
    faults = {"kind": "crash", "prompt_contains": " 2 "}
    group = level(tmp_path, faults, at_s=[0.0, 0.0, 0.5, 5.0, 5.1], traffic=traffic(duration_s=6.0))
    records = run(group, tmp_path)
    found = samples(records)
    asked = [request.id for request in group.requests]
    assert found[asked[2]].status == "failed"
    assert not {asked[3], asked[4]} & {*found, *jobs(tmp_path)}


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0, 0.1, 30.0], inference_s=0.2, traffic=traffic(duration_s=31.0))
    records: list[Record] = []
    with pytest.raises(KeyboardInterrupt):
        keep(start_batches(group, tmp_path), records, interrupt_at=2)
    assert sorted(samples(records)) == sorted(request.id for request in group.requests[:2])
    assert worker_pids() == []


def test_a_level_that_has_begun_is_not_gone_on_with(tmp_path: Path) -> None:
    begun, later = (level(tmp_path / name, at_s=every(0.1, 4)) for name in "ab")
    later = replace(later, id="later", requests=tuple(replace(one, id=f"l{one.id}") for one in later.requests))
    first, second, third, _ = begun.requests
    state = RunState(
        samples={first.id: make_sample(first)},
        deaths={},
        tries={first.id: 1},
        submitted={second.id: "job-2", third.id: None},
    )
    work = pending_work(make_plan(begun, later), state, retry_failed=True)
    assert [[request.id for request in item.pending] for item in work] == [
        [second.id, third.id],
        [request.id for request in later.requests],
    ]


def test_what_is_open_at_the_service_is_fetched_and_is_no_timing(tmp_path: Path) -> None:
    spec = traffic(duration_s=0.2, drain_s=0.1)
    group = level(tmp_path, at_s=[0.0], inference_s=3.0, traffic=spec)
    records = run(group, tmp_path)
    name = submissions(records)[-1].service_request_id
    assert samples(records) == {}
    later = run(group, tmp_path, submitted={group.requests[0].id: name})
    (sample,) = samples(later).values()
    assert (sample.status, sample.timing_valid) == ("ok", False)
    assert len(jobs(tmp_path)[group.requests[0].id]) == 1


def test_a_request_that_a_service_never_started_has_failed_and_is_not_unanswered() -> None:
    error = Failure(type="timeout", stage="queue", message="still queued", remedy="Try again.", transient=True)
    assert not is_unanswered(make_sample(error=error))
