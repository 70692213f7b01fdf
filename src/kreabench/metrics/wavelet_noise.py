"""The standard deviation of a picture's noise, from the finest diagonal detail of its wavelet transform.

Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage" (Biometrika 81, 1994), with Daubechies' wavelet of
four taps: what `skimage.restoration.estimate_sigma` computes, which needs PyWavelets for these four numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_ROOT = math.sqrt(3)
HIGH_PASS = tuple(tap / (4 * math.sqrt(2)) for tap in (-(1 + _ROOT), 3 + _ROOT, -(3 - _ROOT), 1 - _ROOT))
"""Of the wavelet `db2`."""

NORMAL_MAD = 0.6744897501960817
"""Median absolute value of the standard normal distribution."""

_NOTHING = 1e-9
"""Coefficients below are zeros with rounding errors: flat areas, which say nothing of noise and are left out."""


def noise_sigma(plane: NDArray[Any]) -> float:
    """Standard deviation of the noise of one channel, in its own unit; 0 where it has no detail at all."""
    import numpy as np

    detail = np.abs(diagonal_detail(plane))
    detail = detail[detail > _NOTHING]
    return float(np.median(detail)) / NORMAL_MAD if detail.size else 0.0


def diagonal_detail(plane: NDArray[Any]) -> NDArray[float64]:
    """Detail of the finest scale along both axes, with the picture mirrored at its borders."""
    import numpy as np

    return _along_rows(_along_rows(np.asarray(plane, dtype=np.float64)).T).T


def _along_rows(x: NDArray[float64]) -> NDArray[float64]:
    """Every second value of each column's convolution with the filter."""
    import numpy as np

    taps = len(HIGH_PASS)
    padded = np.pad(x, ((taps - 1, taps - 1), (0, 0)), mode="symmetric")
    count = (x.shape[0] + taps - 1) // 2
    # Of the output k the tap j meets the value 2 k + 1 − j.
    parts = (tap * padded[taps - j : taps - j + 2 * count - 1 : 2] for j, tap in enumerate(HIGH_PASS))
    total: NDArray[float64] = sum(parts, np.zeros((count, x.shape[1])))
    return total
