"""Scores of two settings put side by side, picture by picture, and brought down to one difference a prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PAIR_KEYS = ["prompt_id", "seed", "repeat", "image_index"]
"""Columns that are equal for two pictures of one request, once more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Pictures that a paired comparison of one metric does not rest on, and why."""

    base_only: int = 0
    """Scored on the base's side alone: the candidate lacks the picture, or a finite score of it."""
    candidate_only: int = 0
    neither: int = 0
    """In pairs without a score on either side."""
    infinite_gains: int = 0
    """The candidate's score is infinite, the base's finite: equal to its reference, PSNR knows no number for it."""
    infinite_losses: int = 0
    """The other way round. A mean without these would be too good."""

    @property
    def total(self) -> int:
        """Pictures in all."""
        return self.base_only + self.candidate_only + self.neither + self.infinite

    @property
    def infinite(self) -> int:
        """Pairs that differ infinitely."""
        return self.infinite_gains + self.infinite_losses

    @property
    def why_nothing(self) -> str:
        """Where nothing else is there to be compared: why."""
        if self.infinite:
            return f"all {self.infinite} pairs with scores differ infinitely: only one picture equals its reference"
        return "no pair has a score on both sides"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairedScores:
    """One metric of two settings over the pictures that both have; one entry a prompt, in the order of `prompts`.

    The prompt is the unit of inference: all that is inferred rests on `difference` (arXiv 2411.00640).
    """

    prompts: tuple[str, ...]
    base: Floats
    """(prompts,) mean of the base's scores over the prompt's pairs, in the metric's unit."""
    candidate: Floats
    """(prompts,) likewise of the candidate's."""
    pairs: Ints
    """(prompts,) pairs behind them. Two infinite scores are a pair with a difference of 0, of which the values are
    left out of `base` and `candidate`; these are NaN for a prompt without any other pair."""
    difference: Floats
    """(prompts,) mean of candidate − base over the prompt's pairs."""
    spread: Floats
    """(prompts,) standard deviation of the differences within the prompt, over its seeds; NaN for a single pair."""
    left_out: LeftOut
    blind: bool
    """Whether all finite scores of both sides are one and the same value: the metric saw nothing."""


def pair_scores(
    base: Floats, candidate: Floats, prompts: NDArray[np.object_], *, left_out: LeftOut | None = None
) -> PairedScores:
    """Bring paired scores, one entry a pair of pictures, down to prompts.

    `base` and `candidate` may hold NaN (no score) and infinities; `prompts` are ids. `left_out` counts what had no
    partner before.
    """
    both = ~(np.isnan(base) | np.isnan(candidate))
    equal = both & np.isinf(base) & (base == candidate)
    finite = np.isfinite(base) & np.isfinite(candidate)
    used = finite | equal
    before = left_out or LeftOut()
    counted = LeftOut(
        base_only=before.base_only + int((~np.isnan(base) & np.isnan(candidate)).sum()),
        candidate_only=before.candidate_only + int((np.isnan(base) & ~np.isnan(candidate)).sum()),
        neither=before.neither + int((np.isnan(base) & np.isnan(candidate)).sum()),
        infinite_gains=before.infinite_gains + int((both & ~used & (candidate > base)).sum()),
        infinite_losses=before.infinite_losses + int((both & ~used & (candidate < base)).sum()),
    )
    codes, names = pd.factorize(prompts[used], sort=True)
    number = len(names)
    pairs = np.bincount(codes, minlength=number)
    values = finite[used]
    difference = np.where(values, np.subtract(candidate[used], base[used], where=values, out=np.zeros(used.sum())), 0.0)
    mean = _means(codes, difference, number)
    squares = np.bincount(codes, weights=np.square(difference - mean[codes]), minlength=number)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.where(pairs > 1, np.sqrt(squares / (pairs - 1)), np.nan)
    scores = np.concatenate([base[finite], candidate[finite]])
    return PairedScores(
        prompts=tuple(map(str, names)),
        base=_means(codes[values], base[used][values], number),
        candidate=_means(codes[values], candidate[used][values], number),
        pairs=pairs.astype(np.int64),
        difference=mean,
        spread=spread,
        left_out=counted,
        blind=scores.size > 0 and bool((scores == scores[0]).all()),
    )


def _means(codes: NDArray[np.intp], values: Floats, number: int) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.bincount(codes, weights=values, minlength=number) / np.bincount(codes, minlength=number)
