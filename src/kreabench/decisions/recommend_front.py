"""The Pareto front of a contest over two or three costs, or quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.fronts import find_front
from kreabench.analysis.resampling import DRAWS, prompt_weights
from kreabench.core.questions import Objective
from kreabench.decisions.recommend import SEED, is_better_high, quality_level, resampled_objective
from kreabench.decisions.recommend_evidence import Contest, Entrant


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrontPoint:
    """One setting that has a value on every axis."""

    entrant: Entrant
    values: tuple[Estimate, ...]
    """One an axis."""
    on_front: bool
    probability: float
    """Share of the resamples of the prompts in which no setting dominates it."""
    dominated_by: Entrant | None
    p_dominated: float | None
    """Share of the resamples in which that one dominates it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Front:
    """Settings that no other one beats in every respect, and the others."""

    axes: tuple[Objective, ...]
    metric: str | None
    """Of the axis `quality`."""
    points: tuple[FrontPoint, ...]
    left_out: tuple[tuple[Entrant, Objective], ...]
    """Settings without a value, and the first axis that lacks it."""


def front_of(contest: Contest, axes: tuple[Objective, ...], metric: str | None, *, draws: int = DRAWS) -> Front:
    """Costs are medians, least is best; all settings that were asked about take part, whether they qualify or not."""
    members = [entrant for entrant in contest.entrants if entrant.setting.id in contest.asked]
    rows = [(entrant, [_value(contest, entrant, axis, metric) for axis in axes]) for entrant in members]
    left_out = tuple(
        (entrant, next(axis for axis, value in zip(axes, values, strict=True) if value is None))
        for entrant, values in rows
        if None in values
    )
    known = [(entrant, [v for v in values if v is not None]) for entrant, values in rows if None not in values]
    if not known:
        return Front(axes=axes, metric=metric, points=(), left_out=left_out)
    weights = prompt_weights(np.random.default_rng(SEED), len(contest.prompts), draws)
    drawn = np.stack(
        [
            np.column_stack([resampled_objective(contest, entrant, axis, metric or "", weights) for axis in axes])
            for entrant, _ in known
        ],
        axis=1,
    )
    found = find_front(
        np.array([[value.value for value in values] for _, values in known]),
        drawn,
        [is_better_high(contest, axis, metric or "") for axis in axes],
    )
    points = []
    for index, (entrant, values) in enumerate(known):
        by = found.dominators[index]
        points.append(
            FrontPoint(
                entrant=entrant,
                values=tuple(values),
                on_front=bool(found.on_front[index]),
                probability=float(found.probability[index]),
                dominated_by=None if by is None else known[by.index][0],
                p_dominated=None if by is None else by.probability,
            )
        )
    return Front(axes=axes, metric=metric, points=tuple(points), left_out=left_out)


def _value(contest: Contest, entrant: Entrant, axis: Objective, metric: str | None) -> Estimate | None:
    if axis == "quality":
        return quality_level(contest, entrant, metric or "")
    return entrant.costs[axis].median
