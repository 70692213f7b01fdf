"""Not worse by more than a margin: shown, refuted, or not decided. No significant difference is never a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate, p_in_words
from kreabench.analysis.families import holm
from kreabench.analysis.one_sided import lower_end, p_above, skewness
from kreabench.analysis.paired import Floats
from kreabench.analysis.power import POWER, prompts_needed
from kreabench.analysis.student import t_test

Outcome = Literal["passed", "regressed", "inconclusive"]
Sides = Literal["one", "two"]

_ROUNDING = 1e-9
"""Share of a spread that is of arithmetic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the differences of one quantity say, before any correction for other quantities.

    Differences are oriented: positive is better. The unit is the prompt.
    """

    mean: float
    low: float
    """Lower end of the interval of confidence 1 − 2 · level, the margin's own error included: the bad end decides."""
    high: float
    sd: float
    """Over prompts."""
    sd_room: float
    """Over prompts, with what each of them makes of the margin: equals `sd` where the margin is known."""
    n: int
    """Prompts."""
    p_loss: float
    """One-sided p-value of `no loss`: small where a loss is established. Of two sides two-sided: of `no change`."""
    p_inside: float
    """p-value of `at least a margin worse` (of two sides: or better): small where the change lies inside the margin."""
    p_beyond: float | None = None
    """p-value of `at most a margin worse`: small where more is lost. None where it is not asked: of two sides, costs
    and rates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One check of a family: made by `score_item`, `cost_item` and `rate_item` of `analysis.items`."""

    evidence: Evidence | None
    """Oriented, positive better, in the scale of `margin`; None where nothing can be inferred."""
    margin: float
    """Not negative; in the scale of `evidence` (of a ratio its logarithm)."""
    sides: Sides
    change: Estimate | None
    """As people read it: mean of candidate − base in the metric's unit, ratio of medians, or difference of shares.
    Its interval has confidence 1 − 2 · level: the one whose bad end decides at `level`."""
    obstacle: str = ""
    """Why it is inconclusive whatever the evidence; empty where the evidence decides."""
    bar: str = ""
    """Why it cannot pass, though it may regress; empty where it can."""
    identical: bool = False
    """The pictures of both sides are equal files and so are their scores: it passes without a test."""
    unchanged: bool = False
    """No score of any prompt changed, of a metric that tells prompts apart, so that it lies inside any margin above 0:
    it passes without a test, as it would if one of many prompts had changed by next to nothing."""
    needed: int | None = None
    """Prompts that the policy asks for, where there are fewer."""
    power: float = POWER
    """Share of repetitions in which `Judgement.n_to_decide` prompts shall decide."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a family of checks says of one of them."""

    outcome: Outcome
    reason: str
    """One clause in words, without a full stop."""
    change: Estimate | None
    """As of the item."""
    p_loss: float | None
    """After Holm over the family: small where a loss (of two sides: a change) is established. None: not tested."""
    p_inside: float | None
    """Small where the change lies inside the margin; not corrected, as a gate passes only where every check does."""
    n_to_decide: int | None
    """Of an inconclusive check: prompts, at as many seeds, that would decide in 80 % of repetitions if mean and
    spread stay as they are; None where no number would, or none can be told."""
    tests: int
    """Checks of the family that were tested: what Holm's correction was made over."""


def weigh(difference: Floats, margin: float | Floats, *, sides: Sides, level: float) -> Evidence:
    """Test `difference`, (prompts,) with positive better, at least two of them and not all equal.

    `margin` is one number, or where it is itself estimated what each prompt makes of it (`analysis.margins`).
    A loss is tested by Student's t (`scipy.stats.ttest_1samp`): the differences of equals are symmetric, and it has
    nothing to do with the margin. Whether the change lies inside the margin is a one-sided test of non-inferiority, of
    two sides two of them (equivalence), as `one_sided` makes it. `low` and `high` are the ends of the same two tests.
    """
    size, mean = float(np.mean(margin)), float(difference.mean())
    scatter = _scatter(difference, margin)  # apart from the size, beside which small differences would be lost
    below = _Sample.of(difference + scatter)
    above = below.turned() if sides == "one" else _Sample.of(scatter - difference)
    inside = below.p_above(-size) if sides == "one" else max(below.p_above(-size), above.p_above(-size))
    return Evidence(
        mean=mean,
        low=below.lower_end(level),
        high=-above.lower_end(level),
        sd=float(np.std(difference, ddof=1)),
        sd_room=above.sd if sides == "two" and mean > 0 else below.sd,
        n=below.n,
        p_loss=t_test(difference, "less" if sides == "one" else "two-sided"),
        p_inside=inside,
        p_beyond=above.p_above(size) if sides == "one" else None,
    )


