"""Latency and price of a canary's days, told apart from what its pictures say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kreabench.analysis.daily import Unusual, unusual
from kreabench.decisions.canary_days import Day, Priced

LatencyState = Literal["first", "usual", "slower", "faster", "not measured"]
PriceState = Literal["first", "same", "changed", "not known"]

LEAST_EARLIER = 2
"""Days whose median must be known before one is called slower or faster."""

LEAST_RATIO = 1.2
"""Less than 20 % slower or faster is nobody's alarm, however sure."""

_SAME_USD = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyVerdict:
    """The median latency of a day beside those of the days before, since latency last changed."""

    state: LatencyState
    reason: str
    """A sentence without a full stop."""
    median_s: float | None
    """End to end, of the samples fit for timing."""
    earlier_s: float | None = None
    """Geometric mean of the earlier daily medians."""
    days: int = 0
    """Behind it."""
    unusual: Unusual | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceVerdict:
    """Dollars of a day's pictures beside those of the last day whose price is known."""

    state: PriceState
    reason: str
    """A sentence without a full stop."""
    usd_per_image: float | None
    """Mean over what was priced; None where no price is known."""
    earlier_usd_per_image: float | None = None
    """Of the same pictures."""


def judge_latency(days: Sequence[Day], *, level: float) -> tuple[LatencyVerdict, ...]:
    """One verdict a day; `level` is the error rate of a day of calling it slower. Once called so, its pace is the new
    one, with which later days are compared."""
    pace: list[Day] = []
    found = []
    for day in days:
        verdict = _latency(day, pace, level)
        found.append(verdict)
        pace = [] if verdict.state in ("slower", "faster") else pace
        pace += [day] if day.latency is not None else []
    return tuple(found)


def _latency(day: Day, pace: Sequence[Day], level: float) -> LatencyVerdict:
    if day.latency is None:
        return LatencyVerdict(state="not measured", reason="no request was fit for timing", median_s=None)
    median_s = day.latency.value
    earlier = [one.latency.value for one in pace if one.latency is not None]
    if len(earlier) < LEAST_EARLIER:
        reason = f"median {median_s:.3g} s; a change is sought from the third day of one pace on"
        return LatencyVerdict(state="first", reason=reason, median_s=median_s, days=len(earlier))
    seen = unusual(median_s, earlier, level=level)
    usual_s = float(np.exp(np.mean(np.log(earlier))))
    state: LatencyState = "usual"
    if seen.p_large <= level and seen.ratio >= LEAST_RATIO:
        state = "slower"
    elif seen.p_small <= level and seen.ratio <= 1 / LEAST_RATIO:
        state = "faster"
    words = f"median {median_s:.3g} s, {usual_s:.3g} s on {len(earlier)} days before"
    if state == "usual":
        reason = f"{words}; {max(seen.limit, LEAST_RATIO):.3g} times that would be slower"
    else:
        reason = f"{words}{_where(day, pace)}"
    return LatencyVerdict(
        state=state, reason=reason, median_s=median_s, earlier_s=usual_s, days=len(earlier), unusual=seen
    )


def _where(day: Day, pace: Sequence[Day]) -> str:
    """Which part of it changed, as far as the service tells."""
    parts = []
    for name, now, then in (
        ("in the queue", day.queue_s, [one.queue_s for one in pace]),
        ("at work", day.inference_s, [one.inference_s for one in pace]),
    ):
        known = [value for value in then if value is not None]
        if now is not None and known:
            parts.append(f"{name} {now:.3g} s, before {float(np.median(known)):.3g} s")
    return f"; {'; '.join(parts)}" if parts else ""


def judge_prices(days: Sequence[Day]) -> tuple[PriceVerdict, ...]:
    """One verdict a day. There is no noise in a price: any difference of the same request is a change."""
    last: Day | None = None
    found = []
    for day in days:
        found.append(_price(day, last))
        last = day if day.prices else last
    return tuple(found)


def _price(day: Day, last: Day | None) -> PriceVerdict:
    if not day.prices:
        return PriceVerdict(state="not known", reason="no price is known", usd_per_image=None)
    usd = _mean(day.prices.values())
    if last is None:
        return PriceVerdict(state="first", reason=f"${usd:.4g} a picture", usd_per_image=usd)
    common = [asked for asked in day.prices if asked in last.prices]
    pairs = [(last.prices[asked], day.prices[asked]) for asked in common]
    alike = [(then, now) for then, now in pairs if then.basis == now.basis]
    if not alike:
        reason = f"${usd:.4g} a picture; nothing of {last.name} has a price of the same basis"
        return PriceVerdict(state="not known", reason=reason, usd_per_image=usd)
    changed = [(then, now) for then, now in alike if abs(now.usd - then.usd) > _SAME_USD]
    earlier = _mean(then for then, _ in alike)
    if not changed:
        reason = f"${usd:.4g} a picture, as before"
        return PriceVerdict(state="same", reason=reason, usd_per_image=usd, earlier_usd_per_image=earlier)
    then, now = changed[0]
    reason = (
        f"{len(changed)} of {len(alike)} requests cost another price: ${now.usd:.4g} a picture, ${then.usd:.4g} on "
        f"{last.name}; {_why(then, now)}"
    )
    return PriceVerdict(state="changed", reason=reason, usd_per_image=usd, earlier_usd_per_image=earlier)


def _why(then: Priced, now: Priced) -> str:
    if then.units is not None and now.units is not None and then.units != now.units:
        return f"the service bills {now.units:g} units for what were {then.units:g}"
    return "the price list that this kreabench was given has changed"


def _mean(prices: Iterable[Priced]) -> float:
    return float(np.mean([one.usd for one in prices]))
