"""The noise floor of a metric: how much one prompt's scores differ from seed to seed where nothing else changes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
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
    draws = pd.DataFrame({"score": scores, "prompt": np.asarray(prompts), "seed": np.asarray(seeds)})
    draws = draws[np.isfinite(scores)].groupby(["prompt", "seed"], as_index=False)["score"].mean()
    within = draws["score"] - draws.groupby("prompt")["score"].transform("mean")
    degrees = len(draws) - draws["prompt"].nunique()
    if degrees < 1:
        return None, 0
    return math.sqrt(float(np.square(within).sum()) / degrees), degrees
