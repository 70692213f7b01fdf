"""Pictures that are none: noise is found however it is stored, and nothing that shows something is taken for it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from kreabench.backends.base import GeneratedImage
from kreabench.core.records import DEGENERATE
from kreabench.rundir.degenerate import degenerate_kind
from kreabench.rundir.images import store_image
from tests.support import ROOT, encode_image, make_request, make_setting, picture

Pixels = NDArray[Any]


def image_of(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def salt_and_pepper(random: np.random.Generator, shape: tuple[int, ...], density: float) -> Pixels:
    grey = np.full(shape, 128.0)
    hit = random.random(shape[:2]) < density
    grey[hit] = 255.0 * random.integers(0, 2, (int(hit.sum()), 1))
    return grey


NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Pixels]] = {
    "uniform": lambda random, shape: random.uniform(0, 255, shape),
    "uniform grey": lambda random, shape: np.repeat(random.uniform(0, 255, (*shape[:2], 1)), 3, axis=2),
    "Gaussian 20": lambda random, shape: random.normal(128, 20, shape),
    "Gaussian 60": lambda random, shape: random.normal(128, 60, shape),
    "Gaussian, clipped": lambda random, shape: random.normal(60, 128, shape),
    "salt and pepper": lambda random, shape: salt_and_pepper(random, shape, 1.0),
    "sparse salt and pepper": lambda random, shape: salt_and_pepper(random, shape, 0.1),
}
FORMATS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG 95": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "JPEG 75": {"format": "JPEG", "quality": 75},
    "WEBP": {"format": "WEBP", "quality": 80},
}


def stored(image: Image.Image, format: str) -> Image.Image:
    return Image.open(io.BytesIO(encode_image(image, **FORMATS[format])))


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (250, 251), (1024, 1024)], ids=str)
@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_found_however_it_is_stored(noise: str, size: tuple[int, int]) -> None:
    for seed in range(1 if max(size) > 512 else 5):
        image = image_of(NOISES[noise](np.random.default_rng(seed), (size[1], size[0], 3)))
        for format in FORMATS:
            assert degenerate_kind(stored(image, format)) == "noise", (seed, format)


def shipped(name: str) -> Image.Image:
    """A photograph or texture that comes with scikit-image."""
    return Image.open(Path(skimage.data.__file__).with_name(name)).convert("RGB")


PHOTOGRAPHS = (
    "gravel.png",
    "grass.png",
    "brick.png",
    "hubble_deep_field.jpg",
    "astronaut.png",
    "coffee.png",
    "text.png",
)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_no_noise_at_any_size_nor_with_grain(name: str) -> None:
    image = shipped(name)
    grain = np.random.default_rng(0)
    for size in (64, 128, 300):
        small = image.resize((size, size), Image.Resampling.LANCZOS)
        sharp = small.filter(ImageFilter.UnsharpMask(2, 200, 0))
        grainy = image_of(np.asarray(small, dtype=float) + grain.normal(0, 15, (size, size, 3)))
        for one in (small, sharp, grainy):
            assert degenerate_kind(one) is None
    assert degenerate_kind(image) is None


def test_heavy_grain_over_a_faint_scene_is_no_noise() -> None:
    slope = np.linspace(120, 136, 256)[:, None, None]
    noisy = slope + np.random.default_rng(0).normal(0, 12, (256, 256, 3))

    assert degenerate_kind(image_of(noisy)) is None


def test_the_grain_of_an_empty_scene_is_no_noise() -> None:
    assert degenerate_kind(image_of(np.random.default_rng(0).normal(200, 5, (256, 256, 3)))) is None


DRAWN = sorted((ROOT / "conf/prompts/drawn").glob("*.png"))


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_pictures_of_our_own_prompts_are_no_noise(path: Path) -> None:
    image = Image.open(path).convert("RGB")

    assert degenerate_kind(image) is None
    assert degenerate_kind(image.resize((64, 64))) is None


PATTERNS = {
    "chessboard": np.indices((128, 128)).sum(axis=0) % 2 * 255,
    "stripes": np.indices((128, 128))[0] % 2 * 255,
    "dither": (np.linspace(0, 255, 128)[None, :] > np.tile([[32, 160], [224, 96]], (64, 64))) * 255,
    "thresholded ramp": (np.random.default_rng(0).random((128, 128)) < np.linspace(0, 1, 128)) * 255,
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_of_single_pixels_are_no_noise(name: str) -> None:
    assert degenerate_kind(image_of(np.repeat(PATTERNS[name][:, :, None], 3, axis=2))) is None


def test_cells_of_decoded_latents_are_left_alone() -> None:
    """They are what an untrained model draws too."""
    cells = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)

    assert degenerate_kind(Image.fromarray(cells).resize((128, 128), Image.Resampling.NEAREST)) is None
    assert degenerate_kind(Image.fromarray(cells).resize((128, 128), Image.Resampling.BICUBIC)) is None


def test_noise_beside_a_picture_is_no_noise() -> None:
    image = image_of(np.random.default_rng(0).uniform(0, 255, (512, 512, 3)))
    image.paste(picture(512, 100), (0, 0))

    assert degenerate_kind(image) is None


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (63, 63), (2000, 1), (63, 400)], ids=str)
def test_too_small_to_tell(size: tuple[int, int]) -> None:
    assert degenerate_kind(image_of(np.random.default_rng(0).uniform(0, 255, (size[1], size[0], 3)))) is None


def test_looking_takes_a_few_milliseconds() -> None:
    """Of every picture that is delivered, in processor time; the bounds are loose, as machines differ."""
    pixels = np.random.default_rng(0).uniform(0, 255, (1024, 1024, 3))
    for image, limit_s in ((picture(1024, 1024), 0.05), (image_of(pixels), 0.2)):
        began = time.process_time()
        degenerate_kind(image)
        assert time.process_time() - began < limit_s


def drawn(backend: Any, **changes: Any) -> tuple[Any, Any, Any]:
    """What the local back end draws, with its setting and request."""
    setting = make_setting(steps=1, **changes)
    request = make_request(setting)
    return setting, request, backend.generate(setting, request)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_weights_that_hold_a_nan_draw_pictures_flagged_as_such(
    tmp_path: Path, open_mini: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    backend = open_mini()
    assert backend._loaded is not None
    vae = backend._loaded.pipeline.vae
    bias = vae.decoder.conv_out.bias.detach().clone()
    bias[1] = float("nan")  # green alone
    monkeypatch.setattr(vae.decoder.conv_out, "bias", torch.nn.Parameter(bias))

    setting, request, generation = drawn(backend)

    record = store_image(tmp_path, setting, request, 0, generation.images[0])
    with Image.open(tmp_path / record.path) as stored_picture:
        red, green, _ = stored_picture.split()
    assert record.degenerate == "nan"
    assert green.getextrema() == (0, 0)  # what is stored does not show it
    assert red.getextrema() != (0, 0)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_no_number_marks_its_own_picture_alone(
    mini_backend: Any, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    vae = mini_backend._loaded.pipeline.vae
    decode = vae.decode

    def broken(*args: Any, **kwargs: Any) -> Any:
        (pictures,) = decode(*args, **kwargs)
        pictures[1, 0, 5, 7] = wrong
        return (pictures,)

    with monkeypatch.context() as patch:
        patch.setattr(vae, "decode", broken)
        _, _, generation = drawn(mini_backend, num_images=3)

    assert [image.nan for image in generation.images] == [False, True, False]
    assert [image.nan for image in drawn(mini_backend, num_images=2)[2].images] == [False, False]


def test_looking_for_nan_is_no_part_of_the_time_measured(mini_backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    isfinite = torch.Tensor.isfinite

    def slow(tensor: Any) -> Any:
        time.sleep(0.5)
        return isfinite(tensor)

    monkeypatch.setattr(torch.Tensor, "isfinite", slow)

    began = time.perf_counter()
    _, _, generation = drawn(mini_backend)

    assert generation.timings.end_to_end_s + 0.45 < time.perf_counter() - began


def test_a_black_picture_of_nan_is_called_by_its_cause(tmp_path: Path) -> None:
    setting = make_setting()
    black = encode_image(Image.new("RGB", (128, 128)))

    def flag(nan: bool) -> str | None:
        image = GeneratedImage(content=black, seed=0, nsfw=None, nan=nan)
        return store_image(tmp_path, setting, make_request(setting), 0, image).degenerate

    assert (flag(False), flag(True)) == ("black", "nan")
    assert set(DEGENERATE) == {"black", "constant", "noise", "nan"}
