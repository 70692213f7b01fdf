"""Point estimates with intervals that hold: exact where they can be, absent where the sample is too small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

CONFIDENCE = 0.95
"""Of every interval here."""

MIN_MEDIAN_TIMINGS = 6
"""Least n for which two order statistics enclose the median with 95 %: 2 · 0.5⁶ = 0.031, 2 · 0.5⁵ = 0.063."""


Bounds = tuple[float | None, float | None]
"""Least and greatest possible value; None where there is none."""
UNBOUNDED: Bounds = (None, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number and how sure it is, in the unit of what was estimated."""

    value: float
    low: float | None
    """Lower end of the interval; None, as is `high`, when n is too small for one."""
    high: float | None
    n: int
    """Independent observations behind it: timings, or prompts."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def median(values: ArrayLike) -> Estimate | None:
    """Median with its exact 95 % interval from order statistics; None without a value.

    Distribution-free: the ends are observations, chosen by the binomial distribution, so the interval covers the
    true median in at least 95 % of repetitions for any continuous distribution (`scipy.stats.quantile_test`).
    """
    x = _finite(values)
    if x.size == 0:
        return None
    low = high = None
    if x.size >= MIN_MEDIAN_TIMINGS:
        ordered = np.sort(x)
        lowest, highest = _ranks(x.size, 0.5, "two-sided", CONFIDENCE)
        low, high = float(ordered[lowest]), float(ordered[highest])
    return Estimate(value=float(np.median(x)), low=low, high=high, n=int(x.size))


def least_n(p: float) -> int:
    """Fewest values for an exact 95 % upper bound of percentile `p`: 29 for p90, 59 for p95, 299 for p99.

    The largest of n values lies above the percentile with probability 1 − pⁿ. `p` is above one half.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(p))


def latency_quantile(values: ArrayLike, p: float) -> Estimate | None:
    """Percentile `p` (0.5 < p < 1); None below `least_n(p)` values, where its upper bound is beyond any seen value.

    The interval is exact, of order statistics: it misses in at most 5 % of repetitions, half on either side. Where n
    is too small for an upper end with 2.5 %, that end is the largest value, and the lower end gets the rest.
    """
    if not 0.5 < p < 1:
        raise ValueError(f"p must lie between 0.5 and 1, found {p}")
    x = _finite(values)
    if x.size < least_n(p):
        return None
    # A billionth of slack, lest rounding asks for more than the largest value.
    above = max((1 - CONFIDENCE) / 2, p**x.size * (1 + 1e-9))
    ordered = np.sort(x)
    low = ordered[_ranks(x.size, p, "greater", CONFIDENCE + above)[0]]
    high = ordered[_ranks(x.size, p, "less", 1 - above)[1]]
    return Estimate(value=float(np.quantile(x, p)), low=float(low), high=float(high), n=int(x.size))


@cache
def _ranks(n: int, p: float, alternative: Literal["two-sided", "greater", "less"], level: float) -> tuple[int, int]:
    """Which of `n` ordered values are the ends of an interval for percentile `p`; -1 or 0 for an open end.

    By the binomial distribution of the number of values below it, as `scipy.stats.quantile_test` has them.
    """
    outside = (1 - level) / 2 if alternative == "two-sided" else 1 - level
    numbers = np.arange(n + 1)
    low = 0 if alternative == "less" else int(np.searchsorted(special.bdtr(numbers, n, p), outside)) - 1
    if alternative == "greater":
        return max(low, 0), -1
    high = int(np.argmax(special.bdtrc(numbers, n, p) <= outside))
    return max(low, 0), high if high < n else -1


def prompt_mean(values: ArrayLike, prompts: Sequence[str], *, bounds: Bounds = UNBOUNDED) -> Estimate | None:
    """Mean over prompts of each prompt's mean, with Student's 95 % interval over prompts; None without a value.

    The prompt is the unit of inference, as pictures of one prompt resemble each other (arXiv 2411.00640): n counts
    prompts, every prompt weighs the same, and below two prompts there is no interval. The interval ends where `bounds`,
    the range of possible values, ends: that costs no coverage.
    """
    x = np.asarray(values, dtype=float)
    if x.size != len(prompts):
        raise ValueError(f"expected one prompt a value, found {x.size} values and {len(prompts)} prompts")
    if x.size == 0:
        return None
    _, which = np.unique(np.asarray(prompts, dtype=object).astype(str), return_inverse=True)
    return mean_of_coded(x, which, bounds=bounds)


def mean_of_coded(values: NDArray[np.float64], prompts: NDArray[np.intp], *, bounds: Bounds = UNBOUNDED) -> Estimate:
    """As `prompt_mean`, of at least one value, with codes from 0 for prompts: to tell texts apart takes longer."""
    counts, sums = np.bincount(prompts), np.bincount(prompts, weights=values)
    there = counts > 0
    return mean_of_prompts(sums[there] / counts[there], bounds=bounds)


def mean_of_prompts(values: NDArray[np.float64], *, bounds: Bounds = UNBOUNDED) -> Estimate:
    """As `prompt_mean`, of one value a prompt, at least one."""
    n, mean = values.size, float(values.mean())
    if n < 2:
        return Estimate(value=mean, low=None, high=None, n=n)
    half = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std(ddof=1) / math.sqrt(n))
    least, greatest = bounds
    return Estimate(
        value=mean,
        low=mean - half if least is None else max(mean - half, least),
        high=mean + half if greatest is None else min(mean + half, greatest),
        n=n,
    )


def difference_bounds(bounds: Bounds) -> Bounds:
    """The range of a difference of two values within `bounds`."""
    least, greatest = bounds
    return UNBOUNDED if least is None or greatest is None else (least - greatest, greatest - least)


def p_in_words(p: float) -> str:
    """`p = 0.0067`, and `p < 0.0001` where its digits say no more."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x: NDArray[np.float64] = np.asarray(values, dtype=float)
    return np.extract(np.isfinite(x), x)
