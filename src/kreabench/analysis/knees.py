"""Knees: where a curve of quality over steps bends, so that more steps begin to buy little, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kreabench.analysis.paired import Floats

MIN_POINTS = 4
"""Fewer show no bend."""
MIN_SHARE = 0.5
"""Of the resamples in which the knee is at that very point; below it, no knee is told."""
MIN_GAIN_SHARE = 0.975
"""Of the resamples in which the last point is better than the first: of a flat line, whose noise has bends too, about
one in 40 passes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Knee:
    """A bend."""

    index: int
    """Of the point."""
    share: float
    """Of the resamples that have their knee there."""
    gain_share: float
    """How much of the whole gain from the first to the last point is made at the knee; a share of 1."""


def find_knee(x: Floats, y: Floats) -> int | None:
    """Index of the knee of a curve that rises ever more slowly; None where it does not rise or does not bend.

    Kneedle (Satopää, Albrecht, Irwin, Raghavan, "Finding a 'Kneedle' in a Haystack", ICDCSW 2011) with S = 1, of the
    package kneed. `x` ascends, more of `y` is better.
    """
    from kneed import KneeLocator

    if x.size < MIN_POINTS or not np.isfinite(y).all() or y[-1] <= y[0]:
        return None
    knee = KneeLocator(x, y, S=1.0, curve="concave", direction="increasing").knee
    return None if knee is None else int(np.searchsorted(x, knee))


def sure_knee(x: Floats, y: Floats, drawn: Floats) -> Knee | None:
    """The knee of `y` over `x`, where most resamples `drawn` (draws, points) agree on it; None where they do not.

    More of `y` is better. That the whole curve rises must be established by the resamples too.
    """
    index = find_knee(x, y)
    if index is None or not len(drawn) or float((drawn[:, -1] > drawn[:, 0]).mean()) < MIN_GAIN_SHARE:
        return None
    agreeing, needed = 0, MIN_SHARE * len(drawn)
    for number, one in enumerate(drawn):
        agreeing += find_knee(x, one) == index
        if agreeing + len(drawn) - number - 1 < needed:
            return None
    return Knee(index=index, share=agreeing / len(drawn), gain_share=float((y[index] - y[0]) / (y[-1] - y[0])))
