"""Several tests at once: p-values corrected so that the whole family errs at the level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float | None], *, others: int = 0) -> tuple[float | None, ...]:
    """Holm's correction (Scandinavian Journal of Statistics 6, 1979) over all that is not None, in the order given.

    It holds however the tests depend on each other. What was not tested (None) stays None and costs nothing. `others`
    tests belong to the family too, of which nothing is claimed any more: they count as p-values of 1.
    """
    tested = [p for p in p_values if p is not None]
    family = [*tested, *[1.0] * others]
    corrected = iter(_corrected(family) if len(family) > 1 else family)
    return tuple(None if p is None else next(corrected) for p in p_values)


def _corrected(p_values: Sequence[float]) -> list[float]:
    """Of smallest p the greatest factor; none becomes smaller than one that was smaller."""
    p = np.asarray(p_values)
    order = np.argsort(p)
    stepped = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    corrected = np.empty_like(stepped)
    corrected[order] = stepped
    found: list[float] = corrected.tolist()
    return found
