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
