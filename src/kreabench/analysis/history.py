"""Where a quantity measured again and again took a step, and which single runs stand apart without being one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import ruptures
import scipy

from kreabench.analysis.estimates import CONFIDENCE, Estimate
from kreabench.analysis.families import holm
from kreabench.analysis.paired import Floats, Ints

MIN_RUNS = 8
"""Fewer cannot show a step: the order of seven values at random looks like the clearest step too often."""

MIN_SIDE = 3
"""Least runs on each side of a step: fewer cannot be told from odd ones."""

_ONE, _TWO = 0.8, 0.2
"""Shares of the error rate: for one step, and for two at once, as after a version that was taken back."""

_RESAMPLES, _MOST_RESAMPLES = 999, 9_999
"""Permutations at first; and most that are drawn anew where the first ones leave a step possible."""

_FINENESS = 20
"""Least p-value that permutations can show, as a part of the one that a step needs."""

_ODD_WINDOW, _ODD_SD = 7, 6.0
"""Runs of the running median, and how many robust standard deviations away from it a run is odd."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A lasting change between two neighbours of a history."""

    before: int
    """Index of the last value before it; odd ones are passed over."""
    after: int
    """Index of the first value after it."""
    difference: Estimate
    """Mean after less mean before, of the stretches up to the next steps, with Welch's 95 % interval over runs, given
    the place; `n` counts runs. An exact step has no width."""
    p_value: float | None
    """Corrected for the other steps and histories; None for an exact step, which needs no test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSearch:
    """What was found in one history of one quantity."""

    steps: tuple[Step, ...]
    odd: tuple[int, ...]
    """Indices of single values, two at most beside each other, that are far from all around them. No step rests on
    them."""
    p_value: float | None
    """Of no step at all, corrected for the other histories; None where there was no test."""
    obstacle: str
    """Why no step could be found; empty where one could."""


def find_steps(
    histories: Sequence[Floats], *, rng: np.random.Generator, level: float, exact: Sequence[bool] | None = None
) -> tuple[StepSearch, ...]:
    """Steps of each of `histories`, one value a run in the order of the runs, corrected for one another.

    The test permutes the runs: without a step every order is as likely. Its statistic is the gain of the best split,
    the sum of squares that one step (or two) takes away; `ruptures.KernelCPD` then says where. What lies between is
    searched again at its share of `level`, and Holm's method corrects for the number of histories (steps after the
    first of one history by that number), so that all false alarms together happen at `level`. Values that repeat
    exactly have no noise: there every lasting change is a step. `exact` says of which histories that holds: of those of
    rare mishaps, mostly 0, equal values prove nothing, and none is odd.
    """
    searched = [
        _candidates(values, rng=own, level=level, exact=equal, family=len(histories))
        for values, own, equal in zip(
            histories, rng.spawn(len(histories)), exact or [True] * len(histories), strict=True
        )
    ]
    corrected = holm([candidates.p_value for candidates in searched])
    tested = sum(p is not None for p in corrected)
    return tuple(
        _held(values, candidates, p, family=tested, level=level)
        for values, candidates, p in zip(histories, searched, corrected, strict=True)
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Candidates:
    """A search before the correction for others."""

    kept: Ints
    """Indices of values that are not odd."""
    cuts: tuple[tuple[int, float | None], ...] = ()
    """Places in `kept`, and their p-values; None for an exact step."""
    p_value: float | None = None
    obstacle: str = ""


def _candidates(values: Floats, *, rng: np.random.Generator, level: float, exact: bool, family: int) -> _Candidates:
    everything = np.arange(values.size)
    if exact and _repeats(values):
        return _exact_steps(values)
    if values.size > 2 and float(np.ptp(values)) == 0.0:
        return _Candidates(kept=everything)
    if values.size < MIN_RUNS:
        few = f"{values.size} run{'s' if values.size != 1 else ''} in a row; a step is sought from {MIN_RUNS} on"
        return _Candidates(kept=everything, obstacle=few)
    kept = np.flatnonzero(~_odd(values)) if exact else everything
    cuts, p_value = _search(values[kept], rng=rng, level=level, family=family)
    return _Candidates(kept=kept, cuts=tuple(cuts), p_value=p_value)


def _held(values: Floats, found: _Candidates, p_value: float | None, *, family: int, level: float) -> StepSearch:
    """The steps of `found` that hold after correction; `p_value` is that of no step at all, corrected."""
    places: list[tuple[int, float | None]] = []
    for place, p in found.cuts:
        if p is not None and p_value is not None and found.p_value is not None:
            p = p_value if p <= found.p_value else max(p_value, min(1.0, p * family))
        if p is None or p <= level:
            places.append((place, p))
    kept = found.kept
    ends = [0, *(place for place, _ in places), len(kept)]
    stretches = [kept[start:stop] for start, stop in pairwise(ends)]
    return StepSearch(
        steps=tuple(
            Step(
                before=int(left[-1]),
                after=int(right[0]),
                difference=_difference(values[left], values[right], exact=p is None),
                p_value=p,
            )
            for (left, right), (_, p) in zip(pairwise(stretches), places, strict=True)
        ),
        odd=tuple(sorted(set(range(values.size)) - set(map(int, kept)))),
        p_value=p_value,
        obstacle=found.obstacle,
    )


def _difference(before: Floats, after: Floats, *, exact: bool) -> Estimate:
    mean, low, high = float(after.mean() - before.mean()), None, None
    if exact or (np.ptp(before) == 0.0 and np.ptp(after) == 0.0):
        low = high = mean
    elif min(before.size, after.size) > 1:
        interval = scipy.stats.ttest_ind(after, before, equal_var=False).confidence_interval(CONFIDENCE)
        low, high = float(interval.low), float(interval.high)
    return Estimate(value=mean, low=low, high=high, n=before.size + after.size)


def _repeats(values: Floats) -> bool:
    """Whether neighbours are mostly equal to the last digit, as no noise leaves them."""
    equal = np.diff(values) == 0.0
    return values.size > 2 and bool(equal.mean() >= 0.5) and float(np.ptp(values)) > 0.0


def _exact_steps(values: Floats) -> _Candidates:
    """Between stretches of equal values; a single other value is odd, unless it is the newest."""
    kept: list[int] = []
    position = 0
    for _, group in groupby(values.tolist()):
        length = len(list(group))
        if length > 1 or position + length == values.size:
            kept += range(position, position + length)
        position += length
    cuts = [number for number, (one, other) in enumerate(pairwise(kept), 1) if values[one] != values[other]]
    return _Candidates(kept=np.asarray(kept), cuts=tuple((cut, None) for cut in cuts))


def _odd(values: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Hampel's identifier: far from the running median, by the median absolute deviation from it."""
    away = values - scipy.ndimage.median_filter(values, size=_ODD_WINDOW, mode="mirror")
    scale = float(scipy.stats.median_abs_deviation(away[away != 0.0], center=lambda x, axis: 0.0, scale="normal"))
    return np.asarray(np.abs(away) > _ODD_SD * scale)


