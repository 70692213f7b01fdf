"""The statistics of look: against other formulas, and in the direction of the effect that each is there to show."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage
from skimage.measure import blur_effect

from kreabench.config.resolve import load_metrics
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.luma import REMEMBERED_PIXELS, PlanesCache
from kreabench.metrics.table import METRICS, metric_class
from kreabench.metrics.threads import threads_for
from tests.metric_support import shared

LOOK = (
    "colourfulness",
    "saturation",
    "clipping",
    "blurred_tiles",
    "blur_effect",
    "laplacian_variance",
    "noise_sigma",
)


def scene(size: int = 256, *, seed: int = 0) -> Image.Image:
    """Coloured patches with texture as fine as skin or cloth, and film grain."""
    random = np.random.default_rng(seed)
    patches = Image.fromarray(random.integers(30, 220, (6, 6, 3), dtype=np.uint8)).resize((size, size), 3)
    texture = ndimage.gaussian_filter(random.normal(0, 1, (size, size)), 0.7) * 25
    grain = random.normal(0, 2, (size, size, 3))
    return image_of(np.asarray(patches, dtype=float) + texture[:, :, None] + grain)


def image_of(pixels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def score(kind: str, image: Image.Image) -> Score:
    metric = metric_class(kind)()
    metric.open(shared())
    (one,) = metric.score([ScoreItem(image=image, prompt="", reference=None)])
    return one  # type: ignore[no-any-return]


def value(kind: str, image: Image.Image) -> float:
    found = score(kind, image).value
    assert found is not None
    return found


def grey_levels(image: Image.Image) -> NDArray[np.float64]:
    levels: NDArray[np.float64] = np.asarray(image, dtype=float) @ [0.299, 0.587, 0.114]
    return levels


PICTURES = [scene(size, seed=size) for size in (64, 97, 128)] + [scene(64, seed=3).resize((80, 48))]


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: str(image.size))
def test_colourfulness_is_the_formula_of_its_authors(image: Image.Image) -> None:
    red, green, blue = np.asarray(image, dtype=float).reshape(-1, 3).T
    rg, yb = red - green, 0.5 * (red + green) - blue

    expected = math.sqrt(rg.var() + yb.var()) + 0.3 * math.sqrt(rg.mean() ** 2 + yb.mean() ** 2)

    assert value("colourfulness", image) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: str(image.size))
def test_saturation_is_that_of_hsv(image: Image.Image) -> None:
    pixels = np.asarray(image).reshape(-1, 3) / 255

    expected = sum(colorsys.rgb_to_hsv(*pixel)[1] for pixel in pixels.tolist()) / len(pixels)

    assert value("saturation", image) == pytest.approx(expected, rel=1e-5)


def test_clipping_counts_what_is_crushed_and_what_is_burnt_out() -> None:
    pixels = np.full((10, 10, 3), 128, dtype=np.uint8)
    pixels[0] = 2
    pixels[1] = (2, 2, 3)  # not quite black
    pixels[2:4] = 253
    pixels[4] = (255, 0, 0)  # a pure colour loses nothing
    pixels[5] = (255, 255, 252)

    found = score("clipping", Image.fromarray(pixels))

    assert found.value == pytest.approx(0.3)
    assert found.details == pytest.approx({"crushed": 0.1, "burnt_out": 0.2})


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: str(image.size))
def test_laplacian_variance_is_that_of_the_convolution(image: Image.Image) -> None:
    expected = ndimage.laplace(grey_levels(image))[1:-1, 1:-1].var()

    assert value("laplacian_variance", image) == pytest.approx(expected, rel=1e-4)


def test_laplacian_variance_of_pure_noise_is_twenty_times_its_variance() -> None:
    grey = np.random.default_rng(0).normal(128, 6, (512, 512))

    found = value("laplacian_variance", image_of(np.repeat(grey[:, :, None], 3, axis=2)))

    assert found == pytest.approx(20 * (36 + 1 / 12), rel=0.02)  # rounding to levels adds a twelfth


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: str(image.size))
def test_blur_effect_is_that_of_the_library_on_the_picture(image: Image.Image) -> None:
    # Its own grey has weights of another standard: close, not equal.
    library: Any = blur_effect
    assert value("blur_effect", image) == pytest.approx(library(grey_levels(image) / 255), rel=1e-4)
    assert value("blur_effect", image) == pytest.approx(library(np.asarray(image), channel_axis=-1), abs=0.05)


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: str(image.size))
def test_blurred_tiles_are_those_without_detail(image: Image.Image) -> None:
    """Tile by tile, with the tiles written out."""
    half = image.copy()
    half.paste(image.filter(ImageFilter.GaussianBlur(4)).crop((0, 0, image.width // 2, image.height)), (0, 0))
    laplacian = ndimage.laplace(grey_levels(half))[1:-1, 1:-1]
    height, width = laplacian.shape
    top, left = height % 8 // 2, width % 8 // 2
    corners = [(y, x) for y in range(top, height - 7, 8) for x in range(left, width - 7, 8)]

    blurred = [laplacian[y : y + 8, x : x + 8].var() < 25 for y, x in corners]

    found = score("blurred_tiles", half)
    assert found.value == pytest.approx(sum(blurred) / len(blurred))
    assert found.details == {"tiles": len(corners)}
    assert 0.2 < sum(blurred) / len(blurred) < 0.6


@pytest.mark.parametrize("size", [128, 256, 512, 1024])
def test_a_blurred_half_is_about_half_of_the_tiles_at_every_size(size: int) -> None:
    image = scene(size)
    image.paste(image.filter(ImageFilter.GaussianBlur(size / 40)).crop((0, 0, size // 2, size)), (0, 0))

    assert value("blurred_tiles", image) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("sigma", [1, 3, 10, 25])
def test_noise_sigma_finds_the_noise_that_was_added(sigma: float) -> None:
    clean = np.asarray(scene(64).resize((512, 512), 3).filter(ImageFilter.GaussianBlur(8)), dtype=float)
    noisy = image_of(np.clip(clean, 80, 170) + np.random.default_rng(1).normal(0, sigma, clean.shape))

    assert value("noise_sigma", noisy) == pytest.approx(math.hypot(sigma, math.sqrt(1 / 12)), rel=0.03)


def bokeh(image: Image.Image) -> Image.Image:
    """Sharp in the middle alone."""
    blurred, quarter = image.filter(ImageFilter.GaussianBlur(6)), image.width // 4
    box = (quarter, quarter, 3 * quarter, 3 * quarter)
    blurred.paste(image.crop(box), box)
    return blurred


def waxy(image: Image.Image) -> Image.Image:
    """Texture smoothed away between edges that stay, as of skin made of plastic."""
    return image.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(0.8))


EFFECTS: dict[str, tuple[Callable[[Image.Image], Image.Image], dict[str, int]]] = {
    "saturated": (lambda image: ImageEnhance.Color(image).enhance(1.4), {"colourfulness": 1, "saturation": 1}),
    "bokeh": (bokeh, {"blurred_tiles": 1, "blur_effect": 1, "laplacian_variance": -1, "noise_sigma": -1}),
    "waxy": (waxy, {"blurred_tiles": 1, "blur_effect": 1, "laplacian_variance": -1, "noise_sigma": -1}),
    "overexposed": (lambda image: ImageEnhance.Brightness(image).enhance(2.0), {"clipping": 1}),
    "grainy": (
        lambda image: image_of(np.asarray(image, dtype=float) + np.random.default_rng(5).normal(0, 8, (256, 256, 3))),
        {"laplacian_variance": 1, "noise_sigma": 1},
    ),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_each_effect_moves_its_numbers_the_right_way(name: str) -> None:
    change, directions = EFFECTS[name]
    for seed in range(3):
        image = scene(seed=seed)
        changed = change(image)
        for kind, direction in directions.items():
            before, after = value(kind, image), value(kind, changed)
            assert (after - before) * direction > 0.05 * abs(before), kind


@pytest.mark.parametrize("kind", LOOK)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (17, 180, 90)])
def test_a_picture_of_one_colour_has_a_number(kind: str, colour: tuple[int, int, int]) -> None:
    found = value(kind, Image.new("RGB", (64, 64), colour))

    expected = {"blurred_tiles": 1.0, "blur_effect": 1.0, "laplacian_variance": 0.0, "noise_sigma": 0.0}
    if kind in expected:
        assert found == pytest.approx(expected[kind], abs=1e-4)
    assert math.isfinite(found)


@pytest.mark.parametrize("kind", LOOK)
@pytest.mark.parametrize("size", [(16, 16), (17, 400), (640, 16)])
def test_small_and_thin_pictures_are_scored(kind: str, size: tuple[int, int]) -> None:
    assert score(kind, scene(64).resize(size)).status == "ok"


@pytest.mark.parametrize("kind", LOOK)
def test_no_pixels_and_too_few_of_them_are_no_number(kind: str) -> None:
    empty = score(kind, Image.new("RGB", (0, 0)))
    row = score(kind, Image.new("RGB", (40, 1)))

    assert (empty.status, empty.reason.split(":")[0]) == ("not_applicable", "0×0 pixels")
    assert row.status == ("ok" if kind in {"colourfulness", "saturation", "clipping"} else "not_applicable")


def test_another_mode_fails_alone() -> None:
    assert score("saturation", scene(64).convert("L")).reason == "ValueError: expected an RGB picture, found L"


def test_a_picture_is_turned_into_arrays_once_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = PlanesCache.__dict__["planes"]

    def counting(cache: PlanesCache, image: Image.Image, sha256: str) -> Any:
        planes = original(cache, image, sha256)
        made.append(id(planes))
        return planes

    monkeypatch.setattr(PlanesCache, "planes", counting)
    together = shared()
    items = [ScoreItem(image=scene(64, seed=n), prompt="", reference=None, sha256=f"{n}") for n in range(3)]
    for kind in LOOK:
        metric = metric_class(kind)()
        metric.open(together)
        metric.score(items)

    assert len(made) == 3 * len(LOOK)
    assert len(set(made)) == 3


def test_arrays_that_are_kept_are_bounded() -> None:
    cache = PlanesCache()
    large = Image.new("RGB", (4096, REMEMBERED_PIXELS // 4096 // 2))

    first = cache.planes(large, "a")
    assert cache.planes(large, "a") is first
    cache.planes(large, "b")
    cache.planes(large, "c")

    assert cache.planes(large, "a") is not first


def test_one_configuration_file_asks_for_all_of_them() -> None:
    metrics = load_metrics(["psnr", "look"])

    assert [spec.name for spec in metrics] == ["psnr", *LOOK]
    assert all(METRICS[spec.kind].better == "reference" for spec in metrics[1:])


def test_small_pictures_take_one_thread_and_large_ones_what_there_is() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads_for(64 * 64):
            assert torch.get_num_threads() == 1
        with pytest.raises(ValueError, match="broken"), threads_for(64 * 64):
            raise ValueError("broken")
        assert torch.get_num_threads() == 2
        with threads_for(1024 * 1024):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
