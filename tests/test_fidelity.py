"""PSNR and SSIM are what the literature says, and say so when they do not apply."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import correlate1d

from kreabench.metrics.base import ScoreItem
from kreabench.metrics.fidelity import Psnr, Ssim
from tests.support import picture

SIZES = ((64, 64), (80, 48), (33, 47), (11, 11), (12, 200), (128, 96))


def noisy(image: Image.Image, amount: float, seed: int) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float64)
    noise = np.random.default_rng(seed).normal(0.0, amount, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


DISTORTIONS: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "faint noise": lambda image, seed: noisy(image, 1.0, seed),
    "strong noise": lambda image, seed: noisy(image, 40.0, seed),
    "blurred": lambda image, seed: noisy(image, 20.0, seed).filter(ImageFilter.GaussianBlur(2.0)),
    "another picture": lambda image, seed: picture(*image.size, seed=seed + 1000),
    "negative": lambda image, _: image.point(lambda value: 255 - value),
}
PAIRS = [(size, name) for size in SIZES for name in DISTORTIONS]


def pair(size: tuple[int, int], distortion: str) -> ScoreItem:
    reference = picture(*size, seed=sum(size))
    return item(DISTORTIONS[distortion](reference, size[0]), reference)


def item(image: Image.Image, reference: Image.Image | None) -> ScoreItem:
    return ScoreItem(image=image, prompt="", reference=reference)


def arrays(pair: ScoreItem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    assert pair.reference is not None
    return np.asarray(pair.image, dtype=np.float64), np.asarray(pair.reference, dtype=np.float64)


def psnr_by_definition(pair: ScoreItem) -> float:
    x, y = arrays(pair)
    return 10.0 * math.log10(255.0**2 / float(np.mean((x - y) ** 2)))


def ssim_by_the_paper(pair: ScoreItem) -> float:
    """Wang et al. 2004, equations 13 to 17, with the window inside the picture, in double precision."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def local_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth: NDArray[np.float64] = correlate1d(correlate1d(values, window, axis=0), window, axis=1)
        return smooth[5:-5, 5:-5]

    x, y = arrays(pair)
    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x, variance_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(np.mean(numerator / denominator))


@pytest.mark.parametrize(("size", "distortion"), PAIRS)
def test_psnr_equals_its_closed_form(size: tuple[int, int], distortion: str) -> None:
    score = Psnr().score([pair(size, distortion)])[0]

    assert score.status == "ok"
    assert score.value == pytest.approx(psnr_by_definition(pair(size, distortion)), rel=1e-5)


@pytest.mark.parametrize(("size", "distortion"), PAIRS)
def test_ssim_equals_the_paper(size: tuple[int, int], distortion: str) -> None:
    score = Ssim().score([pair(size, distortion)])[0]

    assert score.status == "ok"
    assert score.value == pytest.approx(ssim_by_the_paper(pair(size, distortion)), rel=1e-3, abs=1e-5)


def test_a_large_picture_is_not_shrunk_before_ssim() -> None:
    """piq's default would halve it, and a fine pattern would vanish."""
    reference = picture(512, 512)
    pair = item(noisy(reference, 30.0, 1), reference)

    assert Ssim().score([pair])[0].value == pytest.approx(ssim_by_the_paper(pair), rel=1e-3)


def test_equal_pictures() -> None:
    same = item(picture(), picture())

    psnr, ssim = Psnr().score([same])[0], Ssim().score([same])[0]

    assert (psnr.status, psnr.value) == ("infinite", None)
    assert (ssim.status, ssim.value) == ("ok", 1.0)


def test_one_level_in_one_channel_of_one_pixel_is_not_equal() -> None:
    changed = picture(64, 64)
    red, green, blue = changed.getpixel((5, 5))  # type: ignore[misc]
    changed.putpixel((5, 5), (red, green, blue + 1 if blue < 255 else blue - 1))

    score = Psnr().score([item(changed, picture(64, 64))])[0]

    assert score.value == pytest.approx(10 * math.log10(255**2 * 64 * 64 * 3), rel=1e-5)


def test_black_against_white_is_the_worst_psnr() -> None:
    white, black = Image.new("RGB", (32, 32), "white"), Image.new("RGB", (32, 32), "black")

    assert Psnr().score([item(white, black)])[0].value == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("metric", [Psnr(), Ssim()])
def test_pictures_of_two_sizes_are_not_compared(metric: Psnr | Ssim) -> None:
    score = metric.score([item(picture(64, 32), picture(32, 64))])[0]

    assert (score.status, score.value) == ("not_applicable", None)
    assert "64×32" in score.reason
    assert "32×64" in score.reason
    assert "never rescaled" in score.reason


@pytest.mark.parametrize("metric", [Psnr(), Ssim()])
def test_without_a_reference_there_is_no_fidelity(metric: Psnr | Ssim) -> None:
    score = metric.score([item(picture(), None)])[0]

    assert (score.status, score.reason) == ("not_applicable", "there is no reference picture")


def test_ssim_needs_room_for_its_window() -> None:
    score = Ssim().score([item(picture(10, 64, seed=1), picture(10, 64, seed=2))])[0]

    assert (score.status, score.value) == ("not_applicable", None)
    assert "10×64" in score.reason
    assert "11×11" in score.reason


@pytest.mark.parametrize("metric", [Psnr(), Ssim()])
def test_one_bad_pair_costs_no_other_its_score(metric: Psnr | Ssim) -> None:
    good = pair((64, 64), "strong noise")
    grey = item(picture(64, 64).convert("L"), picture(64, 64).convert("L"))

    scores = metric.score([good, grey, good])

    assert [score.status for score in scores] == ["ok", "failed", "ok"]
    assert "RGB" in scores[1].reason
    assert scores[0].value == scores[2].value
