"""How many times as much: the ratio of two medians, with an interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from kreabench.analysis.estimates import CONFIDENCE, MIN_MEDIAN_TIMINGS, Estimate
from kreabench.analysis.paired import Floats, Ints

RESAMPLES = 400
"""They give the standard error to 4 %."""
WHOLE_DRAWS = 0.99
"""Least share of them that must have a value on both sides."""


def ratio_of_medians(
    base: Floats,
    candidate: Floats,
    base_prompts: Ints,
    candidate_prompts: Ints,
    *,
    confidence: float = CONFIDENCE,
    inflation: float = 1.0,
) -> Estimate | None:
    """Median of `candidate` over median of `base`, finite values; None without any on a side, and where one is not
    positive: nothing costs so many times as much as nothing.

    `base_prompts` and `candidate_prompts` are codes of the prompts behind the values, of one numbering for both sides.
    Prompts are drawn again with all their values of both sides (a bootstrap): so values of one prompt may
    resemble each other, and what a prompt, or the hour, does to both sides alike drops out. The interval is Student's
    with the standard error that these draws give the logarithm of the ratio. `n` counts prompts. The draws are the
    same at each call. `inflation` is how many times the variance is that of independent values, on the side where it is
    more (`dependence.inflation`): the standard error grows with its root.

    Where all values of each side are equal (memory, a list price) the ratio is known, and its interval has no width.
    """
    if not base.size or not candidate.size or min(base.min(), candidate.min()) <= 0:
        return None
    value = float(np.median(candidate) / np.median(base))
    prompts, codes = np.unique(np.concatenate([base_prompts, candidate_prompts]), return_inverse=True)
    n = min(np.unique(base_prompts).size, np.unique(candidate_prompts).size)
    if min(base.size, candidate.size) < MIN_MEDIAN_TIMINGS or n < 2:
        return Estimate(value=value, low=None, high=None, n=n)
    if not np.ptp(base) and not np.ptp(candidate):
        return Estimate(value=value, low=value, high=value, n=n)
    sides = _Side(np.log(base), codes[: base.size]), _Side(np.log(candidate), codes[base.size :])
    drawn = np.random.default_rng(0).integers(0, prompts.size, (RESAMPLES, prompts.size))
    times = _times(drawn, prompts.size)
    draws = sides[1].medians(times) - sides[0].medians(times)
    there = np.extract(np.isfinite(draws), draws)
    if there.size < WHOLE_DRAWS * draws.size:  # the sides share so few prompts that a draw often lacks one of them
        return Estimate(value=value, low=None, high=None, n=n)
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2) * there.std(ddof=1)) * math.sqrt(inflation)
    return Estimate(value=value, low=value * math.exp(-half), high=value * math.exp(half), n=n)


def _times(drawn: Ints, prompts: int) -> NDArray[np.int32]:
    """(prompts, resamples) how often each prompt was drawn, from (resamples, prompts)."""
    number = len(drawn)
    cells = drawn * number + np.arange(number)[:, None]
    return np.bincount(cells.ravel(), minlength=prompts * number).reshape(prompts, number).astype(np.int32)


class _Side:
    """Values of one side in order, of which medians of resamples are read."""

    def __init__(self, values: Floats, prompts: Ints) -> None:
        order = np.argsort(values)
        self._values, self._prompts = values[order], prompts[order]

    def medians(self, times: NDArray[np.int32]) -> Floats:
        """One a resample; NaN where none of its prompts has a value here."""
        ranks = np.cumsum(np.take(times, self._prompts, axis=0), axis=0, dtype=np.int32)
        total = ranks[-1]
        below = np.count_nonzero(ranks <= (total - 1) // 2, axis=0)
        up_to = np.count_nonzero(ranks <= total // 2, axis=0)
        found: Floats = np.where(total > 0, self._middle(below, up_to), np.nan)
        return found

    def _middle(self, below: NDArray[np.intp], up_to: NDArray[np.intp]) -> Floats:
        last = self._values.size - 1
        middle: Floats = (self._values[np.minimum(below, last)] + self._values[np.minimum(up_to, last)]) / 2
        return middle
