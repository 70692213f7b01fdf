"""The bill against the price list, and what a hosted service did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kreabench.analysis.hosted import summarise_hosted
from kreabench.analysis.money import summarise_money, with_scores
from kreabench.core.planned import Request
from kreabench.core.records import Cost, FailureRecord, HostedCall, Record, SampleRecord, SubmissionRecord, WarmupRecord
from kreabench.report.hosted import hosted_notices, hosted_table, money_lines, money_notices, money_table
from kreabench.rundir.table import join_table
from tests.support import (
    UTC,
    make_experiment,
    make_failure,
    make_group,
    make_image_record,
    make_plan,
    make_run,
    make_sample,
    make_score,
    make_setting,
    make_target,
    make_timings,
)

PRICE = 0.025
SETTING = make_setting(target="hosted")
GROUP = make_group([SETTING], target=make_target(name="hosted", hosted=True), prompts=40, seeds=(0, 1, 2))
REQUESTS = GROUP.requests
PRICES = {SETTING.id: PRICE}
UNKNOWN = Cost(usd=None, basis="none")


def call(**changes: Any) -> HostedCall:
    base = HostedCall(
        service_request_id="s-1",
        attempts=1,
        polls=3,
        queue_s=0.0,
        inference_s=1.0,
        runner="r-1",
        billable_units=1.0,
    )
    return replace(base, **changes)


def submission(request: Request, service_id: str | None = None) -> SubmissionRecord:
    return SubmissionRecord(
        request_id=request.id,
        setting_id=SETTING.id,
        group_id=GROUP.id,
        attempt=1,
        at_utc=UTC,
        service_request_id=service_id,
    )


def failed(request: Request, cost: Cost = UNKNOWN, **error: Any) -> SampleRecord:
    return make_sample(request, cost=cost, error=make_failure(**({"stage": "submit"} | error)))


def delivered(request: Request, usd: float = PRICE, listed: float = PRICE, **changes: Any) -> SampleRecord:
    return make_sample(request, cost=Cost(usd=usd, basis="billed", list_usd=listed), hosted=call(), **changes)


def test_every_basis_is_added_up_for_itself() -> None:
    records: list[Record] = [
        delivered(REQUESTS[0]),
        delivered(REQUESTS[1]),
        make_sample(REQUESTS[2], cost=Cost(usd=0.05, basis="price_list")),
        WarmupRecord(
            group_id="local",
            setting_id="local",
            started_utc=UTC,
            timings=make_timings(),
            cost=Cost(usd=0.001, basis="device_hour"),
        ),
    ]
    money = summarise_money(records, PRICES)
    assert [(t.basis, t.calls, t.usd) for t in money.totals] == [
        ("billed", 2, pytest.approx(0.05)),
        ("price_list", 1, 0.05),
        ("device_hour", 1, 0.001),
    ]
    assert (money.difference, money.unknown) == (None, 0)
    assert money.usd == pytest.approx(0.101)
    assert money_lines(money) == [
        "dollars: $0.0500 by billed (2 calls), $0.0500 by price list (1 call), $0.00100 by device hour (1 call)"
    ]
    assert money_notices(money) == []


def test_a_bill_that_differs_from_the_list_is_a_warning_with_its_worst_example() -> None:
    records = [
        delivered(REQUESTS[0]),
        delivered(REQUESTS[1], usd=0.05),
        make_sample(
            REQUESTS[2],
            cost=Cost(usd=0.1, basis="billed", list_usd=0.025),
            hosted=call(service_request_id="s-worst"),
        ),
    ]
    off = summarise_money(records, PRICES).difference
    assert off is not None
    assert (off.requests, off.billed) == (2, 3)
    assert off.usd == pytest.approx(0.1)
    assert (off.worst_id, off.worst_usd, off.worst_list_usd) == ("s-worst", 0.1, 0.025)
    (notice,) = money_notices(summarise_money(records, PRICES))
    assert notice.level == "warning"
    assert "2 of 3 billed requests differ, by +$0.100 together" in notice.text
    assert "s-worst: billed $0.100, list $0.0250" in notice.text
    cheaper = summarise_money([delivered(REQUESTS[0], usd=0.01)], PRICES)
    assert "by −$0.0150 together" in money_notices(cheaper)[0].text


@pytest.mark.parametrize(
    ("records", "unknown"),
    [
        ([failed(REQUESTS[0])], 1),
        ([failed(REQUESTS[0], stage="load")], 0),
        ([failed(REQUESTS[0], Cost(usd=0.0, basis="price_list"), type="rate_limited")], 0),
        ([submission(REQUESTS[0])], 1),
        ([submission(REQUESTS[0]), submission(REQUESTS[0], "s-1")], 1),
        ([submission(REQUESTS[0]), delivered(REQUESTS[0])], 0),
        ([submission(REQUESTS[0]), failed(REQUESTS[0])], 1),
        ([submission(REQUESTS[0]), failed(REQUESTS[0], Cost(usd=0.0, basis="none"), type="cancelled")], 0),
        ([submission(REQUESTS[0], "s"), failed(REQUESTS[0], fetch_again=True)], 1),
        ([submission(REQUESTS[0], "s"), failed(REQUESTS[0], fetch_again=True), delivered(REQUESTS[0])], 0),
        # Sent again on demand: both may be on the bill.
        ([submission(REQUESTS[0]), failed(REQUESTS[0]), submission(REQUESTS[0]), delivered(REQUESTS[0])], 1),
        ([submission(REQUESTS[0]), submission(REQUESTS[1])], 2),
    ],
)
def test_what_nobody_knows_counts_at_its_list_price(records: list[Record], unknown: int) -> None:
    money = summarise_money(records, PRICES)
    assert money.unknown == unknown
    assert money.unknown_usd == pytest.approx(unknown * PRICE)


def test_a_refused_attempt_is_no_call() -> None:
    refused = FailureRecord(
        group_id=GROUP.id,
        setting_id=SETTING.id,
        request_id=REQUESTS[0].id,
        attempt=1,
        started_utc=UTC,
        error=make_failure(type="rate_limited", stage="submit"),
        cost=Cost(usd=0.0, basis="price_list"),
    )
    money = summarise_money([submission(REQUESTS[0]), refused, delivered(REQUESTS[0])], PRICES)
    assert [(t.basis, t.calls) for t in money.totals] == [("billed", 1)]
    assert money.unknown == 0
    given_up = failed(REQUESTS[1], Cost(usd=0.0, basis="price_list"), type="rate_limited")
    assert summarise_money([submission(REQUESTS[1]), given_up], PRICES).totals == ()


def test_local_requests_have_no_unknown_cost() -> None:
    assert summarise_money([failed(REQUESTS[0])], {}).unknown == 0
    assert money_table(summarise_money([], {})) is None


def test_without_a_price_nothing_is_said_of_dollars() -> None:
    unpriced = make_sample(REQUESTS[1], cost=UNKNOWN, hosted=call())
    money = summarise_money([submission(REQUESTS[0]), submission(REQUESTS[1], "s-1"), unpriced], {})
    assert (money.unknown, money.unknown_usd) == (0, 0.0)
    assert (money_table(money), money_lines(money)) == (None, [])


def test_money_as_a_table() -> None:
    table = money_table(summarise_money([delivered(REQUESTS[0], usd=0.05), failed(REQUESTS[1])], PRICES))
    assert table is not None
    assert [[cell.text for cell in row.cells[:3]] for row in table.rows] == [
        ["billed", "1", "$0.0500"],
        ["not known", "1", "$0.0250"],
        ["billed less list", "1", "+$0.0250"],
    ]


def table_of(path: Path, samples: list[SampleRecord]) -> pd.DataFrame:
    experiment = make_experiment(targets=(GROUP.target,), metrics=())
    run = make_run(path / "run", experiment=experiment)
    with run.writer() as writer:
        for sample in samples:
            writer.append(sample)
    return join_table(run, make_plan(GROUP))


def crowd(in_flight: int, running: list[int], queue_s: float, inference_s: float = 1.0) -> list[SampleRecord]:
    """So many samples as numbers in `running`."""
    return [
        make_sample(
            request,
            hosted=call(in_flight=in_flight, running=number, queue_s=queue_s, inference_s=inference_s),
            timings=make_timings(
                stages_s={"queue": queue_s, "inference": inference_s},
                end_to_end_s=queue_s + inference_s + 0.01,
                resolution_s=0.02,
            ),
        )
        for request, number in zip(REQUESTS, running, strict=False)
    ]


@pytest.mark.parametrize(
    ("in_flight", "running", "queue_s", "limit"),
    [
        (8, [2] * 20, 3.0, 2),
        (8, [1, *[2] * 20, 1], 3.0, 2),
        # The end of one and the beginning of the next are both counted now and then.
        (8, [3, 3, 3, 3, 3, 4, 2, 3, 2], 0.5, 3),
        (40, [20, 21, 19, 22, 18, 20, 20, 17], 1.0, 20),
        (40, [38, 39, *[40] * 20], 0.01, None),
        (40, [36] * 20, 0.01, None),
        # A queue of its own pace: sometimes many, sometimes few.
        (40, [30, 10, 12, 14, 20, 25, 9, 16, 18, 22], 0.5, None),
        (12, [11, 12, 10, 9, 1, 3, 2, 7, 8, 4], 0.5, None),
        (12, [11, 11, 10, 9, 1, 3, 2, 7, 8, 4], 0.5, None),
        (1, [1] * 20, 3.0, None),
    ],
)
def test_a_limit_is_found_where_there_is_one(
    tmp_path: Path, in_flight: int, running: list[int], queue_s: float, limit: int | None
) -> None:
    (summary,) = summarise_hosted(table_of(tmp_path, crowd(in_flight, running, queue_s)), ["hosted"])
    assert summary.limit == limit
    assert (summary.in_flight, summary.running) == (in_flight, max(running))
    said = [notice.text for notice in hosted_notices([summary])]
    assert len(said) == (limit is not None)
    if said:
        assert f"{limit} of {in_flight} requests in flight" in said[0]
        assert f"seems to be {limit}" in said[0]


def test_a_crowd_of_first_calls_without_a_timing_is_said(tmp_path: Path) -> None:
    first = make_timings(first_call=True)
    setting = replace(SETTING, concurrency=4)
    group = make_group([setting], target=GROUP.target, prompts=4)
    samples = [make_sample(request, timings=first, timing_valid=False, hosted=call()) for request in group.requests]
    experiment = make_experiment(targets=(GROUP.target,), metrics=())
    run = make_run(tmp_path / "run", experiment=experiment)
    with run.writer() as writer:
        for sample in samples:
            writer.append(sample)
    (summary,) = summarise_hosted(join_table(run, make_plan(group)), ["hosted"])
    assert (summary.timed, summary.first_calls) == (0, 4)
    (found,) = hosted_notices([summary])
    assert found.level == "warning"
    assert "hosted, 4 in flight: none of its 4 delivered requests is a timing" in found.text
    assert hosted_notices([replace(summary, timed=1)]) == []


def test_runners_and_what_went_astray(tmp_path: Path) -> None:
    images = (make_image_record(nsfw=True, degenerate="black"),)
    samples = [
        make_sample(REQUESTS[0], hosted=call(first_on_runner=True, observed_by="status_events")),
        make_sample(REQUESTS[1], hosted=call(runner="r-2", first_on_runner=True, rerouted=True), images=images),
        make_sample(REQUESTS[2], hosted=call(attempts=2)),
        make_sample(REQUESTS[3], hosted=call(recovered=True)),
        make_sample(REQUESTS[4], error=make_failure(type="wrong_size", stage="store")),
    ]
    (summary,) = summarise_hosted(table_of(tmp_path, samples), ["hosted"])
    assert (summary.requests, summary.runners, summary.first_on_runner) == (4, 2, 2)
    assert (summary.retried, summary.rerouted, summary.recovered) == (1, 1, 1)
    assert (summary.flagged, summary.black, summary.wrong_size) == (1, 1, 1)
    assert summary.observed_by == (("polling", 3), ("status_events", 1))
    assert (summary.in_flight, summary.running, summary.limit) == (None, None, None)
    table = hosted_table([summary])
    assert table is not None
    assert "1 rerouted" in table.rows[0].cells[-1].text
    assert table.rows[0].cells[4].detail == "first on one: 2"


def test_local_targets_are_no_hosted_service(tmp_path: Path) -> None:
    assert summarise_hosted(table_of(tmp_path, [make_sample(REQUESTS[0])]), []) == ()
    assert hosted_table([]) is None


def test_what_scores_cost_is_part_of_the_bill() -> None:
    scores = [make_score(usd=0.002), make_score(usd=None), make_score(usd=0.001, status="failed", value=None)]
    money = with_scores(summarise_money([], {}), scores)

    assert money.usd == pytest.approx(0.003)
    assert money_lines(money) == ["dollars: $0.00300 by scores of a service (2 scores)"]
    table = money_table(money)
    assert table is not None
    assert [cell.text for cell in table.rows[0].cells] == ["scores of a service", "2", "$0.00300", ""]


def test_scores_without_a_price_change_nothing() -> None:
    money = summarise_money([], {})

    assert with_scores(money, [make_score()]) is money
