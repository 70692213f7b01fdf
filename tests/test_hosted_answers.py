"""What a hosted worker says, as records: which of it settles a request, what it cost, and what stays open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kreabench.core.records import Cost, FailureRecord, Record, SampleRecord, SubmissionRecord
from kreabench.execution import hosted_answers
from kreabench.execution.engine import GroupWork
from kreabench.execution.flights import Flight, Requests
from kreabench.execution.hosted_answers import THROTTLED, HostedAnswers
from kreabench.execution.messages import Answer, Delivery, Done, Failed, Received, Submitted
from kreabench.execution.outcomes import Trouble
from kreabench.execution.throttle import Throttle
from tests.hosted_support import USD, hosted_group
from tests.support import UTC, make_failure, make_image_record, make_timings

GROUP = hosted_group(Path("/nowhere"), prompts=4, concurrency=4)
FIRST = GROUP.requests[0]
FREE, UNKNOWN = Cost(usd=0.0, basis="price_list"), Cost(usd=None, basis="none")
DELIVERY = Delivery(
    timings=make_timings(), memory=None, steps_run=None, hosted=None, images=(make_image_record(width=64, height=64),)
)


class Rig:
    """Some requests in flight, with the names that the service gave them."""

    def __init__(self, *names: str | None) -> None:
        self.requests = Requests(GroupWork(group=GROUP, pending=GROUP.requests))
        self.answers = HostedAnswers(GROUP, self.requests, Throttle(4), lambda: UTC)
        for name in names:
            request = self.requests.queue.popleft()
            flight = Flight(request=request, attempt=1, sent_s=0.0, started_utc=UTC, service_id=name, fetching=False)
            self.requests.flights[request.id] = flight
            if name is not None:
                self.requests.known[request.id] = name

    def fail(self, *, delivery: Delivery | None = None, **error: Any) -> list[Record]:
        """What it makes of a failure of the first request."""
        failed = Failed(
            started_utc=UTC,
            elapsed_s=1.0,
            error=make_failure(**{"signal": None, **error}),
            fatal=False,
            delivery=delivery,
            request_id=FIRST.id,
        )
        return self.answers.records([failed])


def test_a_name_is_written_down_once() -> None:
    rig = Rig(None)
    said = Submitted(request_id=FIRST.id, service_request_id="job-1")
    (record,) = rig.answers.records([said, said])
    assert isinstance(record, SubmissionRecord)
    assert record.service_request_id == "job-1"
    assert rig.requests.known == {FIRST.id: "job-1"}


def test_what_has_arrived_leaves_its_place_to_another() -> None:
    rig = Rig("job-1", "job-2")
    assert rig.answers.records([Received(request_id=FIRST.id)]) == []
    assert (rig.requests.in_flight(), len(rig.requests.flights)) == (1, 2)


def test_a_delivery_settles_its_request() -> None:
    rig = Rig("job-1")
    (record,) = rig.answers.records([Done(started_utc=UTC, delivery=DELIVERY, request_id=FIRST.id)])
    assert isinstance(record, SampleRecord)
    assert (record.status, record.cost) == ("ok", Cost(usd=USD, basis="price_list"))
    assert (rig.requests.flights, rig.requests.known) == ({}, {})


def test_answers_about_nothing_are_not_heard() -> None:
    rig = Rig("job-1")
    strange: list[Answer] = [
        Done(started_utc=UTC, delivery=DELIVERY, request_id="another"),
        Done(started_utc=UTC, delivery=DELIVERY),
        Received(request_id="another"),
        Submitted(request_id="another", service_request_id="job-9"),
    ]
    assert rig.answers.records(strange) == []


def denied(rig: Rig, number: int) -> list[Record]:
    """What it makes of a refused key at the request of that number."""
    error = make_failure(type="authentication", stage="submit", message="HTTP 401", transient=True, signal=None)
    failed = Failed(
        started_utc=UTC, elapsed_s=1.0, error=error, fatal=False, request_id=GROUP.requests[number].id, delivery=None
    )
    return rig.answers.records([failed])


def test_a_key_refused_again_and_again_keeps_the_rest_from_being_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_answers, "MAX_DENIALS", 2)
    rig = Rig(None, None)
    assert len(denied(rig, 0)) == 1
    records = denied(rig, 1)
    assert not rig.requests.queue
    assert [record.request_id for record in records if isinstance(record, SampleRecord)] == [
        request.id for request in GROUP.requests[1:]
    ]
    for record in records[1:]:
        assert isinstance(record, SampleRecord)
        assert record.error is not None
        assert (record.error.type, record.error.stage, record.error.transient) == ("authentication", "load", True)
        assert "2 requests in a row were refused: HTTP 401" in record.error.message


def test_refusals_with_a_request_taken_between_them_hold_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall may refuse single prompts."""
    monkeypatch.setattr(hosted_answers, "MAX_DENIALS", 2)
    rig = Rig(None, None, None)
    denied(rig, 0)
    rig.answers.records([Submitted(request_id=GROUP.requests[2].id, service_request_id="job")])
    assert len(denied(rig, 1)) == 1
    assert len(rig.requests.queue) == 1


