"""How much more often: two rates of rare mishaps, their difference with an interval, and tests of it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import scipy
from scipy import special

from kreabench.analysis.estimates import CONFIDENCE, Estimate


def rate_difference(
    base_count: float, base_n: float, candidate_count: float, candidate_n: float, *, confidence: float = CONFIDENCE
) -> Estimate | None:
    """Candidate's share less base's, with Newcombe's interval, right without any mishap; None without trials."""
    if not base_n or not candidate_n:
        return None
    (least, greatest), (base_least, base_greatest) = (
        _wilson(count, n, confidence) for count, n in ((candidate_count, candidate_n), (base_count, base_n))
    )
    share, base_share = candidate_count / candidate_n, base_count / base_n
    return Estimate(
        value=share - base_share,
        low=share - base_share - math.hypot(share - least, base_greatest - base_share),
        high=share - base_share + math.hypot(base_share - base_least, greatest - share),
        n=int(min(base_n, candidate_n)),
    )


def share_of(share: float, n: float, *, confidence: float = CONFIDENCE) -> Estimate:
    """A share of 1 that was seen in `n` trials, with Wilson's interval."""
    low, high = _wilson(share * n, n, confidence)
    return Estimate(value=share, low=low, high=high, n=int(n))


def _wilson(count: float, n: float, confidence: float) -> tuple[float, float]:
    """Ends of Wilson's score interval of a share (JASA 22, 1927)."""
    z, share = float(special.ndtri((1 + confidence) / 2)), count / n
    shrunk = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrunk
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / shrunk
    return max(centre - half, 0.0), min(centre + half, 1.0)


def p_more_often(
    base_count: int, base_n: int, candidate_count: int, candidate_n: int, *, sides: Literal["one", "two"] = "one"
) -> float:
    """p-value of `the candidate fails no more often` (of two sides: just as often): Fisher's exact test."""
    if sides == "one" and not candidate_count:
        return 1.0
    table = [[candidate_count, candidate_n - candidate_count], [base_count, base_n - base_count]]
    return float(scipy.stats.fisher_exact(table, alternative="greater" if sides == "one" else "two-sided").pvalue)


def z_inside(base_count: float, base_n: float, candidate_count: float, candidate_n: float, *, margin: float) -> float:
    """Standard errors by which the candidate's share stays below base's plus `margin`, in shares of 1, above 0.

    The score of Farrington and Manning (Statistics in Medicine 9, 1990): with the error that there would be at the
    margin, so it needs no mishap.
    """
    if margin <= 0:
        return -math.inf
    if margin >= 1:
        return math.inf
    from statsmodels.stats.proportion import test_proportions_2indep  # loads scipy.stats, which no report needs

    counts = [np.float64(number) for number in (candidate_count, candidate_n, base_count, base_n)]
    with np.errstate(divide="ignore", invalid="ignore"):  # it also divides the rates, of which the second may be 0
        for value in (margin, margin * (1 - 1e-6)):  # rounding defeats its arithmetic at single values
            test = test_proportions_2indep(
                *counts, value=value, method="score", alternative="smaller", correction=False
            )
            if not math.isnan(test.statistic):
                return -float(test.statistic)
    return -math.inf
