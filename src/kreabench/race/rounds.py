"""Which prompts a race draws when, and what of a run's work belongs to a round. The plan stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from kreabench.core.errors import Problem
from kreabench.core.planned import Plan, Request
from kreabench.core.specs import ExperimentSpec
from kreabench.execution.engine import GroupWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Prompts that every setting still in the race draws before something is decided."""

    look: int | None
    """Number of the look that ends it, from 1; None for the last round, which draws all that is left."""
    prompts: tuple[str, ...]
    """Ids, those of earlier rounds too."""


def look_sizes(prompts: int, first: int, looks: int) -> tuple[int, ...]:
    """Prompts at each look: `first`, then twice as many each time, as long as that is fewer than all."""
    return tuple(size for size in (first * 2**number for number in range(looks)) if size < prompts)


def rounds_of(experiment: ExperimentSpec) -> tuple[Round, ...]:
    """In order; a single one without a race. The prompts are in a seeded order of their own, the same for all settings.

    The order is a sort by hash, as that of the requests is, so a look's prompts are a random choice of all.
    """

    def key(prompt_id: str) -> bytes:
        return hashlib.sha256(f"{experiment.order_seed}\0race\0{prompt_id}".encode()).digest()

    race = experiment.race
    prompts = tuple(sorted((prompt.id for prompt in experiment.prompts), key=key))
    sizes = () if race is None else look_sizes(len(prompts), race.first_prompts, race.looks)
    looks = (Round(look=number, prompts=prompts[:size]) for number, size in enumerate(sizes, 1))
    return (*looks, Round(look=None, prompts=prompts))


def split_work(work: Sequence[GroupWork], prompts: Collection[str]) -> tuple[list[GroupWork], list[GroupWork]]:
    """What is to be drawn of these prompts now, and what is left for later. Groups without requests are left out."""
    chosen = frozenset(prompts)
    now = _portion(work, lambda request: request.prompt_id in chosen)
    return now, _portion(work, lambda request: request.prompt_id not in chosen)


def without_settings(work: Sequence[GroupWork], dropped: Collection[str]) -> list[GroupWork]:
    """`work` without the requests of dropped settings."""
    return _portion(work, lambda request: request.setting_id not in dropped)


def _portion(work: Sequence[GroupWork], keep: Callable[[Request], bool]) -> list[GroupWork]:
    parts = []
    for group in work:
        pending = tuple(filter(keep, group.pending))
        ids = {request.id for request in pending}
        if pending:
            parts.append(
                replace(
                    group,
                    pending=pending,
                    deaths={key: value for key, value in group.deaths.items() if key in ids},
                    tries={key: value for key, value in group.tries.items() if key in ids},
                    submitted={key: value for key, value in group.submitted.items() if key in ids},
                )
            )
    return parts


def race_problems(experiment: ExperimentSpec, plan: Plan) -> list[Problem]:
    """Why a race over these settings decides nothing; empty where it may, and without a race."""
    if experiment.race is None:
        return []
    others = [setting for setting in plan.settings if setting.reference_id != setting.id]
    if not others or len(plan.settings) < 2:
        found = "no setting beside references" if plan.settings else "no setting"
        expected = "settings that can be dropped: at least two, of which one is no reference"
        return [Problem(key="run.race", found=found, expected=expected)]
    losses = experiment.race.question.max_quality_loss
    if losses and all(setting.reference_id is None for setting in plan.settings):
        return [
            Problem(
                key="race.max_quality_loss",
                found="no setting with a reference to lose against",
                expected="the reference among the settings",
                remedy="Plan reference.acceleration and reference.steps, or name others there",
            )
        ]
    return []
