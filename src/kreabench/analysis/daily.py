"""Looking every day: how sure one day must be so that false alarms stay rare, and what is unusual for a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

DAYS_PER_YEAR = 365.25

PRIOR_SD, PRIOR_DF = 0.15, 10.0
"""What is believed of a hosted service before it is known: daily median latencies differ by about 15 %, a belief that
weighs as much as ten days. It is a guess; the service's own days outweigh it after some weeks."""


def daily_level(false_alarms_per_year: float, kinds: int) -> float:
    """Level of each of `kinds` tests of a day, so that so many false alarms a year are expected of all together.

    Expectations add up however the tests depend on each other, so this holds for days compared with the same past.
    """
    return false_alarms_per_year / DAYS_PER_YEAR / kinds


@dataclass(frozen=True, kw_only=True, slots=True)
class Unusual:
    """A day's value beside those of earlier days."""

    ratio: float
    """The value over the geometric mean of the earlier ones."""
    limit: float
    """Ratio above which it would be unusually large; below 1 / `limit` it would be unusually small."""
    p_large: float
    """One-sided, of a day like the others being this large."""
    p_small: float


def unusual(value: float, earlier: Sequence[float], *, level: float) -> Unusual:
    """Is `value` unusual among `earlier` days, at least one? All are positive.

    Logarithms of daily values scatter as a normal distribution of unknown standard deviation, about which `PRIOR_SD`
    and `PRIOR_DF` say something beforehand: the moderated t of Smyth (SAGMB 3, 2004), as a prediction of one more day.
    """
    logs = np.log(np.asarray(earlier, dtype=float))
    own = logs.size - 1
    variance = float(np.var(logs, ddof=1)) if own else 0.0
    df = PRIOR_DF + own
    sd = np.sqrt((PRIOR_DF * PRIOR_SD**2 + own * variance) / df * (1 + 1 / logs.size))
    away = float(np.log(value) - logs.mean())
    return Unusual(
        ratio=float(np.exp(away)),
        limit=float(np.exp(-scipy.special.stdtrit(df, level) * sd)),
        p_large=float(scipy.special.stdtr(df, -away / sd)),
        p_small=float(scipy.special.stdtr(df, away / sd)),
    )
