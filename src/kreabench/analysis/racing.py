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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kreabench.analysis.paired import Floats, Ints
from kreabench.core.policies import COSTS, Cost, MarginSpec
from kreabench.core.questions import QuestionSpec

Bools = NDArray[np.bool_]

MIN_SHARE = 0.9
"""Of a look's prompts must have pairs behind a test; what is left of fewer is no fair choice of them."""

_ROUNDING = 1e-12
"""Spread, relative to the mean, that is no more than rounding."""


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LookData:
    """What a look sees of the settings that are still in the race. NaN is what is not there."""

    references: Ints
    """(settings,) index of each one's reference, its own for a reference, −1 where there is none."""
    prompts: int
    """That this look is about; their codes are 0 to prompts − 1."""
    picture_prompts: Ints
    """(pictures,) code of the prompt. A picture is a prompt, seed, repeat and index; all settings draw the same ones."""
    first_repeat: Bools
    """(pictures,) whether it is of the first repeat: others may be the same picture again."""
    scores: Mapping[str, Floats]
    """Metric → (settings, pictures), turned so that more is better."""
    request_prompts: Ints
    """(requests,) code of the prompt. A request is a prompt, seed and repeat."""
    costs: Mapping[Cost, Floats]
    """(settings, requests)"""
    bounds: Mapping[Cost, Floats]
    """(settings,) most that the median may be; only costs that are bounded."""


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Tests:
    """One constraint of all settings; every field is (settings,)."""

    name: str
    p_beyond: Floats
    """p-values of `within what is allowed`: small where it is shown to be beyond."""
    p_within: Floats
    """p-values of `beyond what is allowed`."""
    value: Floats
    allowed: Floats
    prompts: Ints


def look_sizes(prompts: int, first: int, looks: int) -> tuple[int, ...]:
    """Prompts at each look: `first`, then twice as many each time, as long as that is fewer than all."""
    return tuple(size for size in (first * 2**number for number in range(looks)) if size < prompts)


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
    losses = [_loss_tests(data, loss.metric, loss.margin) for loss in question.max_quality_loss]
    bounds = [_bound_tests(data, cost) for cost in bounded_costs(question)]
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


def _failed(index: int, test: _Tests, level: float) -> Drop:
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
        p_scores, prompts, value, against = _better_quality(data, str(question.quality_metric), index)
        p_scores, p_costs = np.maximum(p_scores, quality), within
        level = np.full(p_scores.size, levels.quality / levels.others)
    else:
        p_costs, prompts, value, against = _lower_cost(data, question.objective, index)
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


def _loss_tests(data: LookData, metric: str, margin: MarginSpec) -> _Tests:
    """How much worse than its reference each setting is, prompt by prompt, and whether that is more than allowed."""
    scores = data.scores[metric]
    known = data.references >= 0
    base = np.where(known[:, None], scores[data.references], np.nan)
    difference = _by_prompt(scores - base, data.picture_prompts, data.prompts)
    paired_base = _by_prompt(np.where(np.isnan(scores), np.nan, base), data.picture_prompts, data.prompts)
    allowed, error, freedom = _allowed(data, metric, margin, paired_base)
    room = difference + allowed
    seen = _moments(paired_base)[2] > 0  # else all scores are one: the metric saw nothing
    p = [np.where(seen, _shown(room, side, data, error, freedom), 1.0) for side in ("less", "greater")]
    itself = data.references == np.arange(data.references.size)
    return _Tests(
        name=metric,
        p_beyond=np.where(itself, 1.0, p[0]),
        p_within=np.where(itself, 0.0, p[1]),
        value=-_moments(difference)[1],
        allowed=_moments(np.where(np.isnan(difference), np.nan, allowed))[1],
        prompts=_moments(difference)[0],
    )


def _allowed(data: LookData, metric: str, margin: MarginSpec, base: Floats) -> tuple[Floats, Floats, Floats]:
    """The loss allowed, (settings, prompts or 1), its standard error and degrees of freedom, both (settings,)."""
    none = np.zeros(data.references.size), np.ones(data.references.size)
    if margin.kind == "absolute":
        return np.full((data.references.size, 1), margin.value), *none
    if margin.kind == "relative":  # a share of the mean of `base`, prompt by prompt: paired as the differences are
        return margin.value * base * np.sign(_moments(base)[1])[:, None], *none
    spread, freedom = _seed_spread(data, metric)
    allowed = margin.value * spread
    # The standard error of a standard deviation of normal values, sd / √(2 · freedom).
    with np.errstate(divide="ignore", invalid="ignore"):
        error = allowed / np.sqrt(2 * freedom)
    return allowed[:, None], error, freedom


def _seed_spread(data: LookData, metric: str) -> tuple[Floats, Floats]:
    """Standard deviation from seed to seed of the reference's pictures of one prompt, and its degrees of freedom."""
    codes = data.picture_prompts[data.first_repeat]
    spread = np.full(data.references.size, np.nan)
    freedom = np.zeros(data.references.size)
    for reference in np.unique(data.references[data.references >= 0]).tolist():
        x = data.scores[metric][reference, data.first_repeat][None]
        residual = x - _by_prompt(x, codes, data.prompts)[:, codes]
        there = np.isfinite(residual)
        df = int(there.sum()) - np.unique(codes[there[0]]).size
        with np.errstate(divide="ignore", invalid="ignore"):
            sd = np.sqrt(np.sum(np.square(residual[there])) / df) if df else np.nan
        spread[data.references == reference], freedom[data.references == reference] = sd, df
    return spread, freedom


