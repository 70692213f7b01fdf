"""Checks of a gate made ready for `outcomes.decide`: from paired scores, ratios of medians, and counts of mishaps.

Here stands what can never pass: no pair, too few prompts, too many pictures without a partner, a metric that saw
nothing, differences without any spread, scores that became infinitely worse.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy

from kreabench.analysis.estimates import CONFIDENCE, Estimate
from kreabench.analysis.margins import Margin
from kreabench.analysis.outcomes import Evidence, Item, Sides, weigh
from kreabench.analysis.paired import PairedScores
from kreabench.analysis.power import POWER
from kreabench.analysis.rates import p_more_often, rate_difference, z_inside

_ROUNDING = 1e-12
"""Relative differences below are of arithmetic."""


def score_item(
    scores: PairedScores,
    *,
    better: Literal["higher", "lower", "reference"],
    margin: float | Margin,
    sides: Sides,
    level: float,
    min_prompts: int = 2,
    max_unpaired_share: float = 0.0,
    identical: bool = False,
) -> Item:
    """A metric. `margin` in its unit, a Margin where it is estimated. `identical`: all pairs are pairs of equal files.

    A metric without a better side (`reference`) is judged on two sides.
    """
    sides = "two" if better == "reference" else sides
    allowed = margin if isinstance(margin, Margin) else Margin(value=margin)
    difference = scores.difference
    n = difference.size
    few = _few(n, min_prompts, scores.left_out.why_nothing)
    obstacle = few or _scores_obstacle(scores, max_unpaired_share)
    if obstacle or _without_spread(scores):
        equal = not obstacle and not difference.any() and not _bar(scores, better, sides)
        still, unchanged = equal and identical, equal and allowed.value > 0 and _tells_apart(scores, level)
        return Item(
            evidence=None,
            margin=allowed.value,
            sides=sides,
            change=Estimate(value=float(difference.mean()), low=None, high=None, n=n) if n else None,
            obstacle=""
            if still or unchanged
            else obstacle or "all differences are equal: without spread nothing can be inferred",
            identical=still,
            unchanged=unchanged,
            needed=max(min_prompts, 2) if few else None,
        )
    sign = -1.0 if better == "lower" else 1.0
    found = weigh(sign * difference, allowed.parts, sides=sides, level=level)
    low, high = sorted((sign * found.low, sign * found.high))
    return Item(
        evidence=found,
        margin=allowed.value,
        sides=sides,
        change=Estimate(value=sign * found.mean, low=low, high=high, n=n),
        bar=_bar(scores, better, sides),
    )


def cost_item(
    ratio: Estimate | None, *, margin: float, sides: Sides, level: float, min_prompts: int = 2, obstacle: str = ""
) -> Item:
    """A cost, of which less is better: `ratio` as `ratios.ratio_of_medians` returns it at its usual confidence.

    `margin` is relative: 0.05 lets the ratio rise to 1.05 (of two sides: also fall to 1/1.05). The logarithm of the
    ratio is taken to be normal, with as many degrees of freedom as prompts less 1. An interval of width 0 is of a
    quantity that does not vary at all (memory, a price): then the ratio is known.
    """
    room = math.log1p(margin)
    few = "" if ratio is None else _few(ratio.n, min_prompts, "no prompt was measured on both sides")
    if obstacle or few or ratio is None or ratio.interval is None:
        why = obstacle or few or ("not measured on both sides" if ratio is None else "too few values for an interval")
        needed = max(min_prompts, 2) if few else None
        return Item(evidence=None, margin=room, sides=sides, change=ratio, obstacle=why, needed=needed)
    low, high = (math.log(end) for end in ratio.interval)
    error = (high - low) / 2 / float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, ratio.n - 1))
    found = _from_error(-math.log(ratio.value), error, ratio.n, room, sides, level)
    return Item(
        evidence=found,
        margin=room,
        sides=sides,
        change=Estimate(value=ratio.value, low=math.exp(-found.high), high=math.exp(-found.low), n=ratio.n),
    )


def _from_error(gain: float, error: float, n: int, margin: float, sides: Sides, level: float) -> Evidence:
    """Student's tests of a mean `gain` with a known standard error."""
    t = scipy.stats.t(n - 1)
    if error <= _ROUNDING:
        loss = gain < -_ROUNDING if sides == "one" else abs(gain) > _ROUNDING
        beyond = -gain if sides == "one" else abs(gain)
        p_loss, p_inside, half = float(not loss), float(beyond > margin + _ROUNDING), 0.0
    else:
        p_loss = float(t.cdf(gain / error)) if sides == "one" else float(2 * t.sf(abs(gain) / error))
        distance = margin + (gain if sides == "one" else -abs(gain))
        p_inside = float(t.sf(distance / error))
        half = float(t.ppf(1 - level)) * error
    sd = error * math.sqrt(n)
    return Evidence(
        mean=gain, low=gain - half, high=gain + half, sd=sd, sd_room=sd, n=n, p_loss=p_loss, p_inside=p_inside
    )


