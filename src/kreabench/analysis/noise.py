"""The noise floor of a metric: how much one prompt's scores differ from seed to seed where nothing else changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kreabench.analysis.paired import Floats, Ints

MIN_DEGREES = 10
"""Fewer degrees of freedom leave the noise floor unknown: at 10 its own standard error is 22 % of it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeedNoise:
    """What is known of the noise floor of one setting by one metric, prompt by prompt."""

    prompts: NDArray[Any]
    """(prompts,) ids or codes, sorted."""
    squares: Floats
    """(prompts,) sum of squares of the draws' scores around the prompt's mean, in the metric's unit squared."""
    draws: Ints
    """(prompts,) seeds with a score, each of one degree of freedom but the first."""

    @property
    def degrees(self) -> int:
        """Degrees of freedom: seeds less one, summed over the prompts."""
        return int(self.draws.sum()) - self.draws.size

    @property
    def sd(self) -> float | None:
        """Standard deviation from seed to seed, pooled over prompts; None without any prompt of two seeds."""
        return math.sqrt(float(self.squares.sum()) / self.degrees) if self.degrees > 0 else None

    @property
    def known_sd(self) -> float | None:
        """`sd` where it has enough degrees of freedom to be a margin's measure."""
        return self.sd if self.degrees >= MIN_DEGREES else None

    def by_prompt(self, prompts: ArrayLike) -> Floats:
        """(prompts,) what each of `prompts` makes of `sd`: their mean is `sd`, their standard error is its own.

        Pseudo-values of the infinitesimal jackknife (Efron, The Jackknife, the Bootstrap and Other Resampling Plans,
        1982, chapter 6). Of normal scores the standard error is that of the delta method, sd / √(2 · degrees); of
        scores with heavier tails it is greater, as it is in truth. A prompt that is not among those known says nothing.
        """
        sd = self.sd
        if not sd or sd <= 0:
            raise ValueError("without a noise floor above 0 no prompt says anything of it")
        excess = self.squares - sd**2 * (self.draws - 1)
        influence = excess * (self.draws.size / self.degrees) / (2 * sd)
        names = np.asarray(prompts, dtype=self.prompts.dtype)
        at = np.minimum(np.searchsorted(self.prompts, names), self.prompts.size - 1)
        parts = np.where(self.prompts[at] == names, influence[at], 0.0)
        return np.asarray(sd + parts - parts.mean()) if parts.size else parts


def seed_noise(scores: Floats, prompts: ArrayLike, seeds: ArrayLike) -> SeedNoise:
    """Of the `scores` of one setting, one a picture, with NaN and infinities for those without a finite one.

    `prompts` and `seeds` say which prompt and which seed a picture was drawn with. Pictures of one prompt and seed are
    no two draws: their mean is one.
    """
    known = np.isfinite(scores)
    names, codes = np.unique(np.asarray(prompts)[known], return_inverse=True)
    draw = np.unique(np.asarray(seeds)[known], return_inverse=True)[1]
    pairs, which = np.unique(np.stack([codes, draw]), axis=1, return_inverse=True)
    values, of = _means(which.ravel(), scores[known]), pairs[0]
    squares = np.bincount(of, weights=np.square(values - _means(of, values)[of]), minlength=names.size)
    return SeedNoise(
        prompts=names, squares=squares.astype(float), draws=np.bincount(of, minlength=names.size).astype(np.int64)
    )


def _means(codes: np.ndarray[tuple[int, ...], np.dtype[np.intp]], values: Floats) -> Floats:
    return np.bincount(codes, weights=values) / np.bincount(codes)
