"""How much more often: two rates of rare mishaps, their difference with an interval, and tests of it."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

from kreabench.analysis.estimates import CONFIDENCE, Estimate


def rate_difference(
    base_count: float, base_n: float, candidate_count: float, candidate_n: float, *, confidence: float = CONFIDENCE
) -> Estimate | None:
    """Candidate's share less base's, with Newcombe's interval, right without any mishap; None without trials."""
    if not base_n or not candidate_n:
        return None
    low, high = confint_proportions_2indep(
        candidate_count, candidate_n, base_count, base_n, method="newcomb", compare="diff", alpha=1 - confidence
    )
    return Estimate(
        value=candidate_count / candidate_n - base_count / base_n,
        low=float(low),
        high=float(high),
        n=int(min(base_n, candidate_n)),
    )


def p_more_often(
    base_count: int, base_n: int, candidate_count: int, candidate_n: int, *, sides: Literal["one", "two"] = "one"
) -> float:
    """p-value of `the candidate fails no more often` (of two sides: just as often): Fisher's exact test."""
    table = [[candidate_count, candidate_n - candidate_count], [base_count, base_n - base_count]]
    return float(stats.fisher_exact(table, alternative="greater" if sides == "one" else "two-sided").pvalue)


def z_inside(base_count: float, base_n: float, candidate_count: float, candidate_n: float, *, margin: float) -> float:
    """Standard errors by which the candidate's share stays below base's plus `margin`, in shares of 1, above 0.

    The score of Farrington and Manning (Statistics in Medicine 9, 1990): with the error that there would be at the
    margin, so it needs no mishap.
    """
    if margin <= 0:
        return -math.inf
    if margin >= 1:
        return math.inf
    counts = [np.float64(number) for number in (candidate_count, candidate_n, base_count, base_n)]
    with np.errstate(divide="ignore", invalid="ignore"):  # it also divides the rates, of which the second may be 0
        for value in (margin, margin * (1 - 1e-6)):  # rounding defeats its arithmetic at single values
            test = test_proportions_2indep(
                *counts, value=value, method="score", alternative="smaller", correction=False
            )
            if not math.isnan(test.statistic):
                return -float(test.statistic)
    return -math.inf
