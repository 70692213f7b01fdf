"""Several tests at once: p-values corrected so that the whole family errs at the level."""

from __future__ import annotations

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's correction (Scandinavian Journal of Statistics 6, 1979) over all that is not None, in the order given.

    It holds however the tests depend on each other. What was not tested (None) stays None and costs nothing.
    """
    tested = [p for p in p_values if p is not None]
    corrected = iter(multipletests(tested, method="holm")[1] if tested else ())
    return tuple(None if p is None else float(next(corrected)) for p in p_values)
