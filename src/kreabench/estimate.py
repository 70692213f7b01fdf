"""What a plan will take, before anything runs: calls, pictures, dollars, hours. Guesses, and named as such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kreabench.core.planned import LoadGroup, Plan, Setting
from kreabench.core.specs import TargetSpec
from kreabench.core.traffic import TrafficSpec
from kreabench.pricing import request_price_usd

PIXELS_PER_MEGAPIXEL = 1_048_576

_ROUNDING_USD = 1e-9
"""What sums of floats may be off: requests that cost exactly the budget are within it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupEstimate:
    """One load group: one loaded model, or one connection to a hosted service."""

    group: LoadGroup
    requests: int
    warmup_calls: int
    images: int
    usd: float | None
    """By the price list; None for local targets and endpoints without a price."""
    hours: float | None
    """From the target's `expected` times, so many at once as are in flight; None where nobody gave any."""
    device_usd: float | None = None
    """Of all devices for `hours`, by the target's price an hour; None where either is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanEstimate:
    """The whole plan."""

    groups: tuple[GroupEstimate, ...]
    usd: float
    """Sum over the groups with a price."""
    hours: float | None
    """None when any group's is unknown."""
    device_usd: float
    """Sum over the groups whose devices have a price an hour."""


def estimate_plan(plan: Plan) -> PlanEstimate:
    """Add up what the plan's groups will take."""
    groups = tuple(_estimate_group(group) for group in plan.groups)
    hours = [group.hours for group in groups]
    return PlanEstimate(
        groups=groups,
        usd=sum(group.usd or 0.0 for group in groups),
        hours=None if any(value is None for value in hours) else sum(value or 0.0 for value in hours),
        device_usd=sum(group.device_usd or 0.0 for group in groups),
    )


def requests_within(plan: Plan, budget_usd: float) -> int:
    """Hosted requests of `plan` that are sent, in its order, before the next one could pass the budget.

    By the price list: what is billed, and failed requests of unknown cost, may move it.
    """
    spent, number = 0.0, 0
    for group in plan.groups:
        if not group.target.hosted:
            continue
        settings = {setting.id: setting for setting in group.settings}
        for request in group.requests:
            spent += request_price_usd(group.target, settings[request.setting_id]) or 0.0
            if spent > budget_usd + _ROUNDING_USD:
                return number
            number += 1
    return number


def _estimate_group(group: LoadGroup) -> GroupEstimate:
    settings = {setting.id: setting for setting in group.settings}
    drawn = [settings[request.setting_id] for request in group.requests]
    calls = drawn + list(group.settings) * group.warmup
    prices = [request_price_usd(group.target, setting) for setting in drawn]
    seconds = [expected_s(group.target, setting) for setting in calls]
    if group.traffic is not None:
        return _estimate_level(group, group.traffic, len(drawn), prices)
    load_s = group.target.expected.load_s if group.target.expected else 0.0
    calls_s = None if any(s is None for s in seconds) else sum(s or 0.0 for s in seconds) / group.concurrency
    hours = None if calls_s is None else (load_s + calls_s) / 3600.0
    return GroupEstimate(
        group=group,
        requests=len(drawn),
        warmup_calls=len(calls) - len(drawn),
        images=sum(setting.num_images for setting in drawn),
        usd=_sum(prices),
        hours=hours,
        device_usd=_device_usd(group.target, hours, 1),
    )


def _estimate_level(
    group: LoadGroup, traffic: TrafficSpec, requests: int, prices: Sequence[float | None]
) -> GroupEstimate:
    """A level of load ends by the clock. Before it, each local worker draws batches of every size it may have; how much
    a batch spares is not known beforehand, and taken to be nothing."""
    (setting,) = group.settings
    expected, one_s = group.target.expected, expected_s(group.target, setting)
    drawn_s = 0.0
    if group.warmup:
        drawn_s = group.warmup * (one_s or 0.0) * setting.batch_size * (setting.batch_size + 1) / 2
    load_s = expected.load_s if expected else 0.0
    known = group.target.hosted or one_s is not None
    hours = (load_s + drawn_s + traffic.duration_s) / 3600.0 if known else None
    return GroupEstimate(
        group=group,
        requests=requests,
        warmup_calls=group.warmup * setting.batch_size * setting.replicas,
        images=requests * setting.num_images,
        usd=_sum(prices),
        hours=hours,
        device_usd=_device_usd(group.target, hours, setting.replicas),
    )


def _sum(prices: Sequence[float | None]) -> float | None:
    return None if any(price is None for price in prices) else sum(price or 0.0 for price in prices)


def _device_usd(target: TargetSpec, hours: float | None, devices: int) -> float | None:
    if target.hosted or target.usd_per_hour is None or hours is None:
        return None
    return target.usd_per_hour * hours * devices


def expected_s(target: TargetSpec, setting: Setting) -> float | None:
    """Expected seconds of one request, without acceleration; None where the target says nothing about its speed."""
    guess = target.expected
    if guess is None:
        return None
    megapixels = setting.width * setting.height / PIXELS_PER_MEGAPIXEL
    steps = setting.steps_to_run or 0  # an endpoint without steps has all its time in `base_s`
    return setting.num_images * (guess.base_s + steps * megapixels * guess.step_megapixel_s)
