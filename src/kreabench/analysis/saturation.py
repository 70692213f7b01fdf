"""Where a service has enough: its knee over levels of load, and the greatest load at which it keeps its promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.knees import sure_knee
from kreabench.analysis.traffic import LevelSummary

DRAWS = 200
"""Of the throughputs of a closed loop, for how sure its knee is."""

Promise = Literal["kept", "broken", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Saturation:
    """What the levels of one setting say together. Loads are requests a second, of a closed loop requests in flight."""

    knee: Estimate | None
    """Of an open loop: the requests a second that it carries, which is where throughput ceases to follow arrivals.
    Of a closed loop: the requests in flight from which more hardly carry more. None where no level shows it."""
    above: float | None
    """The heaviest load, where the knee lies beyond it or shows nowhere."""
    promises: tuple[Promise, ...]
    """One a level, ascending: whether enough requests were good. `undecided` where the interval holds both."""
    greatest_kept: float | None
    """Load of the last level before the first that did not keep the promise; None where the first one did not."""


def promise_of(level: LevelSummary, objective_share: float) -> Promise:
    """Whether the share of good requests is shown to be at least `objective_share`, or below it."""
    interval = None if level.good is None else level.good.interval
    if interval is None:
        return "undecided"
    low, high = interval
    return "kept" if low >= objective_share else "broken" if high < objective_share else "undecided"


def open_saturation(loads: Sequence[float], levels: Sequence[LevelSummary], objective_share: float) -> Saturation:
    """Of rates, ascending. The knee is what the lightest level whose queue is shown to grow carried in its second half.

    An open loop carries what comes, up to its capacity (min(rate, capacity)), so that its knee is the capacity. Above
    it a service may collapse and carry less, and so a heavier level says less about it.
    """
    grown = next((level for level in levels if level.grows), None)
    return _saturation(loads, levels, objective_share, None if grown is None else grown.second_half)


def closed_saturation(
    loads: Sequence[float], levels: Sequence[LevelSummary], objective_share: float, rng: np.random.Generator
) -> Saturation:
    """Of numbers in flight, ascending. The knee is Kneedle's (`analysis.knees`), of throughput over the number in
    flight, where most of the throughputs that chance would also give agree on it."""
    x = np.asarray(loads, dtype=float)
    windows = np.asarray([level.window_s for level in levels])
    counts = np.asarray([level.throughput.n for level in levels])
    knee = sure_knee(x, counts / windows, rng.poisson(counts, size=(DRAWS, counts.size)) / windows)
    found = None if knee is None else Estimate(value=float(x[knee.index]), low=None, high=None, n=int(counts.sum()))
    return _saturation(loads, levels, objective_share, found)


def _saturation(
    loads: Sequence[float], levels: Sequence[LevelSummary], objective_share: float, knee: Estimate | None
) -> Saturation:
    promises = tuple(promise_of(level, objective_share) for level in levels)
    kept = 0
    while kept < len(promises) and promises[kept] == "kept":
        kept += 1
    return Saturation(
        knee=knee,
        above=loads[-1] if knee is None else None,
        promises=promises,
        greatest_kept=loads[kept - 1] if kept else None,
    )
