"""Dollars: rounded as the price list says, and absent rather than zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kreabench.config.resolve import load
from kreabench.core.errors import BudgetReached, ConfigError
from kreabench.core.records import Cost, FailureRecord
from kreabench.core.specs import ExpectedTime, PriceSpec, TargetSpec
from kreabench.estimate import estimate_plan, requests_within
from kreabench.execution.budget import Budget
from kreabench.plan_build import build_plan
from kreabench.pricing import billed_megapixels, price_key, request_price_usd, sample_cost
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

Scheme = dict[str, Any]


def price(megapixel_pixels: int = 1_000_000, round_up: bool = True, scheme: Scheme | None = None) -> PriceSpec:
    flat = PriceSpec(
        usd_first_megapixel=0.025,
        usd_further_megapixel=0.025,
        usd_per_image=None,
        megapixel_pixels=megapixel_pixels,
        round_up=round_up,
        source="test",
        date="2026-01-01",
    )
    return replace(flat, **(scheme or {}))


FIRST_AND_FURTHER: Scheme = {"usd_first_megapixel": 0.03, "usd_further_megapixel": 0.015}
BY_THE_IMAGE: Scheme = {"usd_first_megapixel": None, "usd_further_megapixel": None, "usd_per_image": 0.04}


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


@pytest.mark.parametrize(
    ("scheme", "size", "images", "at_million", "at_binary"),
    [
        # 1024 × 1024 is 1.048576 million pixels: two megapixels of 10⁶, one of 1024².
        ({}, (1024, 1024), 1, 0.05, 0.025),
        ({}, (1024, 1024), 2, 0.10, 0.05),
        ({}, (1024, 768), 1, 0.025, 0.025),
        ({}, (2048, 2048), 1, 0.125, 0.1),
        (FIRST_AND_FURTHER, (512, 512), 1, 0.03, 0.03),
        (FIRST_AND_FURTHER, (1024, 1024), 1, 0.045, 0.03),
        (FIRST_AND_FURTHER, (1024, 1024), 2, 0.09, 0.06),
        (FIRST_AND_FURTHER, (2048, 2048), 2, 0.18, 0.15),
        (BY_THE_IMAGE, (1024, 1024), 1, 0.04, 0.04),
        (BY_THE_IMAGE, (2048, 2048), 3, 0.12, 0.12),
    ],
)
def test_every_scheme_by_hand(
    scheme: Scheme, size: tuple[int, int], images: int, at_million: float, at_binary: float
) -> None:
    setting = make_setting(width=size[0], height=size[1], num_images=images)
    for pixels, expected in ((1_000_000, at_million), (1_048_576, at_binary)):
        target = hosted(price(pixels, scheme=scheme))
        assert request_price_usd(target, setting) == pytest.approx(expected, abs=1e-12)
        delivered = [make_image_record(number, width=size[0], height=size[1]) for number in range(images)]
        cost = sample_cost(target, end_to_end_s=1.0, images=delivered, billable_units=None)
        assert cost.usd == pytest.approx(expected, abs=1e-12)
        assert (cost.basis, cost.list_usd) == ("price_list", None)


def test_without_rounding_each_part_of_a_megapixel_is_paid() -> None:
    exact = price(round_up=False, scheme=FIRST_AND_FURTHER)
    setting = make_setting(width=500, height=500, num_images=2)
    assert request_price_usd(hosted(exact), setting) == pytest.approx(2 * 0.25 * 0.03)
    large = make_setting(width=2000, height=1250)
    assert request_price_usd(hosted(exact), large) == pytest.approx(0.03 + 1.5 * 0.015)


@pytest.mark.parametrize(
    ("scheme", "units", "images", "expected"),
    [
        ({}, 2.0, 1, 0.05),
        ({}, 4.0, 2, 0.1),
        (FIRST_AND_FURTHER, 1.0, 1, 0.03),
        (FIRST_AND_FURTHER, 2.0, 1, 0.045),
        (FIRST_AND_FURTHER, 4.0, 2, 0.09),
        (FIRST_AND_FURTHER, 0.5, 1, 0.015),
        (BY_THE_IMAGE, 3.0, 3, 0.12),
    ],
)
def test_what_was_billed_by_hand(scheme: Scheme, units: float, images: int, expected: float) -> None:
    delivered = [make_image_record(number, width=1024, height=1024) for number in range(images)]
    cost = sample_cost(hosted(price(scheme=scheme)), end_to_end_s=1.0, images=delivered, billable_units=units)
    assert cost.usd == pytest.approx(expected, abs=1e-12)
    assert cost.basis == "billed"


def test_the_price_list_stands_beside_what_was_billed() -> None:
    images = [make_image_record(width=1024, height=1024)]
    cost = sample_cost(hosted(price()), end_to_end_s=1.0, images=images, billable_units=1.0)
    assert cost.usd == pytest.approx(0.025)
    assert cost.list_usd == pytest.approx(0.05)


def test_the_key_of_a_price_names_the_provider_where_there_is_one() -> None:
    assert price_key("fal-ai/flux/krea", {}) == "fal-ai/flux/krea"
    assert price_key("black-forest-labs/FLUX.1-Krea-dev", {"provider": "together"}) == (
        "together:black-forest-labs/FLUX.1-Krea-dev"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("{usd_per_image: 0.04}", "exactly one of"),
        ("{usd_first_megapixel: 0.04}", "exactly one of"),
        ("{usd_per_megapixel: null}", "exactly one of"),
        ("{usd_per_megapixel: null, usd_further_megapixel: 0.1}", "exactly one of"),
        ("{usd_per_megapixel: -1}", "greater than or equal to 0"),
        ("{megapixel_pixels: 1024}", "1000000 or 1048576"),
    ],
)
def test_exactly_one_scheme(changes: str, expected: str) -> None:
    with pytest.raises(ConfigError, match="fal-ai/flux/krea") as caught:
        load(["target=[krea_fal]", f"pricing.endpoints={{fal-ai/flux/krea: {changes}}}"])
    assert expected in str(caught.value)


def test_the_megapixel_is_a_setting_that_an_endpoint_may_override() -> None:
    def pixels(*overrides: str) -> int:
        spec = load(["target=[krea_fal]", *overrides]).experiment.targets[0]
        assert spec.price is not None
        return spec.price.megapixel_pixels

    assert pixels() == 1_000_000
    assert pixels("pricing.megapixel_pixels=1048576") == 1_048_576
    own = "pricing.endpoints={fal-ai/flux/krea: {megapixel_pixels: 1000000}}"
    assert pixels("pricing.megapixel_pixels=1048576", own) == 1_000_000


@pytest.mark.parametrize(
    ("pricing", "target", "size", "expected"),
    [
        ("default", "flux2_pro_fal", "square_hd", 0.11),
        ("later_page", "flux2_pro_fal", "square_hd", 0.045),
        ("later_page", "flux2_pro_fal", "square", 0.03),
        ("default", "flux2_flex_fal", "square", 0.05),
        ("later_page", "flux2_flex_fal", "square_hd", 0.1),
        ("later_page", "krea_fal", "square_hd", 0.05),
    ],
)
def test_the_shipped_price_lists(pricing: str, target: str, size: str, expected: float) -> None:
    composed = load([f"target=[{target}]", f"pricing={pricing}", f"axes.size=[{size}]"])
    (group,) = build_plan(composed.experiment).groups
    assert request_price_usd(group.target, group.settings[0]) == pytest.approx(expected)


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


def test_so_many_at_once_take_so_much_less_time() -> None:
    expected = ExpectedTime(load_s=36.0, base_s=3.0, step_megapixel_s=0.0, source="test")
    one, four = (
        make_group(
            [make_setting(target="hosted", concurrency=number)],
            target=make_target(name="hosted", hosted=True, price=price(), expected=expected),
            prompts=12,
            concurrency=number,
        )
        for number in (1, 4)
    )
    hours = [group.hours for group in estimate_plan(make_plan(one, four)).groups]
    assert hours == [pytest.approx((36 + 36) / 3600), pytest.approx((36 + 9) / 3600)]


@pytest.mark.parametrize(("budget", "within"), [(0.0, 0), (0.07, 2), (0.1, 3), (0.125, 4), (0.17, 4), (0.175, 5)])
def test_how_far_a_budget_goes(budget: float, within: int) -> None:
    """Three requests of $0.025, then two of $0.05; what runs here costs nothing and does not count."""
    local = make_group(prompts=4)
    cheap = make_group([make_setting(target="hosted")], target=hosted(price()), prompts=3)
    dear = make_group([make_setting(target="hosted", num_images=2)], target=hosted(price()), prompts=2)
    plan = make_plan(local, cheap, dear)
    assert requests_within(plan, budget) == within
