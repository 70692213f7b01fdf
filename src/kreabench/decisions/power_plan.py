"""How many prompts and seeds a plan needs to see a loss, or to show that there is none, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kreabench.analysis.power import prompts_to_catch, prompts_to_pass
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Plan
from kreabench.core.registry import suggest
from kreabench.core.specs import ExperimentSpec, MetricSpec
from kreabench.decisions.power_noise import Noise
from kreabench.estimate import estimate_plan
from kreabench.metrics.table import has_direction, per_image

SEEDS = (1, 2, 4, 8)
"""Seeds a prompt that are weighed against each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What is to be seen in one metric, in its unit."""

    metric: str
    loss: float
    """To be established where it is there."""
    margin: float
    """To be shown as not reached where there is no loss at all."""
    sides: Literal["one", "two"]
    """`two` where the metric has no better side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Prompts of one metric; None where a million would not do."""

    metric: str
    to_see: int | None
    to_show: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Combination:
    """So many seeds, and the prompts that do for all metrics."""

    seeds: int
    needs: tuple[Need, ...]
    prompts: int | None
    """Most of what the metrics need; None where one cannot be had."""
    images: int | None
    hours: float | None
    """As the plan's targets expect; None where one says nothing of its speed."""
    usd: float | None
    """Hosted requests by the price list, and hours of a device with a price; None where nothing has a price."""
    unpriced: bool
    """Whether `usd` leaves something out."""
    missing_prompts: int
    """More than the chosen set has; 0 where it has enough."""
    cheapest: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerPlan:
    """The answer, with all it rests on."""

    goals: tuple[Goal, ...]
    noise: Mapping[str, Noise]
    level: float
    power: float
    settings: int
    prompts: int
    """Of the chosen set."""
    combinations: tuple[Combination, ...]
    cheapest_by: str
    """`dollars`, `hours` or `images`."""


def make_goals(
    losses: Mapping[str, float], margins: Mapping[str, float], metrics: Sequence[MetricSpec]
) -> tuple[Goal, ...]:
    """One a metric of `losses`; its margin is the loss unless `margins` says otherwise.

    Raises ConfigError for a metric that the plan does not score picture by picture, and for a margin without a loss.
    """
    known = {spec.name: spec for spec in per_image(metrics)}
    remedy = "Choose the plan's metrics with metrics=[…]."
    problems = [
        Problem(key="--loss", found=name, expected=suggest(name, known) if known else "a metric", remedy=remedy)
        for name in losses
        if name not in known
    ]
    problems += [
        Problem(key="--margin", found=name, expected=f"a metric with a --loss: {', '.join(losses)}")
        for name in margins
        if name not in losses
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(
        Goal(
            metric=name,
            loss=loss,
            margin=margins.get(name, loss),
            sides="one" if has_direction(known[name]) else "two",
        )
        for name, loss in losses.items()
    )


def plan_power(
    experiment: ExperimentSpec,
    plan: Plan,
    goals: Sequence[Goal],
    noise: Mapping[str, Noise],
    *,
    level: float,
    power: float,
) -> PowerPlan:
    """Prompts for 1, 2, 4 and 8 seeds, and what each costs in the plan as composed.

    A loss is established by Holm's strictest step over all goals; all goals together are shown to have none with
    `power`, so each with more.
    """
    combinations = [_combination(experiment, plan, goals, noise, seeds, level=level, power=power) for seeds in SEEDS]
    usable = [one for one in combinations if one.prompts is not None]
    by, cheapest = _cheapest(usable)
    return PowerPlan(
        goals=tuple(goals),
        noise=noise,
        level=level,
        power=power,
        settings=len(plan.settings),
        prompts=len(experiment.prompts),
        combinations=tuple(replace(one, cheapest=one is cheapest) for one in combinations),
        cheapest_by=by,
    )


def _combination(
    experiment: ExperimentSpec,
    plan: Plan,
    goals: Sequence[Goal],
    noise: Mapping[str, Noise],
    seeds: int,
    *,
    level: float,
    power: float,
) -> Combination:
    needs = tuple(
        Need(
            metric=goal.metric,
            to_see=prompts_to_catch(
                noise[goal.metric].components,
                goal.loss,
                level=level,
                seeds=seeds,
                checks=len(goals),
                sides=goal.sides,
                power=power,
            ),
            to_show=prompts_to_pass(
                noise[goal.metric].components,
                goal.margin,
                level=level,
                seeds=seeds,
                checks=len(goals),
                sides=goal.sides,
                power=power,
            ),
        )
        for goal in goals
    )
    numbers = [number for need in needs for number in (need.to_see, need.to_show)]
    prompts = None if None in numbers else max(number or 0 for number in numbers)
    images, hours, usd, unpriced = _cost(experiment, plan, prompts, seeds) if prompts else (None, None, None, False)
    return Combination(
        seeds=seeds,
        needs=needs,
        prompts=prompts,
        images=images,
        hours=hours,
        usd=usd,
        unpriced=unpriced,
        missing_prompts=max((prompts or 0) - len(experiment.prompts), 0),
    )


def _cost(
    experiment: ExperimentSpec, plan: Plan, prompts: int, seeds: int
) -> tuple[int, float | None, float | None, bool]:
    """Images, hours and dollars of the plan with so many prompts and seeds, and whether something has no price.

    Loads and warm-ups stay as they are; requests grow in proportion.
    """
    factor = prompts * seeds / (len(experiment.prompts) * len(experiment.seeds))
    whole = estimate_plan(plan)
    fixed = estimate_plan(replace(plan, groups=tuple(replace(group, requests=()) for group in plan.groups)))
    images, hours, dollars, unpriced = 0.0, 0.0, 0.0, False
    known_hours, priced = True, False
    for group, alone in zip(whole.groups, fixed.groups, strict=True):
        images += group.images * factor
        took = None
        if group.hours is None or alone.hours is None:
            known_hours = False
        else:
            took = alone.hours + (group.hours - alone.hours) * factor
            hours += took
        rate = group.group.target.usd_per_hour
        if group.group.target.hosted:
            cost = None if group.usd is None else group.usd * factor
        else:
            cost = None if rate is None or took is None else rate * took
        priced |= cost is not None
        unpriced |= cost is None
        dollars += cost or 0.0
    return round(images), hours if known_hours else None, dollars if priced else None, unpriced


def _cheapest(usable: Sequence[Combination]) -> tuple[str, Combination | None]:
    """By dollars where they are complete, else by hours, else by images; ties go to fewer seeds."""
    if not usable:
        return "images", None
    if all(one.usd is not None and not one.unpriced for one in usable):
        return "dollars", min(usable, key=lambda one: one.usd or 0.0)
    if all(one.hours is not None for one in usable):
        return "hours", min(usable, key=lambda one: one.hours or 0.0)
    return "images", min(usable, key=lambda one: one.images or 0)