def rate_item(
    base_count: int,
    base_n: int,
    candidate_count: int,
    candidate_n: int,
    *,
    prompts: int,
    margin: float,
    sides: Sides,
    level: float,
    min_prompts: int = 2,
    independent: bool = False,
    obstacle: str = "",
) -> Item:
    """A rate of mishaps, of which less is better. `margin` in shares of 1, `prompts` those behind the smaller side.

    Whether mishaps rise is an exact test, whether they stay inside the margin one that needs no mishap. Unless
    requests are `independent` of each other, the mishaps of a prompt are taken to come together, as they may: then the
    latter test, and the interval, count prompts, not pictures. (The former keeps its level: both sides have the same
    prompts.)
    """
    nothing = "" if base_n and candidate_n else "not measured on both sides"
    few = _few(prompts, min_prompts, "no prompt was measured on both sides")
    if obstacle or nothing or few:
        needed = max(min_prompts, 2) if few else None
        why = obstacle or nothing or few
        return Item(evidence=None, margin=margin, sides=sides, change=None, obstacle=why, needed=needed)
    shrink = 1.0 if independent else min(1.0, prompts / min(base_n, candidate_n))
    base, candidate = (base_count * shrink, base_n * shrink), (candidate_count * shrink, candidate_n * shrink)
    change = rate_difference(*base, *candidate, confidence=1 - 2 * level)
    assert change is not None and change.interval is not None  # noqa: S101, PT018
    low, high = change.interval
    z = z_inside(*base, *candidate, margin=margin)
    if sides == "two":
        z = min(z, z_inside(*candidate, *base, margin=margin))
    room = margin - (change.value if sides == "one" else abs(change.value))
    sd = room / z * math.sqrt(prompts) if z and math.isfinite(z) else (high - low) / 2 * math.sqrt(prompts)
    return Item(
        evidence=Evidence(
            mean=-change.value,
            low=-high,
            high=-low,
            sd=sd,
            sd_room=sd,
            n=prompts,
            p_loss=p_more_often(base_count, base_n, candidate_count, candidate_n, sides=sides),
            p_inside=float(scipy.stats.norm.sf(z)),
        ),
        margin=margin,
        sides=sides,
        change=replace(change, n=prompts),
        # Where nothing happens, nothing scatters: just enough prompts are enough.
        power=POWER if base_count or candidate_count else 0.5,
    )


def _few(n: int, min_prompts: int, nothing: str) -> str:
    if n == 0:
        return nothing
    if n == 1:
        return "one prompt alone shows no spread"
    return f"{n} prompts, where the policy asks for at least {min_prompts}" if n < min_prompts else ""


def _tells_apart(scores: PairedScores, level: float) -> bool:
    """Whether a metric that changed in no prompt would have: its scores differ between prompts, and these are so many
    that, if half of all prompts changed, one of them would have (a sign test)."""
    known = scores.base[np.isfinite(scores.base)]
    return known.size > 0 and bool((known != known[0]).any()) and 0.5**scores.difference.size <= level


def _scores_obstacle(scores: PairedScores, max_unpaired_share: float) -> str:
    if scores.blind:
        return "all scores are equal: the metric saw nothing"
    left = scores.left_out
    lost = left.base_only + left.candidate_only + left.neither
    share = lost / (lost + int(scores.pairs.sum()) + left.infinite_gains + left.infinite_losses)
    if share > max_unpaired_share:
        return f"{lost} pictures or scores have no partner ({share:.1%} of them, at most {max_unpaired_share:.1%})"
    return ""


def _without_spread(scores: PairedScores) -> bool:
    known = np.concatenate([scores.difference, scores.base, scores.candidate])
    size = float(np.nanmax(np.abs(known)))
    return float(np.ptp(scores.difference)) <= _ROUNDING * size


def _bar(scores: PairedScores, better: str, sides: Sides) -> str:
    left = scores.left_out
    gains, losses = left.infinite_gains, left.infinite_losses
    if better == "lower":
        gains, losses = losses, gains
    infinite = gains + losses if sides == "two" else losses
    if not infinite:
        return ""
    return f"{infinite} pairs differ infinitely: only one of their pictures equals its reference"
