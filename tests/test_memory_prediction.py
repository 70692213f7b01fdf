"""What a pipeline needs at least is known before it is loaded, and a device that is too small is told."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kreabench.backends import random_weights
from kreabench.backends.devices import HostDevice
from kreabench.backends.flux_geometry import FLUX
from kreabench.backends.load_errors import out_of_memory, with_peak
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.memory_prediction import (
    Prediction,
    activation_bytes,
    file_parameters,
    folder_parameters,
    predict,
    require,
)
from kreabench.core.errors import GenerationError
from kreabench.execution.failures import describe
from tests.support import make_acceleration, make_setting

GIB = 2**30


class LiveBytes(TorchDispatchMode):
    """Counts the storages that are alive; nothing is allocated for tensors on `meta`."""

    def __init__(self, model: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known = {parameter.untyped_storage()._cdata for parameter in model.parameters()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class FusedAttention(TorchFunctionMode):
    """As the kernels of a GPU do it: without the matrix of scores, which `meta` would write down."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else (kwargs or {})["query"])
        return func(*args, **(kwargs or {}))


@contextmanager
def counting(model: Any) -> Iterator[LiveBytes]:
    with torch.no_grad(), FusedAttention(), LiveBytes(model) as live:
        yield live


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return random_weights.build_parts("flux", ("transformer", "vae"), device="meta", dtype="bfloat16")


