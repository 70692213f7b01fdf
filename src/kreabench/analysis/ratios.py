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
    """Median of `candidate` over median of `base`, both positive and finite; None without a value on a side.

    `base_prompts` and `candidate_prompts` are codes of the prompts behind the values. The interval is of Maritz and
    Jarrett's standard error of a median (`scipy.stats.mstats.mjci`), on the logarithm.
    """
    if not base.size or not candidate.size:
        return None
    value = float(np.median(candidate) / np.median(base))
    n = min(np.unique(base_prompts).size, np.unique(candidate_prompts).size)
    if min(base.size, candidate.size) < MIN_MEDIAN_TIMINGS:
        return Estimate(value=value, low=None, high=None, n=n)
    errors = [float(stats.mstats.mjci(np.log(x), prob=[0.5])[0]) for x in (base, candidate)]
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.hypot(*errors)
    return Estimate(value=value, low=value * math.exp(-half), high=value * math.exp(half), n=n)
