"""FLUX.1 at its full size without its weights: the right sizes, built in place, leaving nothing behind."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kreabench.analysis.notices import notice
from kreabench.backends import random_weights
from kreabench.backends.flux_geometry import REDUX_MODELS, TEXT_TO_IMAGE_MODELS
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.config.resolve import load
from tests.support import make_acceleration, make_request, make_setting

EVERYTHING = (*TEXT_TO_IMAGE_MODELS, *REDUX_MODELS)
OPTIONS = {"weights": "random", "geometry": "mini"}


def test_the_full_geometry_has_the_published_sizes() -> None:
    assert random_weights.parameter_counts("flux", EVERYTHING) == {
        "transformer": 11_901_408_320,
        "vae": 83_819_683,
        "text_encoder": 123_060_480,
        "text_encoder_2": 4_762_310_656,
        "image_encoder": 428_225_600,
        "image_embedder": 64_503_808,
    }


def test_the_mini_geometry_is_the_miniatures(mini_backend: Any) -> None:
    components = mini_backend._loaded.pipeline.components
    for name, count in random_weights.parameter_counts("mini").items():
        assert count == sum(parameter.numel() for parameter in components[name].parameters())


def test_parts_are_made_in_the_dtype_asked_for_and_values_are_alive() -> None:
    for name, model in random_weights.build_parts("mini", EVERYTHING, device="cpu", dtype="bfloat16").items():
        assert not model.training
        for path, parameter in model.named_parameters():
            assert parameter.dtype == torch.bfloat16
            assert not parameter.requires_grad
            assert bool(parameter.isfinite().all())
            if parameter.ndim > 1:
                assert float(parameter.float().std()) > 0, (name, path)


def test_building_leaves_the_process_as_it_was() -> None:
    torch.manual_seed(5)
    state, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
    random_weights.build_components("mini", device="cpu", dtype="bfloat16")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_default_dtype() == dtype
    assert torch.empty(1).device.type == "cpu"


def test_a_build_that_fails_restores_the_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise torch.OutOfMemoryError("made up")

    monkeypatch.setitem(random_weights._CONSTRUCTORS, "vae", fail)
    with pytest.raises(torch.OutOfMemoryError):
        random_weights.build_parts("mini", ("vae",), device="cpu", dtype="bfloat16")
    assert torch.get_default_dtype() == torch.float32


def test_every_layer_of_the_full_sizes_keeps_its_values_near_one() -> None:
    """The VAE and CLIP alone: what of the full geometry a small machine can run."""
    parts = random_weights.build_parts("flux", ("vae", "text_encoder"), device="cpu", dtype="float32")
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        picture = parts["vae"].decode(noise).sample
        pooled = parts["text_encoder"](torch.arange(77)[None]).pooler_output
    assert 0.2 < float(picture.std()) < 2
    assert 0.5 < float(pooled.std()) < 2


@pytest.fixture(scope="module")
def opened(mini_target: Callable[..., Any]) -> Any:
    backend = DiffusersBackend()
    identity = backend.open(
        mini_target(model="no-such-model", options=OPTIONS), [make_acceleration()], [make_setting()]
    )
    yield backend, identity
    backend.close()


def test_pictures_are_drawn_and_differ_by_seed(opened: Any) -> None:
    backend, _ = opened
    setting = make_setting()
    contents = [backend.generate(setting, make_request(setting, seed=seed)).images[0].content for seed in (0, 1, 0)]
    assert contents[0] == contents[2] != contents[1]
    with Image.open(io.BytesIO(contents[0])) as picture:
        assert 10 < np.asarray(picture.convert("RGB"), dtype=float).std() < 110


def test_the_identity_says_so(opened: Any) -> None:
    _, identity = opened
    assert identity["model"] == "random weights, mini geometry"
    assert identity["revision"] == random_weights.revision("mini") != random_weights.revision("flux")
    assert identity["weights"] == "random"
    assert identity["parameters"]["transformer"] == 166_784


def test_no_model_is_looked_for_and_nothing_can_be_replaced(mini_target: Callable[..., Any]) -> None:
    assert DiffusersBackend.check(mini_target(model="no-such-model", options=OPTIONS), []) == ()
    (problem,) = DiffusersBackend.check(mini_target(options={**OPTIONS, "transformer": "a/b"}), [])
    assert problem.key == "target.mini_local.options.transformer"


def test_a_target_with_random_weights_is_branded_everywhere() -> None:
    (random,) = load(["experiment=gpu_random_weights", "acceleration=[none]"]).experiment.targets
    (real,) = load(["target=[dev_local]"]).experiment.targets
    assert (random.random_weights, real.random_weights) == (True, False)
    assert notice([real]) is None
    assert "random weights in krea_random" in (notice([real, random]) or "")


@pytest.mark.gpu
def test_the_full_geometry_is_built_on_the_device_without_a_second_copy() -> None:
    torch.cuda.reset_peak_memory_stats()
    parts = random_weights.build_parts("flux", TEXT_TO_IMAGE_MODELS, device="cuda:0", dtype="bfloat16")
    weights = sum(2 * parameter.numel() for model in parts.values() for parameter in model.parameters())
    assert weights <= torch.cuda.max_memory_allocated() < 1.02 * weights
    assert all(bool(parameter.isfinite().all()) for parameter in parts["transformer"].parameters())


def test_tables_of_libraries_are_not_made_where_models_are_built() -> None:
    """In a fresh process, where these models are what first imports the libraries: on meta tables have no values."""
    code = (
        "from kreabench.backends.random_weights import parameter_counts\n"
        "parameter_counts('mini')\n"
        "from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS\n"
        "assert FLUX_MAG_RATIOS.device.type == 'cpu', FLUX_MAG_RATIOS.device\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
