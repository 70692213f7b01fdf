"""What a service did under one level of load: how much it carried, how long requests took, whether its queue grew.

Pure arithmetic over instants; seconds count from the beginning of the level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from kreabench.analysis.dependence import dependent_median, dependent_quantile, dependent_share, independent_n
from kreabench.analysis.estimates import CONFIDENCE, Estimate
from kreabench.analysis.paired import Floats

PERCENTILES = (0.90, 0.95, 0.99)
GROWTH_LEVEL = 0.05
"""Error rate of saying that a queue grew which did not."""
MAX_ERROR_SHARE = 0.05
"""A level that is shown to fail more of its requests is overloaded."""
FIRST = 5
"""Requests at the beginning of a level that say how long one takes before a queue can have grown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """Every request of a level that was sent, in the order of its intended start."""

    window_s: float
    """From the beginning to the end of the arrivals, or to where they were cut short."""
    at_s: Floats
    """Intended starts."""
    end_s: Floats
    """When the last byte had come, or the failure was seen; infinite where no answer was."""
    ok: NDArray[np.bool_]
    """Delivered."""
    lag_s: Floats
    """How late the request left the client, of those delivered."""
    awaited_s: Floats = field(default_factory=lambda: np.empty(0))
    """Intended starts of further requests, which had no answer yet when the level was cut short: they were in its
    queue, and are in no other number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelSummary:
    """One level of load."""

    window_s: float
    sent: int
    ok: int
    failed: int
    unanswered: int
    """Neither, when the level was ended."""
    arrivals_per_s: float
    """As they came."""
    throughput: Estimate
    """Delivered a second within the window, whenever they were sent; its interval is that of a Poisson count."""
    good: Estimate | None
    """Share of all sent that was delivered within the objective; None without a request."""
    goodput: Estimate | None
    """As `throughput`, of those within the objective; None without an objective."""
    error_share: Estimate | None
    """Failed or unanswered, of all sent."""
    latency: Estimate | None
    """Median seconds from the intended start to the last byte, of those delivered."""
    percentiles: Mapping[float, Estimate]
    """p → the same; only where there are enough of them."""
    independent: int
    """How many independent latencies those delivered are worth."""
    most_in_system: int
    """Sent and unanswered at one instant, at most."""
    left_in_system: int
    """The same at the end of the window."""
    growth: Estimate | None
    """Requests a second by which the queue grew over the second half of the window; None in a closed loop, which cannot
    have one, without a request, and where `too_short`."""
    grows_p: float | None
    """p-value of `the queue does not grow`."""
    short_p: float | None
    """p-value of `no fewer were delivered than came`, of the second half too; None where `grows_p` is."""
    too_short: bool
    """Whether even the first requests took more than half of the window, which then says nothing of a queue."""
    second_half: Estimate
    """Delivered a second in the second half: what a service carries that has no pause."""
    lag_s: float | None
    """Greatest of the delays within the client."""

    @property
    def grows(self) -> bool:
        """Whether it is established that more came than was carried."""
        return self.grows_p is not None and self.grows_p <= GROWTH_LEVEL

    @property
    def overloaded(self) -> bool:
        """Whether it is established that its queue grew, that fewer were delivered than came, or that too many failed:
        a service that refuses what it cannot carry has no queue."""
        if self.grows or (self.short_p is not None and self.short_p <= GROWTH_LEVEL):
            return True
        errors = None if self.error_share is None else self.error_share.low
        return errors is not None and errors > MAX_ERROR_SHARE


def summarise_level(arrivals: Arrivals, *, objective_s: float | None, open_loop: bool) -> LevelSummary:
    """Latencies count from the intended start, of all that were delivered, openings of connections included: that is
    what whoever calls the service waits for. Their intervals allow for dependence (`analysis.dependence`).

    Whether the queue grows is asked of the second half of the window, when what came first has been answered: arrivals
    and ends are compared as two Poisson counts (the exact conditional test, Przyborowski and Wilenski, Biometrika 31,
    1940). Neither count of a queue is more variable, and in a stable one they follow each other: it rather says less.
    Failures are ends as well, so the same is asked of arrivals and deliveries.
    """
    window_s, at_s, end_s, ok = arrivals.window_s, arrivals.at_s, arrivals.end_s, arrivals.ok
    latency = (end_s - at_s)[ok]
    failed = ~ok & np.isfinite(end_s)
    good = ok if objective_s is None else ok & (end_s - at_s <= objective_s)
    share, sent = dependent_share(good.astype(float)), at_s.size
    first = latency[:FIRST]
    too_short = open_loop and first.size > 0 and float(np.median(first)) > window_s / 2
    growth, grows_p, short_p = _growth(arrivals) if open_loop and not too_short else (None, None, None)
    within = end_s <= window_s
    quantiles = {p: dependent_quantile(latency, p) for p in PERCENTILES}
    most, left = _in_system(arrivals)
    half = ok & (end_s > window_s / 2) & (end_s <= window_s)
    return LevelSummary(
        window_s=window_s,
        sent=sent,
        ok=int(ok.sum()),
        failed=int(failed.sum()),
        unanswered=int((~ok & ~failed).sum()),
        arrivals_per_s=sent / window_s,
        throughput=poisson_rate(int((ok & within).sum()), window_s),
        good=share,
        goodput=None if objective_s is None else poisson_rate(int((good & within).sum()), window_s),
        error_share=dependent_share((~ok).astype(float)),
        latency=dependent_median(latency),
        percentiles={p: estimate for p, estimate in quantiles.items() if estimate is not None},
        independent=independent_n(latency) if latency.size else 0,
        most_in_system=most,
        left_in_system=left,
        growth=growth,
        grows_p=grows_p,
        short_p=short_p,
        too_short=too_short,
        second_half=poisson_rate(int(half.sum()), window_s / 2),
        lag_s=float(arrivals.lag_s.max()) if arrivals.lag_s.size else None,
    )


def poisson_rate(number: int, seconds: float) -> Estimate:
    """Events a second with Garwood's exact interval of a Poisson count (Biometrika 28, 1936), which is too wide for
    events that are more even than chance."""
    outside = (1 - CONFIDENCE) / 2
    low = float(special.gammaincinv(number, outside)) if number else 0.0
    high = float(special.gammaincinv(number + 1, 1 - outside))
    return Estimate(value=number / seconds, low=low / seconds, high=high / seconds, n=number)


def _growth(arrivals: Arrivals) -> tuple[Estimate | None, float | None, float | None]:
    """`growth`, `grows_p` and `short_p` of a level."""
    half_s = arrivals.window_s / 2
    came = int((arrivals.at_s >= half_s).sum() + (arrivals.awaited_s >= half_s).sum())
    ends = (arrivals.end_s >= half_s) & (arrivals.end_s <= arrivals.window_s)
    ended, delivered = int(ends.sum()), int((ends & arrivals.ok).sum())
    both = came + ended
    if not both:
        return None, None, None
    outside = (1 - CONFIDENCE) / 2
    low = float(special.betaincinv(came, ended + 1, outside)) if came else 0.0
    high = float(special.betaincinv(came + 1, ended, 1 - outside)) if ended else 1.0
    growth = Estimate(
        value=(came - ended) / half_s, low=both * (2 * low - 1) / half_s, high=both * (2 * high - 1) / half_s, n=both
    )
    return growth, float(special.bdtr(ended, both, 0.5)), float(special.bdtr(delivered, came + delivered, 0.5))


def _in_system(arrivals: Arrivals) -> tuple[int, int]:
    """Requests sent and unanswered: most at one instant, and those at the end of the window."""
    at_s = np.sort(np.concatenate([arrivals.at_s, arrivals.awaited_s]))
    ends = np.sort(arrivals.end_s)
    # At each arrival, itself included; what ends at that very instant is gone.
    there = np.arange(1, at_s.size + 1) - np.searchsorted(ends, at_s, side="right")
    left = int((at_s <= arrivals.window_s).sum() - (arrivals.end_s <= arrivals.window_s).sum())
    return int(there.max(initial=0)), left
