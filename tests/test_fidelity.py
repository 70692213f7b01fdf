"""PSNR, SSIM and MS-SSIM are what the literature says, and say so when they do not apply."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from skimage.metrics import structural_similarity

from kreabench.metrics.base import ScoreItem
from kreabench.metrics.fidelity import MsSsim, Psnr, Ssim
from tests.metric_references import fidelity as references
from tests.support import picture

SIZES = ((64, 64), (80, 48), (33, 47), (11, 11), (12, 200), (128, 96))
LARGE_SIZES = ((176, 192), (256, 208))


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


def by_definition(reference_metric: Callable[[Image.Image, Image.Image], float], pair: ScoreItem) -> float:
    assert pair.reference is not None
    return reference_metric(pair.image, pair.reference)


@pytest.mark.parametrize(("size", "distortion"), PAIRS)
def test_psnr_equals_its_closed_form(size: tuple[int, int], distortion: str) -> None:
    score = Psnr().score([pair(size, distortion)])[0]

    assert score.status == "ok"
    assert score.value == pytest.approx(by_definition(references.psnr, pair(size, distortion)), rel=1e-5)


@pytest.mark.parametrize(("size", "distortion"), PAIRS)
def test_ssim_equals_the_paper(size: tuple[int, int], distortion: str) -> None:
    score = Ssim().score([pair(size, distortion)])[0]

    assert score.status == "ok"
    assert score.value == pytest.approx(by_definition(references.ssim, pair(size, distortion)), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (128, 96)])
def test_ssim_equals_scikit_image(size: tuple[int, int]) -> None:
    given = pair(size, "strong noise")
    assert given.reference is not None

    expected = structural_similarity(
        np.asarray(given.image),
        np.asarray(given.reference),
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )

    assert Ssim().score([given])[0].value == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(("size", "distortion"), [(size, name) for size in LARGE_SIZES for name in DISTORTIONS])
def test_ms_ssim_equals_the_paper(size: tuple[int, int], distortion: str) -> None:
    given = pair(size, distortion)

    score = MsSsim().score([given])[0]

    assert score.status == "ok"
    assert score.value == pytest.approx(by_definition(references.ms_ssim, given), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("distortion", list(DISTORTIONS))
def test_ms_ssim_of_odd_sides_is_near_the_paper(distortion: str) -> None:
    """Where a side is odd, piq takes the first row twice and the authors the last."""
    given = pair((161, 203), distortion)

    assert MsSsim().score([given])[0].value == pytest.approx(by_definition(references.ms_ssim, given), abs=0.01)


def test_ms_ssim_equals_torchmetrics_for_grey_pictures() -> None:
    """torchmetrics takes the mean over the channels before it multiplies the scales."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as theirs

    image, reference = (
        one.convert("L").convert("RGB") for one in (noisy(picture(256, 208), 25.0, 1), picture(256, 208))
    )
    tensors = [torch.from_numpy(np.array(one)).permute(2, 0, 1)[None] / 255 for one in (image, reference)]

    score = MsSsim().score([item(image, reference)])[0]

    assert score.value == pytest.approx(float(theirs(*tensors, data_range=1.0)), rel=1e-3)


def test_ms_ssim_needs_room_for_five_scales() -> None:
    small, enough = (item(picture(side, 200, seed=1), picture(side, 200, seed=2)) for side in (160, 161))

    score = MsSsim().score([small])[0]

    assert (score.status, score.value) == ("not_applicable", None)
    assert "160×200" in score.reason
    assert "161 a side" in score.reason
    assert MsSsim().score([enough])[0].status == "ok"


@pytest.mark.parametrize("metric", [Psnr(), Ssim(), MsSsim()])
def test_which_is_the_reference_makes_no_difference(metric: Psnr | Ssim | MsSsim) -> None:
    one, other = picture(176, 176, seed=1), picture(176, 176, seed=2)

    scores = metric.score([item(one, other), item(other, one)])

    assert scores[0].value == pytest.approx(scores[1].value, rel=1e-5)


@pytest.mark.parametrize("metric", [Psnr(), Ssim(), MsSsim()])
def test_more_noise_is_less_fidelity(metric: Psnr | Ssim | MsSsim) -> None:
    reference = picture(176, 176)

    scores = metric.score([item(noisy(reference, amount, 1), reference) for amount in (1.0, 4.0, 16.0, 64.0)])

    values = [score.value or 0.0 for score in scores]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


def test_a_large_picture_is_not_shrunk_before_ssim() -> None:
    """piq's default would halve it, and a fine pattern would vanish."""
    reference = picture(512, 512)
    pair = item(noisy(reference, 30.0, 1), reference)

    assert Ssim().score([pair])[0].value == pytest.approx(by_definition(references.ssim, pair), rel=1e-3)


def test_equal_pictures() -> None:
    same = item(picture(), picture())

    psnr, ssim = Psnr().score([same])[0], Ssim().score([same])[0]
    ms_ssim = MsSsim().score([item(picture(176, 176), picture(176, 176))])[0]

    assert (psnr.status, psnr.value) == ("infinite", None)
    assert (ssim.status, ssim.value) == ("ok", 1.0)
    assert (ms_ssim.status, ms_ssim.value) == ("ok", 1.0)


def test_one_level_in_one_channel_of_one_pixel_is_not_equal() -> None:
    changed = picture(64, 64)
    red, green, blue = changed.getpixel((5, 5))  # type: ignore[misc]
    changed.putpixel((5, 5), (red, green, blue + 1 if blue < 255 else blue - 1))

    score = Psnr().score([item(changed, picture(64, 64))])[0]

    assert score.value == pytest.approx(10 * math.log10(255**2 * 64 * 64 * 3), rel=1e-5)


def test_black_against_white_is_the_worst_psnr() -> None:
    white, black = Image.new("RGB", (32, 32), "white"), Image.new("RGB", (32, 32), "black")

    assert Psnr().score([item(white, black)])[0].value == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("metric", [Psnr(), Ssim(), MsSsim()])
def test_pictures_of_two_sizes_are_not_compared(metric: Psnr | Ssim | MsSsim) -> None:
    score = metric.score([item(picture(64, 32), picture(32, 64))])[0]

    assert (score.status, score.value) == ("not_applicable", None)
    assert "64×32" in score.reason
    assert "32×64" in score.reason
    assert "never rescaled" in score.reason


@pytest.mark.parametrize("metric", [Psnr(), Ssim(), MsSsim()])
def test_without_a_reference_there_is_no_fidelity(metric: Psnr | Ssim | MsSsim) -> None:
    score = metric.score([item(picture(), None)])[0]

    assert (score.status, score.reason) == ("not_applicable", "there is no reference picture")


def test_ssim_needs_room_for_its_window() -> None:
    score = Ssim().score([item(picture(10, 64, seed=1), picture(10, 64, seed=2))])[0]

    assert (score.status, score.value) == ("not_applicable", None)
    assert "10×64" in score.reason
    assert "11×11" in score.reason


@pytest.mark.parametrize("metric", [Psnr(), Ssim(), MsSsim()])
def test_one_bad_pair_costs_no_other_its_score(metric: Psnr | Ssim | MsSsim) -> None:
    good = pair((176, 176), "strong noise")
    grey = item(picture(64, 64).convert("L"), picture(64, 64).convert("L"))

    scores = metric.score([good, grey, good])

    assert [score.status for score in scores] == ["ok", "failed", "ok"]
    assert "RGB" in scores[1].reason
    assert scores[0].value == scores[2].value
