"""Kendall's test of a trend and the slope of Theil and Sen, as `scipy.stats` has them, which takes long to load."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EXACT_UP_TO = 33
"""Values without ties of which the exact distribution is taken, as scipy does."""


def kendall_p(x: Floats, y: Floats) -> float:
    """Two-sided p-value of no association between `x` and `y`, of equal size, neither of them constant.

    By Kendall's tau-b (`scipy.stats.kendalltau`): exact for few values without ties, else by its normal approximation
    with a variance that knows of ties (Kendall, Rank Correlation Methods, 1970).
    """
    n = x.size
    x_ranks, y_ranks = (np.unique(values, return_inverse=True)[1] for values in (x, y))
    pairs, tied_x, tied_y = n * (n - 1) // 2, _Ties(x_ranks), _Ties(y_ranks)
    both = _Ties(np.unique(x_ranks * n + y_ranks, return_inverse=True)[1])
    discordant = _inversions(y_ranks[np.lexsort((y_ranks, x_ranks))])
    rarer = min(discordant, pairs - discordant)
    if not tied_x.pairs and not tied_y.pairs and (n <= _EXACT_UP_TO or rarer <= 1):
        return _exact(n, rarer, pairs)
    more = pairs - tied_x.pairs - tied_y.pairs + both.pairs - 2 * discordant
    m = float(n * (n - 1))
    variance = (m * (2 * n + 5) - tied_x.squares - tied_y.squares) / 18
    variance += 2 * tied_x.pairs * tied_y.pairs / m + tied_x.triples * tied_y.triples / (9 * m * (n - 2))
    return math.erfc(abs(more) / math.sqrt(2 * variance))


def theil_slope(x: Floats, y: Floats) -> float:
    """Median of the slopes of all pairs that differ in `x` (Sen, JASA 63, 1968); `x` is not constant."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    slopes = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(x.size - 1):
            run = x[i + 1 :] - x[i]
            slopes.append(((y[i + 1 :] - y[i]) / run)[run > 0])
    return float(np.median(np.concatenate(slopes), overwrite_input=True))


def benjamini_yekutieli(p: Floats) -> Floats:
    """`p` corrected for their number, whatever depends on what (`scipy.stats.false_discovery_control`)."""
    order, n = np.argsort(p), p.size
    ranks = np.arange(1, n + 1)
    stepped = np.minimum.accumulate((p[order] * n / ranks * np.sum(1 / ranks))[::-1])[::-1]
    corrected = np.empty(n)
    corrected[order] = np.clip(stepped, 0, 1)
    return corrected


class _Ties:
    """Sums over groups of t equal ranks."""

    def __init__(self, ranks: NDArray[Any]) -> None:
        t = np.bincount(ranks)
        self.pairs = int((t * (t - 1) // 2).sum())
        self.triples = float((t * (t - 1.0) * (t - 2)).sum())
        self.squares = float((t * (t - 1.0) * (2 * t + 5)).sum())


def _inversions(ranks: NDArray[Any]) -> int:
    """Pairs in which the larger comes first. Bit by bit: a pair is told apart by the highest bit that differs."""
    found = 0
    for bit in reversed(range(int(ranks.max()).bit_length())):
        above, one = ranks >> (bit + 1), (ranks >> bit) & 1
        before = np.cumsum(one) - one
        found += int((before - before[np.searchsorted(above, above)])[one == 0].sum())
        ranks = ranks[np.argsort(ranks >> bit, kind="stable")]
    return found


def _exact(n: int, rarer: int, pairs: int) -> float:
    """Twice the share of orders of `n` with at most `rarer` discordant pairs."""
    if 2 * rarer == pairs:
        return 1.0
    counts = [1] + [0] * rarer
    for size in range(2, n + 1):
        sums = [sum(counts[max(0, k - size + 1) : k + 1]) for k in range(rarer + 1)]
        counts = sums
    return min(1.0, 2 * sum(counts) / math.factorial(n))
