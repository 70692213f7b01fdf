"""Bootstrap over prompts: every setting sees the same resampled prompts, as settings share their prompts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kreabench.analysis.paired import Floats, Ints

DRAWS = 1000
"""A share of 0.95 is then known to ± 0.014."""
_CELLS = 4_000_000
"""Numbers worked on at once."""


def prompt_weights(rng: np.random.Generator, prompts: int, draws: int) -> Floats:
    """(draws, prompts): how often each prompt is in each resample, drawn with replacement."""
    return rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=draws).astype(float)


def resampled_means(values: Floats, prompts: Ints, weights: Floats) -> Floats:
    """(draws,) mean of one value a prompt over the resampled prompts; NaN where none of them has one."""
    chosen = weights[:, prompts]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(chosen @ values / chosen.sum(axis=1))


def resampled_medians(values: Floats, prompts: Ints, weights: Floats) -> Floats:
    """(draws,) median of values of which `prompts` names the prompt; NaN where no resampled prompt has one."""
    if not values.size:
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    ordered, codes = values[order], prompts[order]
    return np.concatenate([_medians(ordered, part[:, codes]) for part in _parts(weights, values.size)])


def _parts(weights: Floats, size: int) -> Iterator[Floats]:
    rows = max(1, _CELLS // size)
    for start in range(0, len(weights), rows):
        yield weights[start : start + rows]


def _medians(ordered: Floats, weights: Floats) -> Floats:
    total = np.cumsum(weights, axis=1)
    half = total[:, -1:] / 2
    last = ordered.size - 1
    lower = np.minimum((total < half).sum(axis=1), last)
    upper = np.minimum((total <= half).sum(axis=1), last)
    return np.where(half[:, 0] > 0, (ordered[lower] + ordered[upper]) / 2, np.nan)