def _search(
    values: Floats, *, rng: np.random.Generator, level: float, family: int
) -> tuple[list[tuple[int, float | None]], float]:
    """Places of steps with their p-values, in order, and the p-value of no step at all."""
    overall = 1.0
    found: list[tuple[int, float | None]] = []
    waiting = [(0, values.size, 0.0)]
    while waiting:
        start, stop, floor = waiting.pop()
        if stop - start < MIN_RUNS:
            continue
        share = level * (stop - start) / values.size
        p, cuts = _test(values[start:stop], rng=rng, level=share, family=family)
        p = max(floor, min(1.0, p * values.size / (stop - start)))
        overall = p if (start, stop) == (0, values.size) else overall
        if p <= level:
            found += [(start + cut, p) for cut in cuts]
            ends = [start, *(start + cut for cut in cuts), stop]
            waiting += [(here, there, p) for here, there in pairwise(ends)]
    found.sort(key=lambda cut: cut[0])
    if len(found) > 1:  # all places at once: the first cut was made while the others were still unknown
        together = _places(values, len(found))
        found = [(place, p) for place, (_, p) in zip(together, found, strict=True)]
    return found, overall


def _test(values: Floats, *, rng: np.random.Generator, level: float, family: int) -> tuple[float, list[int]]:
    """p-value of no step against one or two, and their places."""
    if float(np.ptp(values)) == 0.0:
        return 1.0, []
    one = _permuted(values, _gain_of_one, rng, level * _ONE, family) / _ONE
    if one <= level or values.size < 3 * MIN_SIDE:
        return min(1.0, one), _places(values, 1) if one <= level else []
    two = _permuted(values, _gain_of_two, rng, level * _TWO, family) / _TWO
    return min(1.0, one, two), _places(values, 2) if two <= level else []


def _permuted(
    values: Floats, gain: Callable[..., Floats], rng: np.random.Generator, level: float, family: int
) -> float:
    """p-value of `gain`. Where few permutations find less than `level`, as many as the correction for `family` asks
    for are drawn anew, and they alone count."""
    needed = min(math.ceil(_FINENESS * family / level), _MOST_RESAMPLES)
    p = 1.0
    for resamples in (_RESAMPLES, needed) if needed > _RESAMPLES else (_RESAMPLES,):
        test = scipy.stats.permutation_test(
            (values,), gain, permutation_type="pairings", vectorized=True, n_resamples=resamples,
            alternative="greater", batch=max(1, 2_000_000 // values.size**2), rng=rng,
        )  # fmt: skip
        p = float(test.pvalue)
        if p > level:
            break
    return p


def _gain_of_one(x: Floats, axis: int = -1) -> Floats:
    """Sum of squares that the best single step takes away."""
    sums, n = _centred_sums(x, axis)
    sizes = np.arange(MIN_SIDE, n - MIN_SIDE + 1)
    inner = sums[..., sizes - 1]
    return np.asarray((np.square(inner) * (n / (sizes * (n - sizes)))).max(axis=-1))


def _gain_of_two(x: Floats, axis: int = -1) -> Floats:
    """The same of the best two steps."""
    sums, n = _centred_sums(x, axis)
    first, second = np.triu_indices(n + 1, MIN_SIDE)
    fits = (first >= MIN_SIDE) & (second <= n - MIN_SIDE)
    first, second = first[fits], second[fits]
    squares = np.square(sums)
    sizes = np.arange(1, n + 1)
    left, right = squares / sizes, squares / np.maximum(n - sizes, 1)
    middle = np.square(sums[..., second - 1] - sums[..., first - 1])
    middle /= second - first
    return np.asarray((left[..., first - 1] + middle + right[..., second - 1]).max(axis=-1))


def _centred_sums(x: Floats, axis: int) -> tuple[Floats, int]:
    moved = np.moveaxis(x, axis, -1)
    return np.cumsum(moved - moved.mean(axis=-1, keepdims=True), axis=-1), moved.shape[-1]


def _places(values: Floats, steps: int) -> list[int]:
    """Index of the first value after each of so many steps: those of least squares, by dynamic programming.

    The linear kernel's cost is the sum of squares; unlike `Dynp` it is compiled.
    """
    search = ruptures.KernelCPD(kernel="linear", min_size=MIN_SIDE).fit(values)
    return [int(end) for end in search.predict(n_bkps=steps)[:-1]]
