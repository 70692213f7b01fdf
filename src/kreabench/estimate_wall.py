"""How long a plan takes where several workers draw at once: what `estimate` adds up, laid side by side.

A guess, and a kind one: it takes the work to be dealt out evenly, as pools and jobs nearly do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kreabench.core.engine_spec import EngineSpec, SlurmSpec
from kreabench.core.planned import Plan
from kreabench.estimate import GroupEstimate, estimate_plan


@dataclass(frozen=True, kw_only=True, slots=True)
class WallTime:
    """From the beginning to the end."""

    hours: float
    how: str
    """Under what condition, in words; empty where one worker does one thing after the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A load group's hours."""

    fixed: float
    """Of each worker that takes it up: load and warm-ups."""
    drawing: float
    pieces: int
    """Into which it can be dealt out: requests to workers, prompts to jobs."""

    def with_workers(self, number: int) -> float:
        return self.fixed + self.drawing / max(1, min(number, self.pieces))


def wall_time(plan: Plan, engine: EngineSpec) -> WallTime | None:
    """What `plan` takes with `engine`; None where the time of a group is not known."""
    whole = estimate_plan(plan)
    if whole.hours is None:
        return None
    idle = estimate_plan(replace(plan, groups=tuple(replace(group, requests=()) for group in plan.groups)))
    pairs = list(zip(whole.groups, idle.groups, strict=True))
    if engine.slurm is not None:
        return _of_jobs(pairs, engine.slurm)
    # Hosted targets may be asked meanwhile; whether they are depends on the machine, so they are added.
    alone = sum(one.hours or 0.0 for one, _ in pairs if one.group.target.hosted or one.group.target.service is not None)
    shared = [
        _part(one, fixed, len(one.group.requests))
        for one, fixed in pairs
        if not (one.group.target.hosted or one.group.target.service is not None)
    ]
    workers = len(engine.devices) or 1
    if engine.ray is not None and shared:
        if engine.ray.workers is None:
            how = "with one worker; how many the cluster has room for is seen when it starts (engine.workers)"
            return WallTime(hours=whole.hours, how=how)
        workers = engine.ray.workers
    if workers == 1 or not shared:
        return WallTime(hours=whole.hours, how="")
    how = f"with {workers} workers at once" + (", if the cluster has room for them" if engine.ray is not None else "")
    return WallTime(hours=alone + _spread(shared, workers), how=how)


def _part(one: GroupEstimate, fixed: GroupEstimate, pieces: int) -> _Part:
    hours = fixed.hours or 0.0
    return _Part(fixed=hours, drawing=(one.hours or 0.0) - hours, pieces=pieces)


def _spread(parts: Sequence[_Part], workers: int) -> float:
    """Of load groups that are dealt out whole, and joined by more workers once there are none left."""
    drawing, fixed = sum(part.drawing for part in parts), sum(part.fixed for part in parts)
    even = (drawing + max(1.0, workers / len(parts)) * fixed) / workers
    longest = max(part.with_workers(workers) for part in parts)
    return min(drawing + fixed, max(even, longest))


def _of_jobs(pairs: Sequence[tuple[GroupEstimate, GroupEstimate]], spec: SlurmSpec) -> WallTime:
    """Of arrays that begin together: one a load group, and one job for all hosted targets."""
    hosted = [one.hours or 0.0 for one, _ in pairs if one.group.target.hosted]
    ends, jobs = ([sum(hosted)] if hosted else []), int(bool(hosted))
    for one, fixed in pairs:
        if not one.group.target.hosted:
            prompts = len({request.prompt_id for request in one.group.requests})
            part = _part(one, fixed, prompts)
            number = min(spec.jobs_per_group, prompts)
            at_once = min(number, spec.jobs_at_once or number)
            ends.append(part.with_workers(number) * math.ceil(number / max(1, at_once)))
            jobs += number
    limit = "" if spec.jobs_at_once is None else f", {spec.jobs_at_once} of a model's at once"
    how = f"if the cluster starts all {jobs} jobs when they are submitted{limit}" if jobs > 1 else "once its job starts"
    return WallTime(hours=max(ends, default=0.0), how=how)
