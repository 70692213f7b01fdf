"""The noise floor of a metric: how much one prompt's scores differ from seed to seed where nothing else changes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from kreabench.analysis.paired import Floats

MIN_DEGREES = 10
"""Fewer degrees of freedom leave the noise floor unknown: at 10 its own standard error is 22 % of it."""


def seed_sd(scores: Floats, prompts: ArrayLike, seeds: ArrayLike) -> tuple[float | None, int]:
    """Standard deviation from seed to seed within a prompt, pooled over prompts, and its degrees of freedom.

    `scores` of one setting, one a picture, with NaN and infinities for those without a finite one; `prompts` and
    `seeds` say which prompt and which seed a picture was drawn with. Pictures of one prompt and seed are no two draws:
    their mean is one. None without any prompt of two seeds.
    """
    known = np.isfinite(scores)
    codes = [np.unique(np.asarray(names)[known], return_inverse=True)[1] for names in (prompts, seeds)]
    draws, which = np.unique(np.stack(codes), axis=1, return_inverse=True)
    values, of = _means(which.ravel(), scores[known]), draws[0]
    degrees = int(of.size - np.unique(of).size)
    if degrees < 1:
        return None, 0
    return math.sqrt(float(np.square(values - _means(of, values)[of]).sum()) / degrees), degrees


def _means(codes: np.ndarray[tuple[int, ...], np.dtype[np.intp]], values: Floats) -> Floats:
    return np.bincount(codes, weights=values) / np.bincount(codes)
