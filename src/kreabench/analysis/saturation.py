"""Where a service has enough: its knee over levels of load, and the greatest load at which it keeps its promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.knees import sure_knee
from kreabench.analysis.traffic import LevelSummary

DRAWS = 200
"""Of the throughputs of a closed loop, for how sure its knee is."""
NEAR_KNEE = 0.7
"""Share of an open loop's knee from which a level is too short to show how long its waits are: one that happens to meet
no long queue looks far better than the service is, and nothing in it tells. `benchmarks/load_intervals.py`."""

Promise = Literal["kept", "broken", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Saturation:
    """What the levels of one setting say together. Loads are requests a second, of a closed loop requests in flight."""

    knee: Estimate | None
    """Of an open loop: the requests a second that it carries, which is where throughput ceases to follow arrivals.
    Of a closed loop: the requests in flight from which more hardly carry more. None where no level shows it."""
    nearly_full: float | None
    """Of an open loop: the load from which it `is_near` its knee. None without a knee, and of a closed loop, whose
    requests wait for one another."""
    above: float | None
    """The heaviest load, where no knee shows."""
    fails_at: float | None
    """Of an open loop: the lightest load that was overloaded, where no queue grew there but requests failed."""
    collapses: bool
    """Of an open loop: beyond its knee it is shown to carry less than it did before. Then `knee` is the heaviest load
    before, and its interval goes to the lightest one beyond."""
    promises: tuple[Promise, ...]
    """One a level, ascending: whether enough requests were good. `undecided` where the interval holds both, and where a
    level `is_near` that looks as if it kept it."""
    greatest_kept: float | None
    """Heaviest load that kept it, of those lighter than any that broke it; None where none did."""

    def is_near(self, load: float) -> bool:
        """Whether an open loop's load is so close to its knee, or beyond, that latencies have no interval."""
        return self.nearly_full is not None and load >= self.nearly_full


def promise_of(level: LevelSummary, objective_share: float) -> Promise:
    """Whether the share of good requests is shown to be at least `objective_share`, or below it."""
    interval = None if level.good is None else level.good.interval
    if interval is None:
        return "undecided"
    low, high = interval
    return "kept" if low >= objective_share else "broken" if high < objective_share else "undecided"


def open_saturation(loads: Sequence[float], levels: Sequence[LevelSummary], objective_share: float) -> Saturation:
    """Of rates, ascending. The knee is what the lightest level that is shown to be overloaded carried in its second
    half.

    An open loop carries what comes, up to its capacity (min(rate, capacity)), so that its knee is the capacity. Above
    it a service may collapse and carry less: then the knee is only known to lie between two loads. One that fails
    under the lightest load already, or delivers nothing, does not show what it carries.
    """
    number = next((number for number, level in enumerate(levels) if level.overloaded), None)
    if number is None:
        return _saturation(loads, levels, objective_share, None)
    fails_at = None if levels[number].grows else loads[number]
    if fails_at is not None and (number == 0 or not levels[number].second_half.n):
        return _saturation(loads, levels, objective_share, None, fails_at=fails_at)
    knee = levels[number].second_half
    collapses = number > 0 and knee.high is not None and knee.high < levels[number - 1].throughput.value
    if collapses:
        knee = Estimate(value=loads[number - 1], low=loads[number - 1], high=loads[number], n=knee.n)
    nearly_full = NEAR_KNEE * knee.value
    return _saturation(
        loads, levels, objective_share, knee, nearly_full=nearly_full, collapses=collapses, fails_at=fails_at
    )


def without_latency_intervals(level: LevelSummary) -> LevelSummary:
    """Of one that `Saturation.is_near`."""
    return replace(
        level,
        latency=None if level.latency is None else replace(level.latency, low=None, high=None),
        percentiles={p: replace(found, low=None, high=None) for p, found in level.percentiles.items()},
    )


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
    loads: Sequence[float],
    levels: Sequence[LevelSummary],
    objective_share: float,
    knee: Estimate | None,
    *,
    nearly_full: float | None = None,
    collapses: bool = False,
    fails_at: float | None = None,
) -> Saturation:
    promises = tuple(
        "undecided" if promise == "kept" and nearly_full is not None and load >= nearly_full else promise
        for load, promise in zip(loads, (promise_of(level, objective_share) for level in levels), strict=True)
    )
    before = promises.index("broken") if "broken" in promises else len(promises)
    kept = [load for load, promise in zip(loads[:before], promises, strict=False) if promise == "kept"]
    return Saturation(
        knee=knee,
        nearly_full=nearly_full,
        above=loads[-1] if knee is None else None,
        fails_at=fails_at,
        promises=promises,
        greatest_kept=kept[-1] if kept else None,
        collapses=collapses,
    )
