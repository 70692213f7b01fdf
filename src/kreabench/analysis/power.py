"""How many prompts would decide: planned from the noise, before anything is drawn or after too little was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from statsmodels.stats.power import TTestPower

from kreabench.analysis.paired import PairedScores

POWER = 0.8
"""Share of repetitions in which the planned number decides."""
MOST_PROMPTS = 1_000_000
"""More are as good as never."""

Alternative = Literal["larger", "two-sided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseComponents:
    """Where the differences of two settings scatter, in the metric's unit."""

    between_sd: float
    """Standard deviation of the prompts' true differences: what more seeds do not reduce."""
    within_sd: float
    """Standard deviation of the differences of one prompt, over seeds."""
    between_df: int
    """Degrees of freedom of the mean square between prompts: prompts less 1."""
    within_df: int
    """Of the mean square within prompts: pairs less prompts; with 0 all noise counts as `between_sd`."""

    def prompt_sd(self, seeds: float) -> float:
        """Standard deviation over prompts of their mean difference over so many seeds."""
        return math.hypot(self.between_sd, self.within_sd / math.sqrt(seeds))


def noise_components(scores: PairedScores) -> NoiseComponents | None:
    """One-way random effects by the classical mean squares; None below two prompts.

    Between prompts: (mean square between − mean square within) / n₀, at least 0, with n₀ the pairs a prompt, less what
    unequal numbers take (Searle, Casella, McCulloch: Variance Components, 1992, section 3.6).
    """
    groups, n = len(scores.prompts), scores.pairs
    if groups < 2:
        return None
    total = int(n.sum())
    within_df = total - groups
    mean = float(np.average(scores.difference, weights=n))
    between_square = float((n * (scores.difference - mean) ** 2).sum()) / (groups - 1)
    several = n > 1
    squares = float(((n - 1)[several] * scores.spread[several] ** 2).sum())
    within = squares / within_df if within_df else 0.0
    typical = (total - float((n**2).sum()) / total) / (groups - 1)
    return NoiseComponents(
        between_sd=math.sqrt(max(between_square - within, 0.0) / typical),
        within_sd=math.sqrt(within),
        between_df=groups - 1,
        within_df=within_df,
    )


def prompts_needed(
    effect: float, *, level: float, power: float = POWER, alternative: Alternative = "larger"
) -> int | None:
    """Prompts that show a mean of `effect` standard deviations by Student's test; None beyond MOST_PROMPTS.

    By the noncentral t distribution (`statsmodels.stats.power.TTestPower`); at least 2.
    """
    if not effect > 0:
        return None
    solver = TTestPower()
    n = 2
    while n <= MOST_PROMPTS and solver.power(effect, n, level, alternative=alternative) < power:
        n *= 2
    if n > MOST_PROMPTS:
        return None
    if n == 2 or not math.isfinite(effect):
        return 2
    found = solver.solve_power(effect_size=effect, alpha=level, power=power, alternative=alternative)
    return max(2, math.ceil(float(np.squeeze(found)) - 1e-6))
