"""Knees: where a curve of quality over steps bends, so that more steps begin to buy little, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kreabench.analysis.paired import Floats

MIN_POINTS = 4
"""Fewer show no bend."""
MIN_SHARE = 0.5
"""Of the resamples in which the knee is at that very point; below it, no knee is told."""
MIN_SURE = 0.975
"""Of the resamples in which the last point is better than the first, and in which the curve lies above its chord:
noise bends flat and straight lines too, of which about one in 40 passes."""
ROUNDING = 1e-9
"""Of the range of a curve: a smaller bend is an error of floating point."""


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

    if x.size < MIN_POINTS or not np.isfinite(y).all() or y[-1] <= y[0] or bend(x, y) <= ROUNDING * np.ptp(y):
        return None
    knee = KneeLocator(x, y, S=1.0, curve="concave", direction="increasing").knee
    index = 0 if knee is None else int(np.searchsorted(x, knee))
    return index if 0 < index < x.size - 1 else None


def bend(x: Floats, y: Floats) -> Floats:
    """How far curves (…, points) lie above their chords, which join the first point to the last: mean over points."""
    share = (x - x[0]) / (x[-1] - x[0])
    chord = y[..., :1] + share * (y[..., -1:] - y[..., :1])
    return np.asarray((y - chord).mean(axis=-1))


def sure_knee(x: Floats, y: Floats, drawn: Floats) -> Knee | None:
    """The knee of `y` over `x`, where most resamples `drawn` (draws, points) agree on it; None where they do not.

    More of `y` is better. That the curve rises, and that it bends at all, must be established by the resamples too.
    """
    index = find_knee(x, y)
    if index is None or not len(drawn):
        return None
    if min((drawn[:, -1] > drawn[:, 0]).mean(), (bend(x, drawn) > ROUNDING * np.ptp(y)).mean()) < MIN_SURE:
        return None
    agreeing, needed = 0, MIN_SHARE * len(drawn)
    for number, one in enumerate(drawn):
        agreeing += find_knee(x, one) == index
        if agreeing + len(drawn) - number - 1 < needed:
            return None
    return Knee(index=index, share=agreeing / len(drawn), gain_share=float((y[index] - y[0]) / (y[-1] - y[0])))
