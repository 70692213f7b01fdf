"""Do pictures of one day lie apart from those of earlier days? A permutation test on distances, prompt by prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.paired import Floats

RESAMPLES = 199_999
"""Relabellings drawn over all prompts; the least p-value that they can show is 1 / (RESAMPLES + 1)."""

MOST_TODAY, MOST_EARLIER = 3, 10
"""Drawings of a prompt that count on either side: of more there would be too many labellings to list."""

_TIE = 1e-9
"""Of the statistic: what sums of floats may be off, so that equal labellings count as equal."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawings:
    """All drawings of one prompt with one seed, those of today first."""

    distances: Floats
    """(drawings, drawings), symmetric, 0 on the diagonal and nowhere negative."""
    today: int
    """How many of them are of today."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Separation:
    """What the distances say."""

    between: float
    """Mean over prompts of the distances from today's to earlier drawings, in the unit of the distance."""
    within: float | None
    """The same among today's, and among the earlier ones; None where no prompt was drawn twice on a side."""
    p_value: float | None
    """Of today's drawings being no others than the earlier ones; None where no prompt could be tested."""
    least_p: float | None
    """Least p-value that any labelling of these drawings could have reached: above the level nothing can be shown."""
    prompts: int
    """Prompts in the test."""


def separation(prompts: Sequence[Drawings], *, rng: np.random.Generator) -> Separation:
    """Distances between days against distances within one side.

    Where nothing changed, the drawings of a prompt are exchangeable: any of them might as well have been today's. The
    statistic is the mean over prompts of between less within, each divided by the prompt's mean distance, so that all
    prompts weigh alike; it is large where today lies apart (cf. Székely and Rizzo's energy statistic, InterStat 2004).
    All labellings of a prompt are listed, and drawn independently from prompt to prompt; the p-value counts the one
    observed too (Phipson and Smyth, SAGMB 9, 2010), so that it errs on the safe side. Where none could lie farther
    apart than the observed one it is exact: with few drawings that is all that ever reaches the level.
    """
    tested = [values for one in prompts if (values := _statistics(one)) is not None]
    within = [value for one in prompts if (value := _within(one)) is not None]
    between = [float(one.distances[: one.today, one.today :].mean()) for one in prompts]
    p_value = least_p = None
    if tested:
        least_p = math.prod(float(np.mean(values >= values.max() - _TIE)) for values in tested)
        farthest = all(values[0] >= values.max() - _TIE for values in tested)
        p_value = least_p if farthest else _drawn(tested, rng)
    return Separation(
        between=float(np.mean(between)) if between else 0.0,
        within=float(np.mean(within)) if within else None,
        p_value=p_value,
        least_p=least_p,
        prompts=len(tested),
    )


def _drawn(tested: Sequence[Floats], rng: np.random.Generator) -> float:
    """p-value of the first labelling of every prompt, by drawing others."""
    observed = sum(float(values[0]) for values in tested)
    total = np.zeros(RESAMPLES)
    for values in tested:
        total += values[rng.integers(values.size, size=RESAMPLES)]
    return float((1 + np.count_nonzero(total >= observed - _TIE)) / (RESAMPLES + 1))


def _statistics(one: Drawings) -> Floats | None:
    """Of every labelling of one prompt, the observed one first; None where nothing could be compared."""
    size = one.distances.shape[0]
    if size < 3 or not 0 < one.today < size:
        return None
    pairs = np.triu_indices(size, 1)
    upper = one.distances[pairs]
    scale = float(upper.mean())
    chosen = np.array(list(combinations(range(size), one.today)))
    labels = np.zeros((len(chosen), size), dtype=bool)
    labels[np.arange(len(chosen))[:, None], chosen] = True
    across: NDArray[np.bool_] = labels[:, pairs[0]] != labels[:, pairs[1]]
    if scale == 0.0:
        return np.zeros(len(labels))
    between = (across * upper).sum(axis=1) / across.sum(axis=1)
    within = (~across * upper).sum(axis=1) / (~across).sum(axis=1)
    return np.asarray((between - within) / scale)


def _within(one: Drawings) -> float | None:
    """Mean distance among today's drawings, and among the earlier ones."""
    parts = [one.distances[: one.today, : one.today], one.distances[one.today :, one.today :]]
    values = np.concatenate([part[np.triu_indices(part.shape[0], 1)] for part in parts])
    return float(values.mean()) if values.size else None
