"""Rows of the table of targets: steps in histories of which the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kreabench.analysis.history import StepSearch, find_steps
from validity_rows import Measured, ValidityRow

RUNS = 40
EDGE = 4
"""Least runs on each side of a step."""
LEVEL = 0.05


def _search(values: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator) -> StepSearch:
    return find_steps([values], rng=rng, level=LEVEL)[0]


def flat(rng: np.random.Generator, experiments: int) -> Measured:
    """Histories of pure noise in which a step is found."""
    hits = sum(bool(_search(rng.standard_normal(RUNS), rng).steps) for _ in range(experiments))
    return Measured(hits=hits, experiments=experiments)


def step(size: float, within: int) -> Callable[[np.random.Generator, int], Measured]:
    """One step of `size` standard deviations of the noise between runs, found at most `within` runs off."""

    def simulate(rng: np.random.Generator, experiments: int) -> Measured:
        hits = 0
        for _ in range(experiments):
            at = int(rng.integers(EDGE, RUNS - EDGE + 1))
            values = rng.standard_normal(RUNS)
            values[at:] -= size
            hits += any(abs(found.after - at) <= within for found in _search(values, rng).steps)
        return Measured(hits=hits, experiments=experiments)

    return simulate


ROWS = (
    ValidityRow(
        name="history of 40 runs: a step of 4 sd between runs found at the right run",
        at_least=0.90,
        at_most=1.0,
        simulate=step(4.0, 0),
    ),
    ValidityRow(
        name="history of 40 runs: a step of 3 sd between runs found within one run",
        at_least=0.90,
        at_most=1.0,
        simulate=step(3.0, 1),
    ),
    ValidityRow(name="flat history of 40 runs with a step found", at_least=0.0, at_most=0.05, simulate=flat),
)
