"""Pareto fronts: which settings are best in some mixture of two or three respects, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.paired import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Dominator:
    """What is at least as good in every respect, and better in one."""

    index: int
    probability: float
    """Share of the resamples in which it dominates."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrontResult:
    """One entry a point, in the order given."""

    on_front: NDArray[np.bool_]
    """By the point estimates; equal points are all on it."""
    probability: Floats
    """Share of the resamples in which nothing dominates the point."""
    dominators: tuple[Dominator | None, ...]
    """Of a dominated point: the one of those which dominate it by the point estimates that does so most often."""


def find_front(values: Floats, resampled: Floats, maximise: Sequence[bool]) -> FrontResult:
    """Non-dominated points of `values` (points, axes), `moocore.is_nondominated`; all finite.

    `resampled` is (draws, points, axes). A point without a value in a resample is dominated in it.
    """
    signs = np.where(np.asarray(maximise, dtype=bool), -1.0, 1.0)
    costs, drawn = values * signs, resampled * signs
    lost: NDArray[np.bool_] = np.asarray(np.isnan(drawn).any(axis=2))
    drawn = np.where(lost[:, :, None], np.inf, drawn)
    on: NDArray[np.bool_] = _nondominated(costs)
    shares = np.mean([_nondominated(points) & ~gone for points, gone in zip(drawn, lost, strict=True)], axis=0)
    return FrontResult(
        on_front=on,
        probability=np.asarray(shares, dtype=float),
        dominators=tuple(None if here else _dominator(costs, drawn, index) for index, here in enumerate(on)),
    )


def _nondominated(costs: Floats) -> NDArray[np.bool_]:
    on: NDArray[np.bool_] = moocore.is_nondominated(costs, keep_weakly=True)
    return on


def _dominator(costs: Floats, drawn: Floats, index: int) -> Dominator:
    better = np.flatnonzero((costs <= costs[index]).all(axis=1) & (costs < costs[index]).any(axis=1))
    one = drawn[:, index : index + 1, :]
    others = drawn[:, better, :]
    shares = ((others <= one).all(axis=2) & (others < one).any(axis=2)).mean(axis=0)
    best = int(np.argmax(shares))
    return Dominator(index=int(better[best]), probability=float(shares[best]))


def front_shares(x: Floats, y: Floats) -> Floats:
    """(points,) share of the draws in which nothing dominates a point; `x` and `y` are (draws, points), less is better.

    As `FrontResult.probability` of two axes, for many draws at once: sorted by x and then y, a point is dominated where
    one with a smaller x has no greater y, or one with its x a smaller y. A point with a NaN is dominated in that draw.
    """
    lost: NDArray[np.bool_] = np.isnan(x) | np.isnan(y)
    x, y = np.where(lost, np.inf, x), np.where(lost, np.inf, y)
    order = np.lexsort((y, x), axis=-1)
    xs, ys = np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
    first = np.ones(xs.shape, dtype=bool)
    first[:, 1:] = xs[:, 1:] != xs[:, :-1]
    group = np.maximum.accumulate(np.where(first, np.arange(xs.shape[1]), 0), axis=1)
    least_before = np.full(ys.shape, np.inf)
    np.minimum.accumulate(ys[:, :-1], axis=1, out=least_before[:, 1:])
    beaten = np.take_along_axis(least_before, group, axis=1) <= ys
    beaten |= np.take_along_axis(ys, group, axis=1) < ys
    on = np.empty_like(beaten)
    np.put_along_axis(on, order, ~beaten, axis=1)
    return np.asarray((on & ~lost).mean(axis=0), dtype=float)
