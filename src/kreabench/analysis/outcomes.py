"""Not worse by more than a margin: shown, refuted, or not decided. No significant difference is never a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from kreabench.analysis.paired import Floats

Outcome = Literal["passed", "regressed", "inconclusive"]
Sides = Literal["one", "two"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the differences of one quantity say, before any correction for other quantities.

    Differences are oriented: positive is better. The tests are Student's over prompts.
    """

    mean: float
    low: float
    """Lower end of the interval of confidence 1 − 2 · level: the one whose bad end decides at `level`."""
    high: float
    sd: float
    """Over prompts."""
    n: int
    """Prompts."""
    p_loss: float
    """One-sided p-value of `no loss`: small where a loss is established. Of two sides two-sided: of `no change`."""
    p_inside: float
    """p-value of `at least a margin worse` (of two sides: or better): small where the change lies inside the margin."""


def weigh(difference: Floats, margin: float, *, sides: Sides, level: float) -> Evidence:
    """Test `difference`, (prompts,) with positive better, at least two of them and not all equal.

    One-sided non-inferiority (`scipy.stats.ttest_1samp`), and for two sides equivalence by two one-sided tests.
    """
    loss = stats.ttest_1samp(difference, 0.0, alternative="less" if sides == "one" else "two-sided")
    inside = float(stats.ttest_1samp(difference, -margin, alternative="greater").pvalue)
    if sides == "two":
        inside = max(inside, float(stats.ttest_1samp(difference, margin, alternative="less").pvalue))
    ends = stats.ttest_1samp(difference, 0.0).confidence_interval(1 - 2 * level)
    return Evidence(
        mean=float(difference.mean()),
        low=float(ends.low),
        high=float(ends.high),
        sd=float(np.std(difference, ddof=1)),
        n=int(difference.size),
        p_loss=float(loss.pvalue),
        p_inside=inside,
    )
