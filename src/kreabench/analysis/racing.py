"""Racing: which settings cannot be the answer any more, by what has been drawn so far. Pure; see `kreabench.race`.

What is controlled: take one setting that is good enough, meaning that it is within every constraint, and that none that
is good enough beats. The chance that a race ever drops it is at most the question's `level`, over all looks and all
tests together, however many other settings there are and whatever these are like. For a setting that loses exactly
what is allowed, the same holds. It is not controlled that no setting at all of many equal ones is dropped: another one
of them is then the answer, and as good.

How: Bonferroni's bound over looks and tests. Each look has an equal share of the level; of that a part is for failing
a constraint, shared by the constraints, and the rest for being dominated. A setting is dominated by another one that is
shown to be better by the objective and shown to be good enough. Where the objective is a cost,

- what costs show (less than the other one, within the bounds) is held against a small part, shared by all settings;
- that quality is good enough is held against the rest, shared by the settings that cost less: the nearest in cost gets
  most, the k-th nearest 1/k of that, as it is the likeliest to be good enough. These shares depend on costs alone, so
  that quality is tested at fixed levels as far as chance in costs and chance in scores have nothing to do with each
  other.

Where the objective is quality, both together are held against the rest, shared equally by all other settings. Nothing
else is assumed of how looks, tests and settings depend on each other.

The tests: quality by Student's t over prompts; costs by exact sign tests, against a bound (the median lies beyond it)
or in pairs of requests with one prompt and seed (one setting takes less in more than half of them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kreabench.analysis.paired import Floats
from kreabench.analysis.race_evidence import (
    Bools,
    LookData,
    Tests,
    better_quality,
    bound_tests,
    loss_tests,
    lower_cost,
)
from kreabench.core.policies import COSTS, Cost
from kreabench.core.questions import QuestionSpec

_CONSTRAINTS, _COSTS = 0.25, 0.1
"""Parts of a look's level: for failing a constraint; for what costs show of those that may dominate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """What p-values of one look are held against."""

    constraint: float
    """For each constraint of a setting."""
    cost: float
    """For each other setting that may dominate it: what costs show."""
    quality: float
    """For all others together: what scores show. 0 where the question has nothing to do with quality."""
    others: int
    """Settings that may dominate another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """One setting that cannot be the answer."""

    setting: int
    """Index."""
    constraint: str
    """A metric of `max_quality_loss`, a cost, or the objective where it is dominated."""
    dominated_by: int | None
    """Index of the setting that is better; None where a constraint is failed."""
    value: float
    """The mean loss, or the median cost; for `quality` the mean difference from the better one, positive."""
    against: float
    """The loss or cost that is allowed, or the median cost of the better one; 0 for `quality`."""
    prompts: int
    """Behind the test."""
    p_value: float
    level: float


def levels_of(question: QuestionSpec, *, looks: int, settings: int) -> Levels:
    """Of a race of so many settings, references included, with so many looks."""
    constraints = len(question.max_quality_loss) + len(bounded_costs(question))
    others = max(settings - 1, 1)
    share = question.level / looks
    dominated = share * (1 - _CONSTRAINTS) if constraints else share
    scores = question.objective == "quality" or bool(question.max_quality_loss)
    for_costs = _COSTS * share if scores else dominated
    return Levels(
        constraint=share * _CONSTRAINTS / constraints if constraints else 0.0,
        cost=for_costs / others,
        quality=dominated - for_costs if scores else 0.0,
        others=others,
    )


def bounded_costs(question: QuestionSpec) -> tuple[Cost, ...]:
    """Costs that the question bounds. Images a day are a bound on latency."""
    bounded: dict[Cost, bool] = {
        "latency": question.max_latency_s is not None or question.min_images_per_day is not None,
        "peak_memory": question.max_peak_memory_bytes is not None,
        "energy": question.max_energy_j is not None,
        "usd_per_image": question.max_usd_per_image is not None,
    }
    return tuple(cost for cost in COSTS if bounded[cost])


def decide(data: LookData, question: QuestionSpec, levels: Levels) -> tuple[Drop, ...]:
    """The settings that this look shows not to be the answer, by index; never a reference."""
    settings = np.arange(data.references.size)
    losses = [loss_tests(data, loss.metric, loss.margin) for loss in question.max_quality_loss]
    bounds = [bound_tests(data, cost) for cost in bounded_costs(question)]
    none = np.zeros(settings.size)
    quality = np.max([none, *(test.p_within for test in losses)], axis=0)
    within = np.max([none, *(test.p_within for test in bounds)], axis=0)
    drops = []
    for index in settings[data.references != settings].tolist():
        failed = min((*losses, *bounds), key=lambda test: float(test.p_beyond[index]), default=None)
        if failed is not None and failed.p_beyond[index] <= levels.constraint:
            drops.append(_failed(index, failed, levels.constraint))
        elif (drop := _dominated(data, question, index, quality, within, levels)) is not None:
            drops.append(drop)
    return tuple(drops)


def _failed(index: int, test: Tests, level: float) -> Drop:
    return Drop(
        setting=index,
        constraint=test.name,
        dominated_by=None,
        value=float(test.value[index]),
        against=float(test.allowed[index]),
        prompts=int(test.prompts[index]),
        p_value=float(test.p_beyond[index]),
        level=level,
    )


def _dominated(
    data: LookData, question: QuestionSpec, index: int, quality: Floats, within: Floats, levels: Levels
) -> Drop | None:
    """Whether some setting is shown to be better than `index` and to be good enough.

    `quality` and `within` are (settings,) p-values of a loss, and of costs, beyond what is allowed.
    """
    if question.objective == "quality":
        p_scores, prompts, value, against = better_quality(data, str(question.quality_metric), index)
        p_scores, p_costs = np.maximum(p_scores, quality), within
        level = np.full(p_scores.size, levels.quality / levels.others)
    else:
        p_costs, prompts, value, against = lower_cost(data, question.objective, index)
        p_scores, p_costs = quality, np.maximum(p_costs, within)
        level = levels.quality * _shares(-against, p_costs <= levels.cost)
    shown = (p_costs <= levels.cost) & (p_scores <= level)
    shown[index] = False
    if not shown.any():
        return None
    gain = np.where(shown, value - against, -np.inf)
    best = int(np.argmax(gain))
    by_scores = p_scores[best] * levels.cost >= p_costs[best] * level[best] and level[best] > 0
    return Drop(
        setting=index,
        constraint=question.objective,
        dominated_by=best,
        value=float(value[best]),
        against=float(against[best]),
        prompts=int(prompts[best]),
        p_value=float(p_scores[best] if by_scores else p_costs[best]),
        level=float(level[best] if by_scores else levels.cost),
    )


def _shares(values: Floats, member: Bools) -> Floats:
    """Shares of 1 for the members: 1, 1/2, 1/3 … in order of `values`, the least first, brought to a sum of 1."""
    shares = np.zeros(values.size)
    order = np.flatnonzero(member)[np.argsort(values[member], kind="stable")]
    weights = 1.0 / np.arange(1, order.size + 1)
    shares[order] = weights / weights.sum() if order.size else 0.0
    return shares
