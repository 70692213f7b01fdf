"""Failures, flagged and degenerate pictures of two settings: how often on each side."""

from __future__ import annotations

import numpy as np

from kreabench.analysis.rates import rate_difference
from kreabench.core.policies import RATES, Rate
from kreabench.decisions.columns import Pictures, Requests
from kreabench.decisions.comparison import RateComparison

_MISSING: dict[Rate, str] = {
    "failure_rate": "no request has a final state",
    "nsfw_rate": "no safety checker looked",
    "degenerate_rate": "no picture was delivered",
}

Counts = dict[Rate, tuple[int, int]]
"""Rate → how many, of how many."""


def counted(pictures: Pictures, requests: Requests) -> Counts:
    """Every rate of a setting. A picture that no safety checker saw counts neither way."""
    looked = np.isfinite(pictures.nsfw)
    return {
        "failure_rate": (int((~requests.ok).sum()), int(requests.ok.size)),
        "nsfw_rate": (int((pictures.nsfw[looked] > 0).sum()), int(looked.sum())),
        "degenerate_rate": (int(pictures.degenerate.sum()), int(pictures.degenerate.size)),
    }


def compare_rates(base: Counts, candidate: Counts) -> tuple[RateComparison, ...]:
    """One for each of RATES, with the reason beside what cannot be compared."""
    return tuple(_compare(quantity, base[quantity], candidate[quantity]) for quantity in RATES)


def _compare(quantity: Rate, base: tuple[int, int], candidate: tuple[int, int]) -> RateComparison:
    absent = [name for name, (_, n) in (("base", base), ("candidate", candidate)) if not n]
    return RateComparison(
        quantity=quantity,
        base_count=base[0],
        base_n=base[1],
        candidate_count=candidate[0],
        candidate_n=candidate[1],
        difference=rate_difference(*base, *candidate),
        obstacle=f"{' and '.join(absent)}: {_MISSING[quantity]}" if absent else "",
    )
