"""The hard cap: whatever happens in whichever order, spent and reserved dollars together never pass the limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kreabench.core.errors import BudgetReached
from kreabench.core.planned import Request
from kreabench.core.records import Cost, Failure, FailureRecord, Record, SampleRecord, SubmissionRecord
from kreabench.execution.budget import ROUNDING_USD, Budget
from tests.hosted_support import USD, hosted_group
from tests.support import UTC, make_failure, make_plan, make_sample

GROUP = hosted_group(Path("/nowhere"), prompts=8, concurrency=8)
PLAN = make_plan(GROUP)
OUTCOMES = ("billed", "cheaper", "free", "unknown", "refused", "open", "died")
ENDED = {"billed": USD, "cheaper": USD / 2, "free": 0.0, "unknown": USD}
"""Outcome that ends a request → what it has cost in the end."""


def submission(request: Request, name: str | None) -> SubmissionRecord:
    return SubmissionRecord(
        request_id=request.id,
        setting_id=request.setting_id,
        group_id=GROUP.id,
        attempt=1,
        at_utc=UTC,
        service_request_id=name,
    )


def failure_record(request: Request, error: Failure, cost: Cost) -> FailureRecord:
    return FailureRecord(
        group_id=GROUP.id,
        setting_id=request.setting_id,
        request_id=request.id,
        attempt=1,
        started_utc=UTC,
        error=error,
        cost=cost,
    )


def end(request: Request, outcome: str) -> Record:
    """The record of one way in which a request can go."""
    nothing, free = Cost(usd=None, basis="none"), Cost(usd=0.0, basis="price_list")
    open_ = make_failure(type="network", stage="inference", fetch_again=True)
    if outcome in {"billed", "cheaper"}:
        return make_sample(request, cost=Cost(usd=ENDED[outcome], basis="billed"))
    if outcome == "refused":
        return failure_record(request, make_failure(type="rate_limited", stage="submit"), free)
    if outcome == "died":
        return failure_record(request, open_, nothing)
    error = open_ if outcome == "open" else make_failure(stage="result")
    return make_sample(request, error=error, cost=free if outcome == "free" else nothing)


class Model:
    """What a person would write down beside the budget."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.reserved: set[str] = set()
        self.ended: set[str] = set()

    def record(self, request: Request, outcome: str) -> None:
        if outcome in ENDED:
            self.spent += ENDED[outcome]
            self.ended.add(request.id)
        if outcome in ENDED or outcome == "refused":
            self.reserved.discard(request.id)

    def check(self, budget: Budget) -> None:
        assert budget.spent_usd == pytest.approx(self.spent)
        assert budget.reserved_usd == pytest.approx(USD * len(self.reserved))


@settings(max_examples=300, deadline=None)
@given(
    limit=st.integers(0, 16).map(lambda half: half * USD / 2),
    steps=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(("send", "resume", *OUTCOMES))), max_size=60),
)
def test_spent_and_reserved_never_pass_the_limit(limit: float, steps: list[tuple[int, str]]) -> None:
    budget, model, journal = Budget(limit, PLAN), Model(), list[Record]()
    for number, step in steps:
        request = GROUP.requests[number]
        if step == "resume":
            budget = Budget(limit, PLAN)
            for record in journal:
                budget.record(record)
        elif step == "send" and request.id not in model.reserved | model.ended:
            try:
                budget.admit(GROUP, request)
            except BudgetReached:
                assert model.spent + USD * (len(model.reserved) + 1) > limit
                continue
            model.reserved.add(request.id)
            journal += [submission(request, None), submission(request, "job")]
            for record in journal[-2:]:
                budget.record(record)
        elif step in OUTCOMES and request.id in model.reserved:
            journal.append(end(request, step))
            budget.record(journal[-1])
            model.record(request, step)
        model.check(budget)
        assert budget.spent_usd + budget.reserved_usd <= limit + ROUNDING_USD
    last = {record.request_id: record for record in journal if isinstance(record, SampleRecord)}
    settled = [record for record in last.values() if record.error is None or not record.error.fetch_again]
    assert budget.spent_usd == pytest.approx(
        sum(USD if record.cost.usd is None else record.cost.usd for record in settled)
    )


def test_the_message_says_what_is_under_way() -> None:
    budget = Budget(1.2, PLAN)
    budget.record(submission(GROUP.requests[0], "job-1"))
    budget.admit(GROUP, GROUP.requests[1])
    with pytest.raises(BudgetReached, match=r"\$0\.0000 spent, \$1\.0000 reserved for requests under way, the next"):
        budget.admit(GROUP, GROUP.requests[2])


def test_a_request_that_is_sent_anew_is_reserved_once() -> None:
    """As to a service of the run's own, whose jobs died with it."""
    budget = Budget(USD, PLAN)
    budget.record(submission(GROUP.requests[0], "job-1"))
    budget.admit(GROUP, GROUP.requests[0])
    assert budget.reserved_usd == USD


def test_what_the_service_was_seen_to_bill_is_reserved_for_the_next_ones() -> None:
    """A price list that is too low must not lead past the limit again and again."""
    budget = Budget(5 * USD, PLAN)
    budget.record(make_sample(GROUP.requests[0], cost=Cost(usd=2 * USD, basis="billed", list_usd=USD)))
    budget.admit(GROUP, GROUP.requests[1])
    budget.record(submission(GROUP.requests[1], "job-1"))
    assert budget.reserved_usd == pytest.approx(2 * USD)
    with pytest.raises(BudgetReached):
        budget.admit(GROUP, GROUP.requests[2])
