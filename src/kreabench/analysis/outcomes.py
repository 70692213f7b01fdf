"""Not worse by more than a margin: shown, refuted, or not decided. No significant difference is never a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from kreabench.analysis.estimates import Estimate, p_in_words
from kreabench.analysis.families import holm
from kreabench.analysis.paired import Floats
from kreabench.analysis.power import POWER, prompts_needed

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


def decide(family: Sequence[Item], *, level: float) -> tuple[Judgement, ...]:
    """Judge all checks of a gate together, in the order given.

    Passed: shown at `level` that the loss lies inside the margin. Regressed: a loss is established at `level`, after
    Holm over the family, and not shown to lie inside the margin. Inconclusive otherwise. Passing needs no correction:
    a gate passes only where every check does (an intersection-union test; Berger, Technometrics 24, 1982).
    """
    corrected = holm([item.evidence.p_loss if item.evidence and not item.obstacle else None for item in family])
    tests = sum(p is not None for p in corrected)
    return tuple(_judge(item, p, tests, level) for item, p in zip(family, corrected, strict=True))


def _judge(item: Item, p_loss: float | None, tests: int, level: float) -> Judgement:
    evidence = item.evidence
    if item.obstacle or evidence is None:
        if item.identical and not item.obstacle:
            return _judgement(item, "passed", "the pictures are identical")
        return _judgement(item, "inconclusive", item.obstacle or "nothing was measured", n=item.needed)
    assert p_loss is not None
    inside = evidence.p_inside <= level and not item.bar
    established = p_loss <= level
    if inside:
        tested = _judgement(
            item, "passed", f"{_what(item)} lies inside the margin ({p_in_words(evidence.p_inside)})", p_loss
        )
    elif established:
        what = "a loss" if evidence.mean < 0 else "a gain that no equal version would show"
        tested = _judgement(
            item,
            "regressed",
            f"{what} is established ({p_in_words(p_loss)}, of {tests} checks) and not shown to lie inside the margin",
            p_loss,
        )
    else:
        n, why = _prompts_to_decide(item, evidence, tests, level)
        tested = _judgement(item, "inconclusive", why, p_loss, n)
    return tested


def _what(item: Item) -> str:
    return "the change" if item.sides == "two" else "the loss, if any,"


def _judgement(
    item: Item, outcome: Outcome, reason: str, p_loss: float | None = None, n: int | None = None
) -> Judgement:
    tested = item.evidence is not None and not item.obstacle
    return Judgement(
        outcome=outcome,
        reason=reason,
        change=item.change,
        p_loss=p_loss,
        p_inside=item.evidence.p_inside if item.evidence and tested else None,
        n_to_decide=n,
    )


def _prompts_to_decide(item: Item, evidence: Evidence, tests: int, level: float) -> tuple[int | None, str]:
    """Prompts and the reason: for showing that it lies inside where it seems to, else for establishing the loss."""
    neither = "neither a loss nor its absence is shown"
    room = evidence.mean + item.margin
    if item.sides == "two":
        room = min(room, item.margin - evidence.mean)
    if room > 0 and not item.bar:
        # Of two sides each test may miss: half of the misses are left to the nearer one.
        power = item.power if item.sides == "one" else (1 + item.power) / 2
        n = prompts_needed(room / evidence.sd, level=level, power=power)
        return _more(n, evidence), neither
    if item.sides == "one" and evidence.mean >= 0:
        why = item.bar or "with a margin of 0 only an established gain passes, and equals never do"
        return None, why
    if room == 0 and item.margin > 0:
        return None, "the observed loss is exactly the margin: no number of prompts would tell"
    if evidence.mean == 0:
        return None, item.bar or "with a margin of 0 nothing can be shown to lie inside it"
    alternative: Literal["larger", "two-sided"] = "larger" if item.sides == "one" else "two-sided"
    n = prompts_needed(abs(evidence.mean) / evidence.sd, level=level / tests, alternative=alternative)
    return _more(n, evidence), item.bar or neither


def _more(n: int | None, evidence: Evidence) -> int | None:
    """Never fewer than there are: those did not decide."""
    return None if n is None else max(n, evidence.n + 1)
