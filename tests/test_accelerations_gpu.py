"""Features that need a GPU, on the miniature: each draws, nearly the same picture, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kreabench.backends.accelerations.choose import missing
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.machine import look
from tests.support import make_acceleration
from tests.test_acceleration_effects import draw, pipeline_of, pixels

pytestmark = pytest.mark.gpu

FEATURES: dict[str, dict[str, Any]] = {
    "cudnn": {"attention": {"backend": "_native_cudnn"}},
    "flash 2 of torch": {"attention": {"backend": "_native_flash"}},
    "flash 3": {"attention": {"backend": "_flash_3"}},
    "sage": {"attention": {"backend": "sage"}},
    "fp8 by row": {"fp8_dynamic": {"scale": "row"}},
    "fp8 by tensor": {"fp8_dynamic": {"scale": "tensor"}},
    "fp8 weights": {"fp8_weight_only": {}},
    "int8 weights": {"int8_weight_only": {}},
    "int8": {"int8_dynamic": {}},
    "fp8 storage": {"fp8_storage": {}},
    "offload by model": {"offload_model": {}},
    "offload by layer": {"offload_sequential": {}},
    "offload by block": {"offload_group": {"unit": "block", "stream": True}},
    "offload by leaf": {"offload_group": {"unit": "leaf", "stream": False}},
    "compiled blocks": {"compile_regional": {}},
    "compiled whole": {"compile_full": {"cold": True}},
    "compiled with graphs": {"compile_full": {"mode": "reduce-overhead"}},
    "regular": {"fuse_qkv": {}, "vae_channels_last": {}, "compile_regional": {}},
    "high": {"fuse_qkv": {}, "fp8_dynamic": {}, "compile_regional": {}, "first_block_cache": {"threshold": 0.12}},
    "offloaded and compiled": {"offload_model": {}, "compile_regional": {}},
}
ON_GPU = {"device": "cuda", "dtype": "bfloat16"}
FURTHEST = 60
"""Mean difference of a channel, of 255: a picture of other colours altogether lies beyond."""


@pytest.fixture(scope="module")
def plain(mini_target: Callable[..., Any]) -> np.ndarray:
    backend = DiffusersBackend()
    backend.open(mini_target(options=ON_GPU), [make_acceleration()], ())
    drawn = pixels(draw(backend))
    backend.close()
    return drawn


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_draws_alike_and_leaves_nothing(
    plain: np.ndarray, mini_target: Callable[..., Any], name: str
) -> None:
    import torch

    target, features = mini_target(options=ON_GPU), FEATURES[name]
    reason = missing(features, target, look())
    if reason is not None:
        pytest.skip(reason)
    before = torch.cuda.memory_allocated()
    backend = DiffusersBackend()
    backend.open(target, [make_acceleration(name="fast", features=features)], ())
    first, second = (draw(backend, "fast") for _ in range(2))
    assert np.abs(pixels(second) - plain).mean() <= FURTHEST
    assert first.images[0].content == second.images[0].content
    assert not [flag for flag in second.flags if "compiled" in flag]
    assert not pipeline_of(backend).transformer.is_cache_enabled or "first_block_cache" in features
    backend.close()
    assert torch.cuda.memory_allocated() <= before + 64 * 2**20
