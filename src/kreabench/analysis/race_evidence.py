"""The tests of a race: losses, costs against bounds, one setting against another; for all settings at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from kreabench.analysis.noise import seed_noise
from kreabench.analysis.paired import Floats, Ints
from kreabench.core.policies import Cost, MarginSpec

Bools = NDArray[np.bool_]

MIN_SHARE = 0.9
"""Of a look's prompts must have pairs behind a test; what is left of fewer is no fair choice of them."""

MIN_COST_SHARE = 0.5
"""The same of costs, where the rest was delivered: that a call has no valid time, as the first of a load or connection
or as a retry, is chance of order, not of its prompt."""

_ROUNDING = 1e-12
"""Spread, relative to the mean, that is no more than rounding."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LookData:
    """What a look sees of the settings that are still in the race. NaN is what is not there."""

    references: Ints
    """(settings,) index of each one's reference, its own for a reference, −1 where there is none."""
    prompts: int
    """That this look is about; their codes are 0 to prompts − 1."""
    picture_prompts: Ints
    """(pictures,) code of the prompt. A picture is a prompt, seed, repeat and index."""
    picture_draws: Ints
    """(pictures,) which seed and index it was drawn with: repeats of one are no new draw."""
    scores: Mapping[str, Floats]
    """Metric → (settings, pictures), turned so that more is better."""
    request_prompts: Ints
    """(requests,) code of the prompt. A request is a prompt, seed and repeat."""
    costs: Mapping[Cost, Floats]
    """(settings, requests)"""
    bounds: Mapping[Cost, Floats]
    """(settings,) most that the median may be; only costs that are bounded."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tests:
    """One constraint of all settings; every field is (settings,)."""

    name: str
    p_beyond: Floats
    """p-values of `within what is allowed`: small where it is shown to be beyond."""
    p_within: Floats
    """p-values of `beyond what is allowed`."""
    value: Floats
    allowed: Floats
    prompts: Ints


def loss_tests(data: LookData, metric: str, margin: MarginSpec) -> Tests:
    """How much worse than its reference each setting is, prompt by prompt, and whether that is more than allowed."""
    scores = data.scores[metric]
    known = data.references >= 0
    base = np.where(known[:, None], scores[data.references], np.nan)
    difference = _by_prompt(scores - base, data.picture_prompts, data.prompts)
    paired_base = _by_prompt(np.where(np.isnan(scores), np.nan, base), data.picture_prompts, data.prompts)
    allowed = _allowed(data, metric, margin, paired_base)
    room = difference + allowed
    seen = _moments(paired_base)[2] > 0  # else all scores are one: the metric saw nothing
    p = [np.where(seen, _shown(room, side, data), 1.0) for side in ("less", "greater")]
    itself = data.references == np.arange(data.references.size)
    return Tests(
        name=metric,
        p_beyond=np.where(itself, 1.0, p[0]),
        p_within=np.where(itself, 0.0, p[1]),
        value=-_moments(difference)[1],
        allowed=_moments(np.where(np.isnan(difference), np.nan, allowed))[1],
        prompts=_moments(difference)[0],
    )


def _allowed(data: LookData, metric: str, margin: MarginSpec, base: Floats) -> Floats:
    """(settings, prompts): what each prompt makes of the loss that is allowed; NaN where it is not known.

    As `analysis.margins` says it; here a noise floor is taken as it is at each look, however few prompts it is of.
    """
    if margin.kind == "absolute":
        return np.full(base.shape, margin.value)
    if margin.kind == "relative":
        return margin.value * base * np.sign(_moments(base)[1])[:, None]
    allowed = np.full(base.shape, np.nan)
    for reference in np.unique(data.references[data.references >= 0]).tolist():
        noise = seed_noise(data.scores[metric][reference], data.picture_prompts, data.picture_draws)
        if noise.sd:
            allowed[data.references == reference] = margin.value * noise.by_prompt(np.arange(data.prompts))
    return allowed


def _shown(room: Floats, side: Literal["less", "greater"], data: LookData) -> Floats:
    """p-values of `the mean of room is not {side} than 0` by Student's t, 1 where too few prompts are there.

    The error that skewness leaves in it is far smaller than what Bonferroni's bound over looks leaves unused; what is
    claimed in the end is tested by `one_sided`.
    Where all prompts say exactly the same, as with equal pictures, there is no spread to reckon with: then a sign test.
    """
    n, mean, sd = _moments(room)
    sign = 1.0 if side == "greater" else -1.0
    p = np.ones(mean.size)
    fair = (n >= 2) & (n >= MIN_SHARE * data.prompts)
    flat = fair & (sd <= _ROUNDING * np.abs(mean))
    p[flat] = np.where(sign * mean[flat] > 0, 0.5 ** n[flat], 1.0)
    use = fair & ~flat
    p[use] = special.stdtr(n[use] - 1, -sign * mean[use] / sd[use] * np.sqrt(n[use]))
    return p


def bound_tests(data: LookData, cost: Cost) -> Tests:
    """Whether the median of a cost lies beyond its bound: a sign test."""
    values = _cost(data, cost)
    there = np.isfinite(values)
    n, prompts = there.sum(axis=1), _prompts_behind(there, data)
    fair = _fair(prompts, data)
    bound = data.bounds[cost]
    beyond = (values > bound[:, None]).sum(axis=1)
    within = (values <= bound[:, None]).sum(axis=1)
    p_within = np.where(fair, _more_than_half(within, n), 1.0)
    if cost == "peak_memory":  # the highest request must fit: one that did not says that the setting does not qualify
        p_within = np.where(beyond > 0, 1.0, p_within)
    return Tests(
        name=cost,
        p_beyond=np.where(fair, _more_than_half(beyond, n), 1.0),
        p_within=p_within,
        value=_medians(values),
        allowed=bound,
        prompts=prompts,
    )


def lower_cost(data: LookData, cost: Cost, index: int) -> tuple[Floats, Ints, Floats, Floats]:
    """Of each setting: p of `it does not take less than index`, prompts behind, and both medians over the pairs.

    A sign test over pairs of requests, and only where the medians say the same.
    """
    values = _cost(data, cost)
    there = np.isfinite(values) & np.isfinite(values[index])
    wins = ((values < values[index]) & there).sum(axis=1)
    prompts = _prompts_behind(there, data)
    theirs = _medians(np.where(there, values, np.nan))
    own = _medians(np.where(there, values[index], np.nan))
    fair = _fair(prompts, data)
    use = fair & fair[index] & (theirs < own)
    return np.where(use, _more_than_half(wins, there.sum(axis=1)), 1.0), prompts, own, theirs


def better_quality(data: LookData, metric: str, index: int) -> tuple[Floats, Ints, Floats, Floats]:
    """Of each setting: p of `it is not better than index`, prompts behind, the mean difference, and 0."""
    scores = data.scores[metric]
    difference = _by_prompt(scores - scores[index], data.picture_prompts, data.prompts)
    n, mean, _ = _moments(difference)
    return _shown(difference, "greater", data), n, mean, np.zeros(mean.size)


def _cost(data: LookData, cost: Cost) -> Floats:
    return data.costs.get(cost, np.full((data.references.size, data.request_prompts.size), np.nan))


def _fair(prompts: Ints, data: LookData) -> Bools:
    """Whether these `prompts` behind a cost are enough; what has any cost was delivered."""
    delivered = _prompts_behind(np.any([np.isfinite(values) for values in data.costs.values()], axis=0), data)
    return np.asarray((prompts >= MIN_COST_SHARE * data.prompts) & (delivered >= MIN_SHARE * data.prompts))


def _more_than_half(number: Ints, n: Ints) -> Floats:
    """p-values of `not more than half of n are of this kind` (exact)."""
    return np.asarray(scipy.stats.binom.sf(number - 1, n, 0.5))


def _prompts_behind(there: Bools, data: LookData) -> Ints:
    return np.asarray(
        (there.astype(float) @ _membership(data.request_prompts, data.prompts) > 0).sum(axis=1), dtype=np.int64
    )


def _membership(codes: Ints, prompts: int) -> Floats:
    return np.asarray(codes[:, None] == np.arange(prompts), dtype=float)


def _by_prompt(values: Floats, codes: Ints, prompts: int) -> Floats:
    """(settings, prompts) means of what is there, NaN where nothing is."""
    member = _membership(codes, prompts)
    there = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((np.where(there, values, 0.0) @ member) / (there.astype(float) @ member))


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
    """(settings,) of what is there."""
    there = np.isfinite(values)
    if there.all():  # as mostly, and many times as fast
        return np.asarray(np.median(values, axis=1))
    result = np.full(len(values), np.nan)
    some = there.any(axis=1)
    result[some] = np.nanmedian(np.where(there, values, np.nan)[some], axis=1)
    return result
