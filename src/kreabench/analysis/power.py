"""How many prompts would decide: planned from the noise, before anything is drawn or after too little was.

By Student's test, with margins that are known. The test that shows that a loss lies inside the margin (`one_sided`) has
2 % less power at 25 prompts, and the nearer to it the more there are: ASSURANCE is worth more than that.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from kreabench.analysis.paired import PairedScores

POWER = 0.8
"""Share of repetitions in which the planned number decides."""
ASSURANCE = 0.8
"""How surely the planned number has that power, where the noise is only estimated."""
MOST_PROMPTS = 1_000_000
"""More are as good as never."""
MANY = 1_000
"""Prompts from which the normal distribution gives the same number, with Guenther's correction."""
_CERTAIN = 1e3
"""Standard deviations that two prompts show at any level in use."""

Sides = Literal["one", "two"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseComponents:
    """Where the differences of two settings scatter, in the metric's unit: estimated, or said by the user."""

    between_sd: float
    """Standard deviation of the prompts' true differences: what more seeds do not reduce."""
    within_sd: float
    """Standard deviation of the differences of one prompt, over seeds."""
    seeds: float = 1.0
    """Pairs a prompt that they were estimated from; of unequal numbers a mean that weighs few more."""
    between_df: int | None = None
    """Degrees of freedom of the mean square between prompts: prompts less 1. None where the noise is known."""
    within_df: int | None = None
    """Of the mean square within prompts: pairs less prompts; with 0 all noise counts as `between_sd`."""

    def prompt_sd(self, seeds: float, *, assurance: float | None = None) -> float:
        """Standard deviation over prompts of their mean difference over so many seeds.

        With `assurance` the upper end of its one-sided interval of that confidence: a plan with the estimate itself
        falls short half of the time (Browne, Statistics in Medicine 14, 1995). With as many seeds as it was estimated
        from, it is the exact one of a mean square; with others what they add or take away is a multiple of the mean
        square within prompts, whose own limit is joined by squares (Zou and Donner, Statistics in Medicine 27, 2008).
        More seeds so never have a higher end.
        """
        variance = self.between_sd**2 + self.within_sd**2 / seeds
        if assurance is None or not self.between_df or variance == 0:
            return math.sqrt(variance)
        measured = self.between_sd**2 + self.within_sd**2 / self.seeds
        above = measured * (_limit(1 - assurance, self.between_df) - 1)
        change = self.within_sd**2 * (1 / seeds - 1 / self.seeds)
        tail = 1 - assurance if change > 0 else assurance
        unsure = change * (_limit(tail, self.within_df) - 1) if self.within_df else 0.0
        return math.sqrt(variance + math.hypot(above, unsure))


def _limit(tail: float, df: int) -> float:
    """End of the interval of a mean square, as a multiple of it: the upper one for a small `tail`."""
    return df / (2 * float(special.gammaincinv(df / 2, tail)))


def noise_components(scores: PairedScores) -> NoiseComponents | None:
    """One-way random effects by the classical mean squares; None below two prompts.

    Between prompts: (mean square between − mean square within) / n₀, at least 0, where n₀ is the pairs a prompt, less
    what unequal numbers take (Searle, Casella and McCulloch, Variance Components, 1992, section 3.6).
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
    within_square = squares / within_df if within_df else 0.0
    typical = (total - float((n**2).sum()) / total) / (groups - 1)
    return NoiseComponents(
        between_sd=math.sqrt(max(between_square - within_square, 0.0) / typical),
        within_sd=math.sqrt(within_square),
        seeds=typical,
        between_df=groups - 1,
        within_df=within_df,
    )


def prompts_to_pass(
    noise: NoiseComponents,
    margin: float,
    *,
    level: float,
    seeds: float,
    checks: int = 1,
    sides: Sides = "one",
    power: float = POWER,
    assurance: float = ASSURANCE,
) -> int | None:
    """Prompts that show, where there is no loss at all, that it lies inside the margin; None where none would.

    A gate of several `checks` passes only where all do: with `noise` and `margin` the hardest of theirs, each may then
    miss so much less often.
    """
    sd = noise.prompt_sd(seeds, assurance=assurance)
    missing = (1 - power) / checks
    # Of two sides each test may miss half as often.
    return prompts_needed(_effect(margin, sd), level=level, power=1 - (missing if sides == "one" else missing / 2))


def prompts_to_catch(
    noise: NoiseComponents,
    loss: float,
    *,
    level: float,
    seeds: float,
    checks: int = 1,
    sides: Sides = "one",
    power: float = POWER,
    assurance: float = ASSURANCE,
) -> int | None:
    """Prompts that establish a loss in one of so many checks, by Holm's first and strictest step; None as above.

    For a loss beyond the margin. `regressed` also needs that the loss is not shown to lie inside it, which holds then.
    """
    sd = noise.prompt_sd(seeds, assurance=assurance)
    return prompts_needed(_effect(loss, sd), level=level / checks, power=power, sides=sides)


def prompts_needed(effect: float, *, level: float, power: float = POWER, sides: Sides = "one") -> int | None:
    """Prompts that show a mean of `effect` standard deviations by Student's test; None beyond MOST_PROMPTS.

    By the noncentral t distribution, above MANY prompts by the normal one with
    Guenther's correction (American Statistician 35, 1981), as the former's arithmetic fails there. So it does for two
    sides: those are one side at half the level here, which leaves out that the test may err on the wrong side.
    Searched here: `solve_power` stops early, unsaid, where the effect is small and the level strict. At least 2.
    """
    if not effect > 0:
        return None
    if effect > _CERTAIN:
        return 2
    tail = level if sides == "one" else level / 2
    normal = (max(float(special.ndtri(power) - special.ndtri(tail)), 0.0) / effect) ** 2
    if normal > MANY:
        guenther = normal + float(special.ndtri(tail)) ** 2 / 2
        return math.ceil(guenther) if guenther <= MOST_PROMPTS else None

    def power_of(n: int) -> float:
        return 1 - float(special.nctdtr(n - 1, effect * math.sqrt(n), special.stdtrit(n - 1, 1 - tail)))

    low = max(math.floor(normal), 2)
    enough = low + 4
    while power_of(enough) < power:
        low, enough = enough, enough + 2 * (enough - low)
    return bisect.bisect_left(range(enough), power, lo=low, key=power_of)


def _effect(difference: float, sd: float) -> float:
    return difference / sd if sd else math.inf
