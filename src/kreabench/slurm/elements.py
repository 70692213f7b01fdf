"""What is left of a run, shared out over jobs. A load group's array has an element each that loads the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from kreabench.core.ids import slug
from kreabench.core.planned import LoadGroup, Plan
from kreabench.execution.engine import GroupWork
from kreabench.rundir.batches import Element
from kreabench.rundir.directory import RunState

V = TypeVar("V")


def share_out(
    work: Sequence[GroupWork], jobs_per_group: int, budget_usd: float | None, spent_usd: float = 0.0
) -> list[list[Element]]:
    """The arrays of jobs that draw `work`: one for each local load group, and one job for all hosted ones.

    Hosted groups share an account, its limits and the budget, so they are drawn one after the other, as elsewhere.
    Elements of a group share its prompts: all settings draw a prompt in the same job, on the same device.
    """
    arrays = []
    hosted = [group_work for group_work in work if group_work.group.target.hosted]
    for number, group_work in enumerate(work):
        if group_work not in hosted:
            name = f"{number}-{slug(group_work.group.target.name, length=24)}-{slug(group_work.group.id, length=24)}"
            arrays.append(
                [_element(f"{name}-{index}", [part]) for index, part in enumerate(_split(group_work, jobs_per_group))]
            )
    if hosted:
        arrays.append([replace(_element("hosted", hosted), budget_usd=budget_usd, spent_usd=spent_usd)])
    return arrays


def plan_of_element(plan: Plan, element: Element) -> Plan:
    """`plan` with the element's requests alone, in the order of the plan."""
    chosen = frozenset(element.requests)

    def portion(group: LoadGroup) -> LoadGroup:
        return replace(group, requests=tuple(request for request in group.requests if request.id in chosen))

    return replace(plan, groups=tuple(group for group in map(portion, plan.groups) if group.requests))


def state_of_element(element: Element, state: RunState) -> RunState:
    """What its part holds, on top of what was known when it was given out."""
    begun = state.samples.keys() | state.tries.keys()
    before = {key: value for key, value in element.submitted.items() if key not in begun}
    return replace(
        state,
        deaths=_sum(element.deaths, state.deaths),
        tries=_sum(element.tries, state.tries),
        submitted={**before, **state.submitted},
        devices={**element.devices, **state.devices},
    )


def _sum(before: Mapping[str, int], since: Mapping[str, int]) -> dict[str, int]:
    return {key: before.get(key, 0) + since.get(key, 0) for key in before.keys() | since.keys()}


def _split(work: GroupWork, jobs: int) -> list[GroupWork]:
    prompts = list(dict.fromkeys(request.prompt_id for request in work.pending))
    jobs = min(jobs, len(prompts))
    job_of = {prompt: rank * jobs // len(prompts) for rank, prompt in enumerate(prompts)}
    return [
        replace(work, pending=tuple(request for request in work.pending if job_of[request.prompt_id] == job))
        for job in range(jobs)
    ]


def _element(name: str, work: Iterable[GroupWork]) -> Element:
    listed = list(work)
    ids = tuple(request.id for one in listed for request in one.pending)
    return Element(
        name=name,
        requests=ids,
        deaths=_those(ids, (one.deaths for one in listed)),
        tries=_those(ids, (one.tries for one in listed)),
        submitted=_those(ids, (one.submitted for one in listed)),
        devices={one.group.target.name: one.device for one in listed if one.device is not None},
    )


def _those(ids: Sequence[str], mappings: Iterable[Mapping[str, V]]) -> dict[str, V]:
    chosen = frozenset(ids)
    return {key: value for mapping in mappings for key, value in mapping.items() if key in chosen}
