"""Student's t test, as `scipy.stats.ttest_1samp` makes it: of one sample, without loading all of `scipy.stats`."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special


def t_test(values: NDArray[np.float64], alternative: Literal["two-sided", "less"] = "two-sided") -> float:
    """p-value of a mean of 0 (`less`: of at least 0), of at least two values that are not all equal."""
    n = values.size
    t = float(values.mean()) / math.sqrt(float(np.var(values, ddof=1)) / n)
    return float(special.stdtr(n - 1, t)) if alternative == "less" else 2 * float(special.stdtr(n - 1, -abs(t)))
