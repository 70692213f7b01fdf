"""What one row of the table of targets is made of; see `benchmarks/validity.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint

CHEAP = 4
"""Times as many experiments of every row that is cheap: 2,000 at the least number."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How often something happened in simulated experiments of which the truth is known."""

    hits: int
    experiments: int

    @property
    def rate(self) -> float:
        return self.hits / self.experiments

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval (Clopper and Pearson)."""
        low, high = proportion_confint(self.hits, self.experiments, alpha=0.05, method="beta")
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class ValidityRow:
    """One promise about what decisions do on known truth."""

    name: str
    at_least: float
    """0 where only the upper end counts."""
    at_most: float
    """1 where only the lower end counts."""
    simulate: Callable[[np.random.Generator, int], Measured]
    """With so many experiments; the code that users run is what is called in there."""
