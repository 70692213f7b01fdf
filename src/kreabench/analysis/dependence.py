"""Intervals from values in the order of time that depend on one another, as latencies behind one queue do.

A long wait is followed by long waits, so n of them tell less than n independent ones: n divided by the integrated
autocorrelation time. Order statistics and shares are then reckoned with that many.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kreabench.analysis.estimates import Estimate, latency_quantile, median
from kreabench.analysis.paired import Floats
from kreabench.analysis.rates import share_of


def independent_n(values: Floats) -> int:
    """How many independent values tell as much about a percentile as these, which are in the order of time; at least 1.

    By their ranks, as the tails of latencies are long: n over 1 + 2 · the sum of autocorrelations, summed in pairs as
    long as those are positive and do not grow (Geyer, "Practical Markov Chain Monte Carlo", Statistical Science 7,
    1992). Never more than there are.
    """
    n = values.size
    if n < 3 or np.ptp(values) == 0:
        return max(n, 1)
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    ranks = ranks - ranks.mean()
    spectrum = np.fft.rfft(ranks, 1 << (2 * n - 1).bit_length())  # long enough that no end meets the other
    covariance = np.fft.irfft(spectrum * spectrum.conj())[: n - n % 2]
    pairs = (covariance[::2] + covariance[1::2]) / covariance[0]
    negative = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[: negative[0]] if negative.size else pairs)
    return max(1, math.floor(n / max(1.0, 2.0 * float(kept.sum()) - 1.0)))


def inflation(values: Floats) -> float:
    """How many times the variance of a percentile of `values`, in the order of time, is that of independent ones."""
    return values.size / independent_n(values) if values.size else 1.0


def dependent_median(values: Floats) -> Estimate | None:
    """As `estimates.median`, of values in the order of time."""
    return _widened(values, median)


def dependent_quantile(values: Floats, p: float) -> Estimate | None:
    """As `estimates.latency_quantile`, of values in the order of time; without an interval where they are worth too few
    independent ones for it."""
    return _widened(values, lambda some: latency_quantile(some, p))


def dependent_share(hits: Floats) -> Estimate | None:
    """Share of ones among zeros and ones in the order of time, with Wilson's interval of the independent ones."""
    if not hits.size:
        return None
    return replace(share_of(float(hits.mean()), independent_n(hits)), n=hits.size)


def _widened(values: Floats, estimate: Callable[[Floats], Estimate | None]) -> Estimate | None:
    """What `estimate` says of all `values`, with the interval that as few as are independent would have."""
    whole, n = estimate(values), independent_n(values)
    if whole is None or whole.interval is None or n >= values.size:
        return whole
    # As many values, spread as all of them are: each at the middle of its share of the ordered ones.
    ordered, at = np.sort(values), (np.arange(n) + 0.5) / n * values.size - 0.5
    few = estimate(np.interp(at, np.arange(values.size), ordered))
    if few is None or few.interval is None:
        return replace(whole, low=None, high=None)
    low, high = few.interval
    return replace(whole, low=min(low, whole.interval[0]), high=max(high, whole.interval[1]))
