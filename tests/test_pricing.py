"""Dollars: rounded as the price list says, and absent rather than zero."""

from __future__ import annotations

import pytest

from kreabench.core.errors import BudgetReached
from kreabench.core.records import Cost, FailureRecord
from kreabench.core.specs import PriceSpec, TargetSpec
from kreabench.estimate import estimate_plan
from kreabench.execution.budget import Budget
from kreabench.pricing import billed_megapixels, request_price_usd, sample_cost
from tests.support import (
    UTC,
    make_failure,
    make_group,
    make_image_record,
    make_plan,
    make_sample,
    make_setting,
    make_target,
)


def price(megapixel_pixels: int = 1_000_000, round_up: bool = True) -> PriceSpec:
    return PriceSpec(
        usd_per_megapixel=0.025,
        megapixel_pixels=megapixel_pixels,
        round_up=round_up,
        source="test",
        date="2026-01-01",
    )


def hosted(the_price: PriceSpec | None) -> TargetSpec:
    return make_target(name="hosted", hosted=True, price=the_price)


@pytest.mark.parametrize(
    ("size", "megapixel_pixels", "expected"),
    [
        ((1024, 1024), 1_000_000, 2),
        ((1024, 1024), 1_048_576, 1),
        ((1024, 768), 1_000_000, 1),
        ((1000, 1000), 1_000_000, 1),
        ((16, 16), 1_000_000, 1),
        ((2048, 2048), 1_048_576, 4),
    ],
)
def test_rounding_up_to_the_next_megapixel(size: tuple[int, int], megapixel_pixels: int, expected: int) -> None:
    assert billed_megapixels(price(megapixel_pixels), *size) == expected


def test_without_rounding() -> None:
    assert billed_megapixels(price(round_up=False), 500, 500) == 0.25


def test_each_image_is_billed() -> None:
    setting = make_setting(width=1024, height=768, num_images=4)
    assert request_price_usd(hosted(price()), setting) == pytest.approx(0.1)
    assert request_price_usd(hosted(None), setting) is None
    assert request_price_usd(make_target(), setting) is None


def test_what_the_service_billed_goes_before_the_price_list() -> None:
    images = [make_image_record(width=1024, height=768)]
    billed = sample_cost(hosted(price()), end_to_end_s=1.0, images=images, billable_units=3.0)
    assert billed.usd == pytest.approx(0.075)
    assert billed.basis == "billed"
    listed = sample_cost(hosted(price()), end_to_end_s=1.0, images=images, billable_units=None)
    assert listed.usd == pytest.approx(0.025)
    assert listed.basis == "price_list"
    assert sample_cost(hosted(None), end_to_end_s=1.0, images=images, billable_units=3.0).usd is None


def test_a_local_second_costs_what_the_device_costs() -> None:
    assert sample_cost(make_target(), end_to_end_s=3.0, images=[], billable_units=None).usd is None
    cost = sample_cost(make_target(usd_per_hour=3.6), end_to_end_s=2.0, images=[], billable_units=None)
    assert cost.usd == pytest.approx(0.002)
    assert cost.basis == "device_hour"


def test_a_budget_of_exactly_ten_requests_admits_ten() -> None:
    setting = make_setting(target="hosted")
    group = make_group([setting], target=hosted(price()), prompts=11)
    plan = make_plan(group)
    budget = Budget(0.25, plan)
    for request in group.requests[:10]:
        budget.admit(group, request)
        budget.record(make_sample(request, cost=Cost(usd=0.025, basis="price_list")))
    with pytest.raises(BudgetReached, match=r"budget.usd is 0\.25"):
        budget.admit(group, group.requests[10])
    assert budget.spent_usd == pytest.approx(0.25)


def test_what_is_under_way_counts() -> None:
    group = make_group([make_setting(target="hosted")], target=hosted(price()), prompts=2)
    budget = Budget(0.03, make_plan(group))
    budget.admit(group, group.requests[0])
    with pytest.raises(BudgetReached):
        budget.admit(group, group.requests[1])


def test_a_failed_request_of_unknown_cost_counts_at_its_price() -> None:
    group = make_group([make_setting(target="hosted")], target=hosted(price()), prompts=3)
    request = group.requests[0]
    budget = Budget(None, make_plan(group))
    budget.record(
        FailureRecord(
            group_id=group.id,
            setting_id=request.setting_id,
            request_id=request.id,
            attempt=1,
            started_utc=UTC,
            error=make_failure(),
        )
    )
    assert budget.spent_usd == pytest.approx(0.025)


def test_local_requests_are_never_held_back() -> None:
    group = make_group(prompts=2)
    budget = Budget(0.0, make_plan(group))
    budget.admit(group, group.requests[0])
    budget.admit(group, None)


def test_an_estimate_adds_up_and_admits_what_it_does_not_know() -> None:
    local, bought = (
        make_group(prompts=2, warmup=1),
        make_group([make_setting(target="hosted", num_images=2)], target=hosted(price()), prompts=3),
    )
    guess = estimate_plan(make_plan(local, bought))
    assert [(group.requests, group.warmup_calls, group.images) for group in guess.groups] == [(2, 1, 2), (3, 0, 6)]
    assert [group.usd for group in guess.groups] == [None, pytest.approx(0.15)]
    assert guess.usd == pytest.approx(0.15)
    assert guess.hours is None
