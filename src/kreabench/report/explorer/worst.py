"""Pairs of pictures in which a setting lost most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.scores import finite_scores
from kreabench.report.explorer.data import QuantityData
from kreabench.report.explorer.samples import Ints, Samples

MAX_WORST = 20
"""Of each quantity."""

_SIGN = {"higher": 1.0, "lower": -1.0}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Losses:
    """How much worse each picture is than its reference's, by one quantity."""

    quantity: str
    loss: NDArray[np.float64]
    """Setting × unit; -inf where there is no pair, or where nothing was lost."""

    def worst(self, number: int) -> Iterator[tuple[int, int, float]]:
        """Setting, unit and loss of the `number` greatest."""
        flat = self.loss.ravel()
        for place in np.argsort(-flat, kind="stable")[:number].tolist():
            if np.isfinite(flat[place]):
                setting, unit = divmod(place, self.loss.shape[1])
                yield setting, unit, float(flat[place])

    def units(self) -> list[int]:
        """Numbers of the units with a loss, the greatest first."""
        if not self.loss.size:
            return []
        greatest = self.loss.max(axis=0)
        order: Ints = np.argsort(-greatest, kind="stable")
        return [int(unit) for unit in order if np.isfinite(greatest[unit])]


def losses_of(samples: Samples, quantities: Sequence[QuantityData]) -> tuple[Losses, ...]:
    """Of every metric with a better side: quality against the reference's picture; fidelity is already such a loss."""
    pairs = _pairs(samples)
    found = []
    for quantity in quantities:
        if quantity.name not in samples.metrics or quantity.better == "neither":
            continue
        own = finite_scores(samples.rows, samples.metrics[quantity.name])[samples.places]
        loss = -_SIGN[quantity.better] * own
        if quantity.kind != "fidelity":
            loss = loss - loss[samples.references]
            loss[~(loss > 0)] = -np.inf
        found.append(Losses(quantity=quantity.name, loss=np.where(pairs & np.isfinite(loss), loss, -np.inf)))
    return tuple(found)


def _pairs(samples: Samples) -> NDArray[np.bool_]:
    """Setting × unit: whether a picture and its reference's, another one, were delivered."""
    delivered, numbers = samples.delivered, np.arange(len(samples.settings))
    other = (samples.references >= 0) & (samples.references != numbers)
    return np.asarray(delivered & delivered[samples.references] & other[:, None], dtype=bool)
