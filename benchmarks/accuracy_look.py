"""Checks of the statistics of look; see `metrics_accuracy.py`.

Against other libraries or the published formula in double precision, on pictures sharp, blurred, noisy, compressed,
brightened, and of so much contrast that much of them is clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageEnhance

from accuracy_check import Check, item, opened, pairs, pictures, scores
from kreabench.metrics.base import ScoreItem

SIZES = ((64, 64), (96, 64), (161, 203), (256, 208), (403, 271))
STRONG = 4.0
"""Contrast with which about half of the pixels are clipped."""

Levels = NDArray[np.float64]


@cache
def _items() -> tuple[ScoreItem, ...]:
    strong = [item(ImageEnhance.Contrast(picture).enhance(STRONG)) for picture in pictures(SIZES[:3])]
    return (*pairs(SIZES), *strong)


def _check(metric: str, against: str, theirs: Callable[[Image.Image], float]) -> Check:
    ours = scores(opened(metric), _items())
    values = tuple((value, theirs(one.image)) for value, one in zip(ours, _items(), strict=True))
    return Check(metric=metric, against=against, values=values)


def _grey(image: Image.Image) -> Levels:
    """Luma of ITU-R BT.601."""
    levels: Levels = np.asarray(image, dtype=np.float64) @ [0.299, 0.587, 0.114]
    return levels


def colourfulness() -> Check:
    """Against the formula of Hasler and Süsstrunk, with moments about 0."""

    def theirs(image: Image.Image) -> float:
        red, green, blue = np.asarray(image, dtype=np.float64).reshape(-1, 3).T
        axes = np.stack([red - green, (red + green) / 2 - blue])
        means = axes.mean(axis=1)
        variances = (axes**2).mean(axis=1) - means**2
        return float(np.sqrt(variances.sum()) + 0.3 * np.sqrt((means**2).sum()))

    return _check("colourfulness", "the authors' formula, in double precision", theirs)


def saturation() -> Check:
    """Against scikit-image's HSV."""
    from skimage.color import rgb2hsv

    def theirs(image: Image.Image) -> float:
        return float(np.mean(rgb2hsv(np.asarray(image))[:, :, 1], dtype=np.float64))

    return _check("saturation", "scikit-image's HSV", theirs)


def clipping() -> Check:
    """Against histograms of Pillow's lightest and darkest channel."""

    def theirs(image: Image.Image) -> float:
        red, green, blue = image.split()
        lightest = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
        darkest = ImageChops.darker(ImageChops.darker(red, green), blue).histogram()
        return (sum(lightest[:3]) + sum(darkest[253:])) / (image.width * image.height)

    return _check("clipping", "Pillow's histograms", theirs)


def _laplacian(image: Image.Image) -> Levels:
    """Of all pixels but those at the border."""
    from scipy import ndimage

    found: Levels = ndimage.laplace(_grey(image))[1:-1, 1:-1]
    return found


def laplacian_variance() -> Check:
    """Against scipy."""
    return _check("laplacian_variance", "scipy, in double precision", lambda image: float(_laplacian(image).var()))


def blurred_tiles() -> Check:
    """Against scipy, tile by tile."""

    def theirs(image: Image.Image) -> float:
        found = _laplacian(image)
        side = max(8, min(image.size) // 16)
        starts = [range(length % side // 2, length - side + 1, side) for length in found.shape]
        tiles = [found[y : y + side, x : x + side] for y in starts[0] for x in starts[1]]
        return sum(float(np.var(tile)) < 25.0 for tile in tiles) / len(tiles)

    return _check("blurred_tiles", "scipy, tile by tile", theirs)


def blur_effect() -> Check:
    """Against Crété-Roffet's formula with Sobel's gradient, as scikit-image has it, in double precision."""
    from scipy import ndimage

    def along(grey: Levels, axis: int) -> float:
        blurred = ndimage.uniform_filter1d(grey, 11, axis=axis)
        sharp, soft = (np.abs(ndimage.sobel(one, axis=axis))[2:-1, 2:-1] for one in (grey, blurred))
        lost = np.maximum(sharp - soft, 0).sum()
        return float((sharp.sum() - lost) / sharp.sum())

    def theirs(image: Image.Image) -> float:
        return max(along(_grey(image), axis) for axis in (0, 1))

    return _check("blur_effect", "the formula, with scipy", theirs)


def noise_sigma() -> Check:
    """Against Donoho and Johnstone's estimate with PyWavelets."""
    import pywt  # type: ignore[import-untyped]
    from scipy.stats import norm

    def channel(levels: Any) -> float:
        _, (_, _, diagonal) = pywt.dwt2(levels.astype(np.float64), "db2")
        return float(np.median(np.abs(diagonal[diagonal != 0])) / norm.ppf(0.75))

    def theirs(image: Image.Image) -> float:
        return float(np.mean([channel(levels) for levels in np.asarray(image).transpose(2, 0, 1)]))

    return _check("noise_sigma", "PyWavelets", theirs)