def _shown(
    room: Floats, side: Literal["less", "greater"], data: LookData, error: Floats | None = None, df: Floats | None = None
) -> Floats:
    """p-values of `the mean of room is not {side} than 0`, 1 where too few prompts are there.

    `error`: of a part of `room` that was estimated apart, with `df` degrees of freedom (Welch 1947). Where all prompts
    say exactly the same, as with equal pictures, there is no spread to reckon with: then a sign test.
    """
    n, mean, sd = _moments(room)
    p = np.ones(mean.size)
    fair = (n >= 2) & (n >= MIN_SHARE * data.prompts)
    flat = fair & (sd <= _ROUNDING * np.abs(mean))
    p[flat] = np.where(mean[flat] < 0 if side == "less" else mean[flat] > 0, 0.5 ** n[flat], 1.0)
    error, df = (np.zeros(mean.size), np.ones(mean.size)) if error is None or df is None else (error, df)
    use = fair & ~flat & np.isfinite(error) & (df >= 1)
    # scipy wants an error said as √(s² / m), which has m − 1 degrees of freedom.
    m = df[use] + 1
    found = stats.ttest_ind_from_stats(
        mean[use], sd[use], n[use], 0.0, error[use] * np.sqrt(m), m, equal_var=False, alternative=side
    )
    p[use] = found.pvalue
    return p


def _bound_tests(data: LookData, cost: Cost) -> _Tests:
    """Whether the median of a cost lies beyond its bound: a sign test."""
    values = _cost(data, cost)
    there = np.isfinite(values)
    n, prompts = there.sum(axis=1), _prompts_behind(there, data)
    fair = prompts >= MIN_SHARE * data.prompts
    bound = data.bounds[cost]
    beyond = (values > bound[:, None]).sum(axis=1)
    within = (values <= bound[:, None]).sum(axis=1)
    return _Tests(
        name=cost,
        p_beyond=np.where(fair, _more_than_half(beyond, n), 1.0),
        p_within=np.where(fair, _more_than_half(within, n), 1.0),
        value=_medians(values),
        allowed=bound,
        prompts=prompts,
    )


def _lower_cost(data: LookData, cost: Cost, index: int) -> tuple[Floats, Ints, Floats, Floats]:
    """Of each setting: p of `it does not take less than index`, prompts behind, and both medians over the pairs.

    A sign test over pairs of requests, and only where the medians say the same.
    """
    values = _cost(data, cost)
    there = np.isfinite(values) & np.isfinite(values[index])
    wins = ((values < values[index]) & there).sum(axis=1)
    prompts = _prompts_behind(there, data)
    theirs = _medians(np.where(there, values, np.nan))
    own = _medians(np.where(there, values[index], np.nan))
    use = (prompts >= MIN_SHARE * data.prompts) & (theirs < own)
    return np.where(use, _more_than_half(wins, there.sum(axis=1)), 1.0), prompts, own, theirs


def _better_quality(data: LookData, metric: str, index: int) -> tuple[Floats, Ints, Floats, Floats]:
    """Of each setting: p of `it is not better than index`, prompts behind, the mean difference, and 0."""
    scores = data.scores[metric]
    difference = _by_prompt(scores - scores[index], data.picture_prompts, data.prompts)
    n, mean, _ = _moments(difference)
    return _shown(difference, "greater", data), n, mean, np.zeros(mean.size)


def _cost(data: LookData, cost: Cost) -> Floats:
    return data.costs.get(cost, np.full((data.references.size, data.request_prompts.size), np.nan))


def _more_than_half(number: Ints, n: Ints) -> Floats:
    """p-values of `not more than half of n are of this kind` (exact)."""
    return np.asarray(stats.binom.sf(number - 1, n, 0.5))


def _prompts_behind(there: Bools, data: LookData) -> Ints:
    return np.asarray((there @ _membership(data.request_prompts, data.prompts) > 0).sum(axis=1), dtype=np.int64)


def _membership(codes: Ints, prompts: int) -> Floats:
    return (codes[:, None] == np.arange(prompts)).astype(float)


def _by_prompt(values: Floats, codes: Ints, prompts: int) -> Floats:
    """(settings, prompts) means of what is there, NaN where nothing is."""
    member = _membership(codes, prompts)
    there = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((np.where(there, values, 0.0) @ member) / (there @ member))


def _moments(values: Floats) -> tuple[Ints, Floats, Floats]:
    """Number, mean and standard deviation over prompts of what is there."""
    there = np.isfinite(values)
    n = there.sum(axis=1)
    filled = np.where(there, values, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = filled.sum(axis=1) / n
        squares = np.where(there, np.square(values - mean[:, None]), 0.0).sum(axis=1)
        return n.astype(np.int64), mean, np.sqrt(squares / (n - 1))


def _medians(values: Floats) -> Floats:
    result = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    result[some] = np.nanmedian(values[some], axis=1)
    return result
