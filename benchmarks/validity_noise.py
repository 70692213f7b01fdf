"""Simulated scores of two versions, of which the true loss is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kreabench.analysis.paired import PairedScores, pair_scores

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
"""Numbers of mean 0 and standard deviation 1."""

_SIGMA = 0.385
"""Of a log-normal distribution of skewness 1.25."""
_LOGNORMAL_MEAN, _LOGNORMAL_SD = float(stats.lognorm(_SIGMA).mean()), float(stats.lognorm(_SIGMA).std())


def _gamma(rng: np.random.Generator, size: tuple[int, ...], *, skewness: float) -> NDArray[np.float64]:
    shape = (2 / skewness) ** 2
    return np.asarray((rng.gamma(shape, size=size) - shape) / np.sqrt(shape), dtype=np.float64)


def _lognormal(rng: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.float64]:
    return (rng.lognormal(0.0, _SIGMA, size) - _LOGNORMAL_MEAN) / _LOGNORMAL_SD


def _heavy(rng: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(rng.standard_t(4, size) / np.sqrt(2), dtype=np.float64)


KINDS: Mapping[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed (gamma, 1.0)": partial(_gamma, skewness=1.0),
    "skewed (gamma, 1.5)": partial(_gamma, skewness=1.5),
    "skewed (log-normal, 1.25)": _lognormal,
    "heavy-tailed (t, 4 df)": _heavy,
}
"""Of skewed ones the skewness."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How the scores of pictures scatter, in units of the scatter from seed to seed."""

    kind: str = "normal"
    """Of KINDS."""
    prompt_sd: float = 2.0
    """Of what a prompt does to both versions."""
    change_sd: float = 0.7
    """Of what the new version does to a prompt, around its mean loss. 0 for two equal versions."""
    seed_sd: float = 1.0
    correlation: float = 0.5
    """Of two metrics of one picture."""
    missing: float = 0.0
    """Share of scores without a value, at random."""

    def pairs(
        self,
        rng: np.random.Generator,
        losses: tuple[float, ...],
        *,
        prompts: int = 25,
        seeds: int = 4,
    ) -> tuple[PairedScores, ...]:
        """One paired metric a loss, with its true mean loss. A skewed loss is borne by few prompts."""
        draw, metrics = KINDS[self.kind], len(losses)
        effect = self.prompt_sd * self._correlated(rng, draw, (metrics, prompts, 1))
        change = -np.asarray(losses)[:, None, None] - self.change_sd * self._correlated(
            rng, draw, (metrics, prompts, 1)
        )
        scores = [
            effect + shift + self.seed_sd * self._correlated(rng, draw, (metrics, prompts, seeds))
            for shift in (0.0, change)
        ]
        for version in scores:
            version[rng.random(version.shape) < self.missing] = np.nan
        names = np.repeat(np.array([f"p{n:04d}" for n in range(prompts)], dtype=object), seeds)
        return tuple(
            pair_scores(base.ravel(), candidate.ravel(), names) for base, candidate in zip(*scores, strict=True)
        )

    def _correlated(self, rng: np.random.Generator, draw: Draw, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Mean 0, standard deviation 1; along the first axis correlated by what all metrics see alike."""
        own = draw(rng, size)
        if size[0] == 1:
            return own
        common = draw(rng, size[1:])
        mixed = np.sqrt(self.correlation) * common + np.sqrt(1 - self.correlation) * own
        return np.asarray(mixed, dtype=np.float64)