def _scatter(difference: Floats, margin: float | Floats) -> Floats:
    """(prompts,) what each makes of the margin, around its size. 0 where that cancels the differences: of scores that
    are all lower by one share, and a margin of that share, it would leave nothing to reckon with."""
    scatter: Floats = np.broadcast_to(np.asarray(margin) - np.mean(margin), difference.shape)
    left = min(np.std(difference + scatter), np.std(scatter - difference))
    return scatter if left > _ROUNDING * np.std(difference) else np.zeros_like(difference)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """Moments over prompts."""

    mean: float
    sd: float
    n: int
    skewness: float

    @staticmethod
    def of(values: Floats) -> _Sample:
        sd = float(np.std(values, ddof=1))
        return _Sample(mean=float(values.mean()), sd=sd, n=values.size, skewness=skewness(values))

    def turned(self) -> _Sample:
        """Of the values with the other sign."""
        return _Sample(mean=-self.mean, sd=self.sd, n=self.n, skewness=-self.skewness)

    def p_above(self, limit: float) -> float:
        return float(p_above(self.mean - limit, self.sd, self.n, self.skewness))

    def lower_end(self, level: float) -> float:
        return lower_end(self.mean, self.sd, self.n, self.skewness, level=level)


def decide(family: Sequence[Item], *, level: float) -> tuple[Judgement, ...]:
    """Judge all checks of a gate together, in the order given.

    Passed: shown at `level` that the loss lies inside the margin. Regressed: a loss is established at `level`, after
    Holm over the family, and not shown to lie inside the margin. Inconclusive otherwise. Passing needs no correction:
    a gate passes only where every check does (an intersection-union test; Berger, Technometrics 24, 1982).
    """
    corrected = holm([item.evidence.p_loss if item.evidence and not item.obstacle else None for item in family])
    tests = sum(p is not None for p in corrected)
    return tuple(
        _untested(item, tests) if item.evidence is None or p is None else _judge(item, item.evidence, p, tests, level)
        for item, p in zip(family, corrected, strict=True)
    )


def _untested(item: Item, tests: int) -> Judgement:
    passes = (item.identical or item.unchanged) and not item.obstacle
    known = "the pictures are identical" if item.identical else "no prompt changed at all"
    return Judgement(
        outcome="passed" if passes else "inconclusive",
        reason=known if passes else item.obstacle or "nothing was measured",
        change=item.change,
        p_loss=None,
        p_inside=None,
        n_to_decide=item.needed,
        tests=tests,
    )


def _judge(item: Item, evidence: Evidence, p_loss: float, tests: int, level: float) -> Judgement:
    outcome: Outcome = "inconclusive"
    n: int | None = None
    if evidence.p_inside <= level and not item.bar:
        outcome = "passed"
        what = "the change" if item.sides == "two" else "the loss, if any,"
        reason = f"{what} lies inside the margin ({p_in_words(evidence.p_inside)})"
    elif p_loss <= level:
        outcome = "regressed"
        what = "a loss" if evidence.mean < 0 else "a gain that equals would not show"
        where = f"{p_in_words(p_loss)} among {tests} checks" if tests > 1 else p_in_words(p_loss)
        reason = f"{what} is established ({where}), {item.bar or 'and not shown to lie inside the margin'}"
    else:
        n, reason = _prompts_to_decide(item, evidence, tests, level)
    return Judgement(
        outcome=outcome,
        reason=reason,
        change=item.change,
        p_loss=p_loss,
        p_inside=evidence.p_inside,
        n_to_decide=n,
        tests=tests,
    )


def _prompts_to_decide(item: Item, evidence: Evidence, tests: int, level: float) -> tuple[int | None, str]:
    """With the reason: for showing that the change lies inside where it seems to, else for establishing the loss."""
    reason = item.bar or "neither a loss nor its absence is shown"
    if not item.margin and not item.bar:
        reason += "; inside a margin of 0 lies nothing but a gain" if item.sides == "one" else "; inside 0 lies nothing"
    beyond = -evidence.mean if item.sides == "one" else abs(evidence.mean)
    room = item.margin - beyond
    if room > 0 and not item.bar:
        # Of two sides each test may miss: half of the misses are left to the nearer one.
        power = item.power if item.sides == "one" else (1 + item.power) / 2
        return _more(prompts_needed(room / evidence.sd_room, level=level, power=power), evidence), reason
    if beyond <= 0:
        return None, reason
    if room == 0:
        return None, item.bar or "the observed change is exactly the margin: no number of prompts would tell"
    n = prompts_needed(beyond / evidence.sd, level=level / tests, sides=item.sides)
    return _more(n, evidence), reason


def _more(n: int | None, evidence: Evidence) -> int | None:
    """Never fewer than there are: those did not decide."""
    return None if n is None else max(n, evidence.n + 1)
