"""How much more often: the difference of two rates of rare mishaps, with an interval."""

from __future__ import annotations

from statsmodels.stats.proportion import confint_proportions_2indep

from kreabench.analysis.estimates import CONFIDENCE, Estimate


def rate_difference(
    base_count: int, base_n: int, candidate_count: int, candidate_n: int, *, confidence: float = CONFIDENCE
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
        n=min(base_n, candidate_n),
    )
