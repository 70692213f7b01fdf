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
    return _sigma(diagonal_detail(plane))


def mean_noise_sigma(picture: NDArray[Any]) -> float:
    """The mean of `noise_sigma` over the channels of a picture of height × width × channels."""
    detail = diagonal_detail(picture)  # of all channels at once, which for small pictures takes a third of the time
    sigmas = [_sigma(detail[:, :, channel]) for channel in range(detail.shape[2])]
    return sum(sigmas) / len(sigmas)


def _sigma(detail: NDArray[float64]) -> float:
    import numpy as np

    size = np.abs(detail)
    size = size[size > _NOTHING]
    return float(np.median(size)) / NORMAL_MAD if size.size else 0.0


def diagonal_detail(picture: NDArray[Any]) -> NDArray[float64]:
    """Detail of the finest scale along the first two axes, with the picture mirrored at its borders."""
    import numpy as np

    rows = _along_first(np.asarray(picture, dtype=np.float64))
    return np.swapaxes(_along_first(np.swapaxes(rows, 0, 1)), 0, 1)


def _along_first(x: NDArray[float64]) -> NDArray[float64]:
    """Every second value of the convolution with the filter along the first axis."""
    import numpy as np

    taps = len(HIGH_PASS)
    padded = np.pad(x, ((taps - 1, taps - 1), *((0, 0),) * (x.ndim - 1)), mode="symmetric")
    count = (x.shape[0] + taps - 1) // 2
    total = np.zeros((count, *x.shape[1:]))
    for j, tap in enumerate(HIGH_PASS):  # of the output k the tap j meets the value 2 k + 1 − j
        total += tap * padded[taps - j : taps - j + 2 * count - 1 : 2]
    return total
