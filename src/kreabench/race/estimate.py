"""What a race takes at most, if nothing is dropped, and at least, if the first look drops all but references."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kreabench.core.planned import LoadGroup, Plan
from kreabench.core.specs import ExperimentSpec
from kreabench.estimate import estimate_plan
from kreabench.race.rounds import rounds_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """One end of what a race may take."""

    images: int
    loads: int
    """Every round loads each model anew that has requests in it."""
    usd: float
    """Of hosted requests with a price."""
    hours: float | None
    """None where some target's speed is unknown."""


def race_extents(experiment: ExperimentSpec, plan: Plan) -> tuple[Extent, Extent]:
    """The least and the most."""
    rounds = rounds_of(experiment)
    first = frozenset(rounds[0].prompts)
    least = tuple(
        replace(
            group,
            requests=tuple(
                request
                for request in group.requests
                if request.prompt_id in first or request.setting_id in _references(group)
            ),
        )
        for group in plan.groups
    )
    later = tuple(
        replace(group, settings=tuple(s for s in group.settings if s.id in _references(group))) for group in plan.groups
    )
    return (
        # Once nothing is left to drop, all that is left is one round.
        _extent(plan, least, later, min(len(rounds), 2)),
        _extent(plan, plan.groups, plan.groups, len(rounds)),
    )


def _references(group: LoadGroup) -> set[str]:
    return {setting.id for setting in group.settings if setting.reference_id == setting.id}


def _extent(plan: Plan, drawn: tuple[LoadGroup, ...], later: tuple[LoadGroup, ...], rounds: int) -> Extent:
    """`later`: with the settings that are in the rounds after the first."""
    guess = estimate_plan(replace(plan, groups=drawn))
    again = tuple(replace(group, requests=()) for group in later if group.settings)
    anew = estimate_plan(replace(plan, groups=again))
    return Extent(
        images=sum(group.images for group in guess.groups),
        loads=len(drawn) + (rounds - 1) * len(again),
        usd=guess.usd,
        hours=None if guess.hours is None or anew.hours is None else guess.hours + (rounds - 1) * anew.hours,
    )
