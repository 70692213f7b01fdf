"""Failures, flagged and degenerate pictures of two settings: how often on each side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kreabench.analysis.paired import Ints
from kreabench.analysis.rates import rate_difference
from kreabench.core.policies import RATES, Rate
from kreabench.decisions.columns import Bools, KeySpace, Pictures, Requests
from kreabench.decisions.comparison import RateComparison

_MISSING: dict[Rate, str] = {
    "failure_rate": "no request has a final state",
    "nsfw_rate": "no safety checker looked",
    "degenerate_rate": "no picture was delivered",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """One kind of mishap of one setting."""

    number: int
    n: int
    """Requests, or pictures, that it might have happened to."""
    prompts: int
    """Behind these."""


Counts = dict[Rate, Count]


def counted(pictures: Pictures, requests: Requests, space: KeySpace) -> Counts:
    """Every rate of a setting. A picture that no safety checker saw counts neither way."""
    looked = np.isfinite(pictures.nsfw)
    prompts = space.prompt_of(pictures.keys)
    return {
        "failure_rate": _count(~requests.ok, requests.prompts),
        "nsfw_rate": _count(pictures.nsfw[looked] > 0, prompts[looked]),
        "degenerate_rate": _count(pictures.degenerate, prompts),
    }


def _count(happened: Bools, prompts: Ints) -> Count:
    return Count(number=int(happened.sum()), n=int(happened.size), prompts=int(np.unique(prompts).size))


def compare_rates(base: Counts, candidate: Counts) -> tuple[RateComparison, ...]:
    """One for each of RATES, with the reason beside what cannot be compared."""
    return tuple(_compare(quantity, base[quantity], candidate[quantity]) for quantity in RATES)


def _compare(quantity: Rate, base: Count, candidate: Count) -> RateComparison:
    absent = [name for name, side in (("base", base), ("candidate", candidate)) if not side.n]
    return RateComparison(
        quantity=quantity,
        base_count=base.number,
        base_n=base.n,
        candidate_count=candidate.number,
        candidate_n=candidate.n,
        prompts=min(base.prompts, candidate.prompts),
        difference=rate_difference(base.number, base.n, candidate.number, candidate.n),
        obstacle=f"{' and '.join(absent)}: {_MISSING[quantity]}" if absent else "",
    )
