"""What a run relies on at a hosted target: many in flight, nothing sent twice, everything written down before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.errors import BudgetReached, StorageError
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import Cost, Record, SubmissionRecord
from kreabench.execution.budget import Budget
from kreabench.execution.hosted_answers import THROTTLED
from tests.engine_support import engine_spec, failures, kinds, loads, run, samples, start_batches, worker_pids
from tests.hosted_support import USD, billed_usd, hosted_group, jobs, journal_usd, most_at_once, submissions
from tests.support import make_plan


def test_a_request_is_in_the_journal_before_it_is_sent_and_again_with_its_name(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, prompts=1, inference_s=0.3)
    batches = start_batches(group, tmp_path)
    assert kinds(next(batches)) == ["load"]
    (intent,) = next(batches)
    assert isinstance(intent, SubmissionRecord)
    assert (intent.request_id, intent.attempt, intent.service_request_id) == (group.requests[0].id, 1, None)
    time.sleep(0.2)
    assert jobs(tmp_path) == {}, "it was sent before its line could be written"
    (named,) = next(batches)
    assert isinstance(named, SubmissionRecord)
    assert named.service_request_id == "job-00001"
    (sample,) = next(batches)
    assert sample.kind == "sample"
    assert list(batches) == []


def test_a_sample_of_a_service_says_what_it_cost(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, prompts=2)
    found = samples(run(group, tmp_path))
    assert [found[request.id].status for request in group.requests] == ["ok", "ok"]
    assert [sample.cost for sample in found.values()] == [Cost(usd=USD, basis="billed", list_usd=USD)] * 2
    first, second = found.values()
    assert (first.timing_valid, second.timing_valid) == (False, True), "the first call opens the connection"
    assert all((tmp_path / image.path).is_file() for sample in found.values() for image in sample.images)


def test_as_many_are_in_flight_as_the_group_says(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, prompts=40, concurrency=8, inference_s=0.1)
    records = run(group, tmp_path)
    assert len(samples(records)) == 40
    assert most_at_once(tmp_path) == 8
    assert all(len(taken) == 1 for taken in jobs(tmp_path).values())
    assert len({record.service_request_id for record in submissions(records)} - {None}) == 40


def test_answers_that_came_together_are_one_batch(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, prompts=16, concurrency=16, inference_s=0.2)
    sizes = []
    for batch in start_batches(group, tmp_path):
        sizes.append(len(batch))
        time.sleep(0.05)  # a slow disk
    assert max(sizes) >= 16
    assert len(sizes) < 2 + 32


@pytest.mark.parametrize(
    ("fault", "type_", "usd"),
    [
        ({"kind": "server_error"}, "server_error", 0.0),
        ({"kind": "refused"}, "invalid_request", 0.0),
        ({"kind": "reset"}, "network", None),
        ({"kind": "lost"}, "network", None),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_failed_request_costs_what_is_known_of_it(
    tmp_path: Path, fault: dict[str, Any], type_: str, usd: float | None
) -> None:
    (sample,) = samples(run(hosted_group(tmp_path, fault, prompts=1), tmp_path)).values()
    assert sample.error is not None
    assert (sample.error.type, sample.cost.usd) == (type_, usd)
    assert sample.error.fetch_again == (fault["kind"] == "lost")


def test_a_service_that_refuses_some_gets_fewer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.execution.throttle.FIRST_PAUSE_S", 0.05)
    group = hosted_group(tmp_path, prompts=24, concurrency=8, inference_s=0.05, max_running=3)
    records = run(group, tmp_path)
    assert {sample.status for sample in samples(records).values()} == {"ok"}
    assert most_at_once(tmp_path) <= 3
    refused = failures(records)
    assert {(failure.error.type, failure.cost.usd) for failure in refused} == {("rate_limited", 0.0)}
    assert len(refused) < 40
    again = {failure.request_id for failure in refused}
    for sample in samples(records).values():
        assert (sample.attempt > 1) == (sample.request_id in again)
        assert not (sample.timing_valid and sample.attempt > 1)
    flags = {sample.flags for sample in samples(records).values()}
    assert (THROTTLED,) in flags
    assert journal_usd(records) == billed_usd(tmp_path)


def test_a_request_that_is_refused_every_time_fails_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kreabench.execution.throttle.FIRST_PAUSE_S", 0.001)
    group = hosted_group(tmp_path, {"kind": "rate_limited", "prompt_contains": " 1 red"}, prompts=2)
    records = run(group, tmp_path)
    failed = samples(records)[group.requests[1].id]
    assert failed.error is not None
    assert (failed.error.type, failed.error.transient, failed.attempt) == ("rate_limited", True, 8)
    assert [failure.attempt for failure in failures(records)] == [1, 2, 3, 4, 5, 6, 7]
    assert journal_usd(records) == USD


def test_the_service_says_how_long_to_wait(tmp_path: Path) -> None:
    fault = {"kind": "rate_limited", "times": 1, "retry_after_s": 0.3}
    began = time.monotonic()
    records = run(hosted_group(tmp_path, fault, prompts=1), tmp_path)
    assert kinds(records) == ["load", "submission", "failure", "submission", "submission", "sample"]
    assert time.monotonic() - began >= 0.3


def test_a_worker_that_dies_with_several_in_flight_loses_only_what_has_no_name(tmp_path: Path) -> None:
    crash = {"kind": "crash", "prompt_contains": " 5 red", "times": 1}
    group = hosted_group(tmp_path, crash, prompts=8, concurrency=6, inference_s=0.4)
    records = run(group, tmp_path)
    found = samples(records)
    assert len(found) == 8
    lost = [sample for sample in found.values() if sample.error is not None]
    assert group.requests[5].id in {sample.request_id for sample in lost}
    for sample in lost:
        assert sample.error is not None
        assert (sample.error.type, sample.error.stage, sample.error.transient) == ("network", "submit", False)
        assert sample.cost.usd is None
    fetched = [sample for sample in found.values() if sample.hosted and sample.hosted.recovered]
    assert fetched
    assert all(sample.attempt == 1 and not sample.timing_valid for sample in fetched)
    assert {failure.request_id for failure in failures(records)} == {sample.request_id for sample in fetched}
    assert all(len(taken) == 1 for taken in jobs(tmp_path).values()), "something was sent twice"
    assert len(loads(records)) == 2


def test_a_request_that_kills_its_workers_is_found_among_several_and_fails(tmp_path: Path) -> None:
    crash = {"kind": "crash_later", "prompt_contains": " 2 red"}
    group = hosted_group(tmp_path, crash, prompts=6, concurrency=4, queue_s=0.3)
    records = run(group, tmp_path)
    found = samples(records)
    assert [found[request.id].status for request in group.requests] == ["ok", "ok", "failed", "ok", "ok", "ok"]
    error = found[group.requests[2].id].error
    assert error is not None
    assert (error.type, error.transient, error.fetch_again, error.signal) == ("crashed", False, True, 9)
    assert all(len(taken) == 1 for taken in jobs(tmp_path).values())
    assert len(loads(records)) == 3
    assert journal_usd(records) + USD == billed_usd(tmp_path), "what can still be fetched is reserved, not spent"


def test_a_call_that_hangs_is_ended_at_its_deadline_and_the_others_go_on(tmp_path: Path) -> None:
    hang = {"kind": "hang", "prompt_contains": " 1 red", "times": 1}
    group = hosted_group(tmp_path, hang, prompts=6, concurrency=3, inference_s=0.3)
    records = run(group, tmp_path, spec=engine_spec(sample_timeout_s=1.0))
    found = samples(records)
    error = found[group.requests[1].id].error
    assert error is not None
    assert (error.type, error.transient, error.fetch_again) == ("timeout", True, True)
    assert "engine.sample_timeout_s" in error.remedy
    assert [found[request.id].status for request in group.requests] == ["ok", "failed", "ok", "ok", "ok", "ok"]
    assert failures(records) == []
    assert all(len(taken) == 1 for taken in jobs(tmp_path).values())


def test_a_worker_is_not_ended_while_something_in_time_has_no_name_yet(tmp_path: Path) -> None:
    """At 1.5 s the first request is late; the third is being submitted from 0.9 s to 1.8 s."""
    hang = {"kind": "hang", "prompt_contains": " 0 red", "times": 1}
    group = hosted_group(tmp_path, hang, prompts=3, concurrency=2, submit_s=0.9)
    found = samples(run(group, tmp_path, spec=engine_spec(sample_timeout_s=1.5)))
    assert [found[request.id].status for request in group.requests] == ["failed", "ok", "ok"]
    error = found[group.requests[0].id].error
    assert error is not None
    assert error.type == "timeout"
    assert all(len(taken) == 1 for taken in jobs(tmp_path).values())


def test_what_an_earlier_session_submitted_is_fetched_and_what_it_lost_is_not_sent_again(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, {"kind": "lost", "times": 1}, prompts=3)
    kept, lost, new = group.requests
    first = samples(run(group, tmp_path, pending=[kept]))[kept.id]
    assert first.status == "failed"
    records = run(group, tmp_path, submitted={kept.id: "job-00001", lost.id: None}, tries={lost.id: 1})
    found = samples(records)
    assert kinds(records) == ["sample", "load", "sample", "submission", "submission", "sample"]
    assert list(found) == [lost.id, kept.id, new.id]
    error = found[lost.id].error
    assert error is not None
    assert (error.type, error.stage, error.transient, found[lost.id].attempt) == ("network", "submit", False, 2)
    assert found[kept.id].status == "ok"
    assert (found[kept.id].attempt, found[kept.id].timing_valid) == (1, False)
    assert {request_id: len(taken) for request_id, taken in jobs(tmp_path).items()} == {kept.id: 1, new.id: 1}


def test_what_cannot_be_opened_keeps_what_was_submitted(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, {"kind": "load_error"}, prompts=2)
    records = run(group, tmp_path, submitted={group.requests[0].id: "job-00001"})
    assert kinds(records) == ["failure", "sample", "sample"]
    errors = [samples(records)[request.id].error for request in group.requests]
    assert [(error.type, error.transient, error.fetch_again) for error in errors if error] == [
        ("load_failed", True, True),
        ("load_failed", True, False),
    ]


def collect(
    batches: Iterator[tuple[Record, ...]], got: list[Record], tell: Callable[[Record], object] = lambda record: None
) -> None:
    """Like extend, but keeps what came before an error."""
    for batch in batches:
        got.extend(batch)
        for record in batch:
            tell(record)


class Counted:
    """A budget that sees what the pipeline shows it."""

    def __init__(self, group: LoadGroup, limit_usd: float) -> None:
        self.budget = Budget(limit_usd, make_plan(group))

    def run(self, group: LoadGroup, path: Path) -> list[Record]:
        got: list[Record] = []
        with pytest.raises(BudgetReached):
            collect(start_batches(group, path, admit=self.admit), got, self.budget.record)
        return got

    def admit(self, group: LoadGroup, request: Request | None) -> None:
        self.budget.admit(group, request)
        assert self.budget.spent_usd + self.budget.reserved_usd <= (self.budget.limit_usd or 0.0) + 1e-9


def test_a_spent_budget_lets_what_is_in_flight_end(tmp_path: Path) -> None:
    group = hosted_group(tmp_path, {"kind": "server_error", "times": 2}, prompts=12, concurrency=4, inference_s=0.1)
    records = Counted(group, 5 * USD).run(group, tmp_path)
    found = samples(records).values()
    assert sorted(sample.status for sample in found) == ["failed"] * 2 + ["ok"] * 5
    assert billed_usd(tmp_path) == journal_usd(records) == 5 * USD
    assert worker_pids() == []


def test_a_disk_that_refuses_pictures_ends_the_run_and_keeps_what_was_paid_for(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    group = hosted_group(tmp_path, prompts=12, concurrency=4, inference_s=0.2)
    got: list[Record] = []
    with pytest.raises(StorageError, match="images"):
        collect(start_batches(group, tmp_path), got)
    assert 4 <= len(samples(got)) < 12
    for sample in samples(got).values():
        assert sample.error is not None
        assert (sample.error.type, sample.error.fetch_again, sample.cost.usd) == ("storage", True, None)
    assert len(jobs(tmp_path)) == len(samples(got))
    assert worker_pids() == []


def test_closing_the_iterator_ends_the_worker(tmp_path: Path) -> None:
    batches = start_batches(hosted_group(tmp_path, concurrency=2, inference_s=5.0), tmp_path)
    next(batches)
    next(batches)
    assert len(worker_pids()) == 1
    batches.close()
    assert worker_pids() == []
