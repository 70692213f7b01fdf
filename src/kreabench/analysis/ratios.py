"""How many times as much: the ratio of two medians, with an interval."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from kreabench.analysis.estimates import CONFIDENCE, MIN_MEDIAN_TIMINGS, Estimate
from kreabench.analysis.paired import Floats, Ints


def ratio_of_medians(
    base: Floats, candidate: Floats, base_prompts: Ints, candidate_prompts: Ints, *, confidence: float = CONFIDENCE
) -> Estimate | None:
    """Median of `candidate` over median of `base`, finite values; None without any on a side, and where one is not
    positive: nothing costs so many times as much as nothing.

    `base_prompts` and `candidate_prompts` are codes of the prompts behind the values, of one numbering for both sides.
    The logarithm of a median is, but for small terms, the mean of its values' influences: half the sign of their
    distance from it, over the density there. That density is Maritz and Jarrett's (`scipy.stats.mstats.mjci`).
    The influences are summed by prompt over both sides, and Student's interval is of these sums: so values of one
    prompt may resemble each other, and what a prompt does to both sides drops out. `n` counts prompts.

    Where all values of each side are equal (memory, a list price) the ratio is known, and its interval has no width.
    """
    if not base.size or not candidate.size or min(base.min(), candidate.min()) <= 0:
        return None
    value = float(np.median(candidate) / np.median(base))
    n = min(np.unique(base_prompts).size, np.unique(candidate_prompts).size)
    number = int(max(base_prompts.max(), candidate_prompts.max())) + 1
    sums = _influence(np.log(candidate), candidate_prompts, number) - _influence(np.log(base), base_prompts, number)
    if min(base.size, candidate.size) < MIN_MEDIAN_TIMINGS or n < 2:
        return Estimate(value=value, low=None, high=None, n=n)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(n / (n - 1) * float((sums**2).sum()))
    return Estimate(value=value, low=value * math.exp(-half), high=value * math.exp(half), n=n)


def _influence(values: Floats, prompts: Ints, number: int) -> Floats:
    """(number,) of each prompt's values on the median of all."""
    if values.size < 2 or not np.ptp(values):
        return np.zeros(number)
    error = float(stats.mstats.mjci(values, prob=[0.5])[0])
    signs = np.sign(values - np.median(values))
    sums = np.bincount(prompts, weights=signs, minlength=number) * (error / math.sqrt(values.size))
    return sums.astype(np.float64)