@pytest.mark.parametrize(
    ("error", "cost"),
    [
        ({"type": "invalid_request", "stage": "check"}, FREE),
        ({"type": "network", "stage": "upload", "transient": True}, FREE),
        ({"type": "authentication", "stage": "submit"}, FREE),
        ({"type": "authentication", "stage": "call"}, FREE),
        ({"type": "authentication", "stage": "result"}, UNKNOWN),
        ({"type": "network", "stage": "submit", "transient": True}, FREE),
        ({"type": "network", "stage": "submit"}, UNKNOWN),
        ({"type": "server_error", "stage": "result", "transient": True}, FREE),
        ({"type": "server_error", "stage": "call"}, UNKNOWN),
        ({"type": "timeout", "stage": "result", "transient": True}, FREE),
        ({"type": "content_policy", "stage": "result"}, UNKNOWN),
        ({"type": "expired", "stage": "download"}, UNKNOWN),
        ({"type": "truncated", "stage": "download", "transient": True, "fetch_again": True}, UNKNOWN),
    ],
    ids=lambda value: f"{value['type']}-{value['stage']}" if isinstance(value, dict) else "",
)
def test_a_failure_costs_what_is_known_of_it(error: dict[str, Any], cost: Cost) -> None:
    (record,) = Rig("job-1").fail(**error)
    assert isinstance(record, SampleRecord)
    assert record.cost == cost
    assert record.error is not None
    assert record.error.fetch_again == error.get("fetch_again", False)


def test_a_picture_that_cannot_be_used_was_paid_for() -> None:
    (record,) = Rig("job-1").fail(type="bad_image", stage="store", delivery=DELIVERY)
    assert isinstance(record, SampleRecord)
    assert record.cost == Cost(usd=USD, basis="price_list")


@pytest.mark.parametrize("type_", ["network", "cancelled", "storage"])
def test_what_has_no_name_is_neither_fetched_nor_sent_again(type_: str) -> None:
    rig = Rig(None)
    rig.answers.closing = True
    delivery = DELIVERY if type_ == "storage" else None
    (record,) = rig.fail(type=type_, stage="submit", transient=True, fetch_again=True, delivery=delivery)
    assert isinstance(record, SampleRecord)
    assert record.error is not None
    assert (record.error.transient, record.error.fetch_again) == (False, False)
    assert record.error.type == ("network" if type_ == "cancelled" else type_)
    assert record.cost != FREE


@pytest.mark.parametrize("fetch_again", [True, False])
def test_what_is_cut_short_is_open_or_free(fetch_again: bool) -> None:
    rig = Rig("job-1")
    rig.answers.closing = True
    records = rig.fail(type="cancelled", stage="queue", transient=True, fetch_again=fetch_again)
    if fetch_again:
        assert records == []
    else:
        (record,) = records
        assert isinstance(record, FailureRecord)
        assert (record.cost, record.attempt) == (FREE, 1)


def test_what_was_cancelled_behind_our_back_is_sent_anew() -> None:
    rig = Rig("job-1")
    rig.requests.flights[FIRST.id].fetching = True
    (record,) = rig.fail(type="cancelled", stage="result", transient=True)
    assert isinstance(record, FailureRecord)
    assert record.cost == FREE
    assert rig.requests.queue[0] == FIRST
    assert (rig.requests.known, rig.requests.attempt(FIRST)) == ({}, 2)


@pytest.mark.parametrize("stage", ["submit", "upload", "call"])
def test_a_refusal_goes_back_to_the_head_of_the_queue(stage: str) -> None:
    rig = Rig(None, None)
    (record,) = rig.fail(type="rate_limited", stage=stage, transient=True)
    assert isinstance(record, FailureRecord)
    assert record.cost == FREE
    assert rig.requests.queue[0] == FIRST
    assert rig.requests.attempt(FIRST) == 2


def test_a_death_is_everybodys_who_has_a_name() -> None:
    rig = Rig("job-1", None, "job-3")
    error = make_failure(type="crashed", stage="generate")
    records = rig.answers.died(Trouble(error=error, started_utc=UTC, elapsed_s=1.0, died=True))
    first, lost, third = records
    assert isinstance(lost, SampleRecord)
    assert lost.error is not None
    assert (lost.error.type, lost.error.stage, lost.error.transient, lost.cost) == ("network", "submit", False, UNKNOWN)
    for record in (first, third):
        assert isinstance(record, FailureRecord)
        assert (record.error.type, record.error.fetch_again, record.cost) == ("crashed", True, UNKNOWN)
    assert [request.id for request in rig.requests.queue][:2] == [first.request_id, third.request_id]  # type: ignore[union-attr]
    assert all(rig.requests.is_suspect(request) for request in list(rig.requests.queue)[:2])
    assert rig.requests.attempt(FIRST) == 1


def test_what_was_accepted_while_others_were_refused_is_no_timing_of_that_concurrency() -> None:
    rig = Rig("job-1", None)
    refused = make_failure(type="rate_limited", stage="submit", transient=True)
    second = GROUP.requests[1].id
    rig.answers.records([Failed(started_utc=UTC, elapsed_s=0.1, error=refused, fatal=False, request_id=second)])
    (record,) = rig.answers.records([Done(started_utc=UTC, delivery=DELIVERY, request_id=FIRST.id)])
    assert isinstance(record, SampleRecord)
    assert (record.timing_valid, record.flags) == (False, (THROTTLED,))