@pytest.mark.parametrize(("width", "height"), [(512, 512), (1024, 768), (1024, 1024), (2048, 2048)])
def test_activations_are_a_lower_bound_within_five_percent(parts: dict[str, Any], width: int, height: int) -> None:
    tokens = width * height // 256
    kwargs: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    with counting(parts["transformer"]) as block:
        parts["transformer"](
            hidden_states=torch.empty(1, tokens, 64, **kwargs),
            encoder_hidden_states=torch.empty(1, 512, 4096, **kwargs),
            pooled_projections=torch.empty(1, 768, **kwargs),
            timestep=torch.empty(1, **kwargs),
            guidance=torch.empty(1, **kwargs),
            img_ids=torch.empty(tokens, 3, **kwargs),
            txt_ids=torch.empty(512, 3, **kwargs),
        )
    with counting(parts["vae"]) as decoder:
        parts["vae"].decode(torch.empty(1, 16, height // 8, width // 8, **kwargs))
    predicted = activation_bytes(FLUX["transformer"], FLUX["vae"], 2, 512, make_setting(width=width, height=height))
    counted = max(block.peak, decoder.peak)
    assert 0.95 * counted <= predicted <= counted


def test_parameters_are_read_from_the_headers_of_the_files(mini_model: Path, tmp_path: Path) -> None:
    counts = folder_parameters(mini_model, ("transformer", "vae", "text_encoder", "no_such_part"))
    assert counts["transformer"] == 166_784
    assert counts.keys() == {"transformer", "vae", "text_encoder"}
    damaged = tmp_path / "damaged.safetensors"
    for content in (b"", b"1234567", b"\xff" * 30, b"\x02\0\0\0\0\0\0\0[]", b'\x0d\0\0\0\0\0\0\0{"a": {"b":1}}'):
        damaged.write_bytes(content)
        assert file_parameters(damaged) == 0


def test_variants_beside_the_weights_are_not_counted(mini_model: Path, tmp_path: Path) -> None:
    part = Path(shutil.copytree(mini_model / "transformer", tmp_path / "transformer"))
    (file,) = part.glob("*.safetensors")
    for name in ("diffusion_pytorch_model.fp16.safetensors", "lora.safetensors"):
        shutil.copy(file, part / name)
    assert folder_parameters(tmp_path, ("transformer",)) == {"transformer": 166_784}
    for name in ("diffusion_pytorch_model-00001-of-00002", "diffusion_pytorch_model-00002-of-00002"):
        shutil.copy(file, part / f"{name}.safetensors")
    assert folder_parameters(tmp_path, ("transformer",)) == {"transformer": 166_784}
    file.unlink()
    assert folder_parameters(tmp_path, ("transformer",)) == {"transformer": 2 * 166_784}


def test_one_setting_that_is_too_large_does_not_refuse_those_that_fit() -> None:
    small, large = make_setting(width=512, height=512), make_setting(width=2048, height=2048, num_images=4)
    both = predict({"transformer": GIB}, FLUX, "bfloat16", 512, [large, small])
    alone = predict({"transformer": GIB}, FLUX, "bfloat16", 512, [small])
    assert both.activations > 8 * GIB > alone.activations == both.least_activations
    require(both, (4 * GIB, 4 * GIB), "cuda:0", ())


PREDICTION = Prediction(weights={"transformer": 22 * GIB, "vae": GIB}, activations=9 * GIB, least_activations=2 * GIB)


def test_a_device_that_is_too_small_is_told_apart_from_one_that_is_taken() -> None:
    require(PREDICTION, (25 * GIB, 80 * GIB), "cuda:0", ())
    with pytest.raises(GenerationError, match=r"cuda:0 has 24.00 GiB of memory; .* at least 25.00 GiB") as small:
        require(PREDICTION, (23 * GIB, 24 * GIB), "cuda:0", ())
    assert "larger device" in small.value.remedy
    with pytest.raises(GenerationError, match=r"24.00 of its 80.00 GiB free.*transformer 22.00") as taken:
        require(PREDICTION, (24 * GIB, 80 * GIB), "cuda:0", ())
    assert "nvidia-smi" in taken.value.remedy
    assert (small.value.type, small.value.stage) == ("out_of_memory", "load")


def test_what_offloads_or_shrinks_weights_is_not_refused() -> None:
    require(PREDICTION, (GIB, 2 * GIB), "cuda:0", ("fuse_qkv", "offload_model"))


@pytest.mark.parametrize("options", [{}, {"weights": "random", "geometry": "mini"}])
def test_it_is_refused_before_anything_is_loaded(
    mini_target: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(HostDevice, "memory", lambda self: (1000, 1000))
    monkeypatch.setattr("kreabench.backends.local_diffusers.load_pipeline", None)
    backend = DiffusersBackend()
    with pytest.raises(GenerationError, match=r"cpu has 0.00 GiB of memory") as caught:
        backend.open(mini_target(options=options), [make_acceleration()], [make_setting()])
    backend.close()
    assert caught.value.type == "out_of_memory"


def test_the_prediction_is_part_of_the_load_record(mini_target: Callable[..., Any]) -> None:
    backend = DiffusersBackend()
    identity = backend.open(mini_target(), [make_acceleration()], [make_setting()])
    backend.close()
    assert identity["predicted_memory"]["weights_bytes"] >= 4 * sum(identity["parameters"].values())
    assert identity["predicted_memory"]["activations_bytes"] > 0


def test_running_out_of_memory_says_what_was_reached() -> None:
    class Full(HostDevice):
        def peaks(self) -> tuple[int | None, int | None]:
            return 3 * GIB, 4 * GIB

    error = with_peak(out_of_memory(torch.OutOfMemoryError("CUDA out of memory."), "decode"), Full())
    failure, fatal = describe(error, stage="generate")
    assert fatal
    assert failure.peak_allocated_bytes == 3 * GIB
    assert "3.00 GiB at its peak" in failure.message
    memory = out_of_memory(torch.OutOfMemoryError("CUDA out of memory."), "decode")
    earlier = {"denoise": (5 * GIB, 6 * GIB), "prepare": (None, None)}
    assert with_peak(memory, Full(), earlier.values()).peak_allocated_bytes == 5 * GIB
    other = GenerationError("made up", type="load_failed", stage="load")
    assert with_peak(other, Full()).peak_allocated_bytes is None
