"""The look of a picture in numbers that need no weights: colours, clipping, blur, sharpness, noise.

None of them is better high or low: what tells is the shift from the reference setting's picture of the same prompt and
seed, at equal size. Together they show the "AI look": saturated, with soft backgrounds and waxy textures.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.luma import Planes, PlanesCache
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from numpy import float32, floating
    from numpy.typing import NDArray

VERSION = 1
"""Of all of them; raised when the same picture would score differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookOptions:
    """There is nothing to choose: values are compared between runs."""


class _Look(ABC):
    """What they share: one picture at a time, arrays made once, and a bad picture costing only its own score."""

    MIN_SIDE_PX = 1
    """Of the shorter side."""

    def __init__(self, **options: Any) -> None:
        self._options = LookOptions(**options)
        self._cache = PlanesCache()
        self.needs: tuple[Need, ...] = ()

    def open(self, shared: Shared) -> dict[str, Any]:
        """The identity: version and constants. Arrays of pictures are shared with the other statistics of look."""
        self._cache = shared.encoder(PlanesCache, PlanesCache)
        return {"version": VERSION, **self._constants()}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item; references are not looked at."""
        return [self._score_one(item) for item in items]

    def close(self) -> None:
        """Drop its own arrays; those that are shared belong to whoever made `shared`."""
        self._cache = PlanesCache()

    def _constants(self) -> dict[str, Any]:
        """What else decides a score."""
        return {}

    @abstractmethod
    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        """The value of a picture that is large enough, and its named parts."""

    def _score_one(self, item: ScoreItem) -> Score:
        width, height = item.image.size
        if min(width, height) < self.MIN_SIDE_PX:
            reason = f"{width}×{height} pixels: it needs at least {self.MIN_SIDE_PX} a side"
            return Score(status="not_applicable", value=None, reason=reason)
        try:
            value, details = self._measure(self._cache.planes(item.image, item.sha256))
        except Exception as error:  # one bad picture must not cost the others their score
            return failed(one_line(error))
        return Score(status="ok", value=value, details=details)


class Colourfulness(_Look):
    """Hasler and Süsstrunk, "Measuring colourfulness in natural images" (SPIE 5007, 2003), their metric M⁽³⁾.

    √(σ²rg + σ²yb) + 0.3 · √(μ²rg + μ²yb) with rg = R − G and yb = (R + G)/2 − B in levels: 0 for greys, 109 for what
    people call extremely colourful.
    """

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        import numpy as np

        red, green, blue = (planes.rgb[:, :, channel].astype(np.float32) for channel in range(3))
        rg, yb = red - green, (red + green) / 2 - blue
        spread, mean = math.hypot(_deviation(rg), _deviation(yb)), math.hypot(_mean(rg), _mean(yb))
        return spread + 0.3 * mean, {"spread": spread, "mean": mean}


class Saturation(_Look):
    """Mean over pixels of the S of HSV: (max − min) / max of the three channels, 0 for black."""

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        import numpy as np

        high, low = _extremes(planes)
        share = (high - low) / np.maximum(high, 1).astype(np.float32)
        return min(_mean(share), 1.0), {}


class Clipping(_Look):
    """Share of pixels crushed to black (all channels ≤ 2) or burnt out to white (all channels ≥ 253).

    All three channels, as a saturated colour has one at its end without anything being lost; two levels of slack, as
    JPEG moves them that far.
    """

    SLACK = 2

    def _constants(self) -> dict[str, Any]:
        return {"slack": self.SLACK}

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        high, low = _extremes(planes)
        crushed, burnt = float((high <= self.SLACK).mean()), float((low >= 255 - self.SLACK).mean())
        return crushed + burnt, {"crushed": crushed, "burnt_out": burnt}


class LaplacianVariance(_Look):
    """Variance of the luma's Laplacian (four neighbours less four times the pixel) over all but the border pixels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000).
    """

    MIN_SIDE_PX = 3

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        return _deviation(_laplacian(planes.luma)) ** 2, {}


class BlurredTiles(_Look):
    """Share of the tiles whose Laplacian varies by less than `LEAST_VARIANCE`: no detail, hardly any noise.

    Tiles are squares of a sixteenth of the shorter side, but at least 8 pixels, so that they show the same part of the
    scene at every size from 128 px up; what is left over at the borders is cut off evenly. 25 levels² is the variance
    that noise of a standard deviation of 1.1 levels has by itself (20 σ²): a blurred background lies below, skin with
    pores and film grain above. Detail shrinks with size, so only pictures of equal size compare.
    """

    MIN_SIDE_PX = 16
    TILES = 16
    """Along the shorter side, where that has 128 pixels or more."""
    MIN_TILE_PX = 8
    LEAST_VARIANCE = 25.0

    def _constants(self) -> dict[str, Any]:
        return {"tiles": self.TILES, "min_tile_px": self.MIN_TILE_PX, "least_variance": self.LEAST_VARIANCE}

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        laplacian = _laplacian(planes.luma)
        side = max(self.MIN_TILE_PX, min(planes.luma.shape) // self.TILES)
        rows, columns = (length // side for length in laplacian.shape)
        top, left = (laplacian.shape[0] - rows * side) // 2, (laplacian.shape[1] - columns * side) // 2
        inner = laplacian[top : top + rows * side, left : left + columns * side]
        variances = inner.reshape(rows, side, columns, side).var(axis=(1, 3))
        return float((variances < self.LEAST_VARIANCE).mean()), {"tiles": float(rows * columns)}


class BlurEffect(_Look):
    """How little a picture loses by being blurred once more, the worse of both directions.

    Crété-Roffet et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric"
    (SPIE 6492, 2007): scikit-image's `blur_effect` on the luma.
    """

    MIN_SIDE_PX = 16
    FILTER_PX = 11

    def _constants(self) -> dict[str, Any]:
        return {"filter_px": self.FILTER_PX}

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        from skimage.measure import blur_effect

        value = float(blur_effect(planes.luma / 255, h_size=self.FILTER_PX))
        return min(max(value, 0.0), 1.0), {}


class NoiseSigma(_Look):
    """Standard deviation of the noise in levels, the mean over the three channels, by scikit-image.

    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage" (Biometrika 81, 1994): from the median of the
    finest diagonal detail of a wavelet transform. A channel without any detail has no noise.
    """

    MIN_SIDE_PX = 16

    def _measure(self, planes: Planes) -> tuple[float, dict[str, float]]:
        import numpy as np
        from skimage.restoration import estimate_sigma

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the median of no detail at all, which is NaN
            sigmas = estimate_sigma(planes.rgb.astype("float64"), channel_axis=-1)
        return float(np.mean(np.nan_to_num(sigmas))), {}


def _extremes(planes: Planes) -> tuple[Any, Any]:
    """The highest and the lowest channel of each pixel."""
    import numpy as np

    red, green, blue = (planes.rgb[:, :, channel] for channel in range(3))
    return np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)


def _laplacian(luma: NDArray[float32]) -> NDArray[float32]:
    """Of all pixels that have four neighbours."""
    inner: NDArray[float32] = luma[1:-1, 1:-1] * -4
    inner += luma[:-2, 1:-1]
    inner += luma[2:, 1:-1]
    inner += luma[1:-1, :-2]
    inner += luma[1:-1, 2:]
    return inner


def _mean(x: NDArray[floating[Any]]) -> float:
    """In double precision, whatever the size of the picture."""
    return float(x.mean(dtype="float64"))


def _deviation(x: NDArray[floating[Any]]) -> float:
    """Of the whole population."""
    return float(x.std(dtype="float64"))
