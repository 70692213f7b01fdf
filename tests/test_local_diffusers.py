"""The local back end on the miniature: what a picture depends on, what is timed, and what no call leaves behind."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends.base import Generation
from kreabench.backends.local_diffusers import DiffusersBackend, _without_paths
from kreabench.backends.staging import STAGES
from kreabench.core.errors import GenerationError
from tests.support import make_acceleration, make_request, make_setting


def generate(backend: DiffusersBackend, *, seed: int = 0, prompt: str = "a red bicycle", **changes: Any) -> Generation:
    setting = make_setting(**changes)
    return backend.generate(setting, make_request(setting, prompt=prompt, seed=seed))


def contents(generation: Generation) -> list[bytes]:
    return [image.content for image in generation.images]


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)


def pipeline_of(backend: DiffusersBackend) -> Any:
    assert backend._loaded is not None
    return backend._loaded.pipeline


def test_the_same_request_is_the_same_picture_after_another_load(
    mini_backend: DiffusersBackend, open_mini: Callable[..., DiffusersBackend]
) -> None:
    assert contents(generate(mini_backend)) == contents(generate(open_mini()))


def test_stages_and_the_residual_sum_to_the_whole(mini_backend: DiffusersBackend) -> None:
    generation = generate(mini_backend, steps=5)
    timings = generation.timings
    assert tuple(timings.stages_s) == tuple(stage for stage in STAGES if stage != "encode_image")
    assert all(seconds > 0 for seconds in timings.stages_s.values())
    assert timings.residual_s > 0
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s)
    assert generation.steps_run == len(timings.steps_s) == 5
    assert 0 < sum(timings.steps_s) <= timings.stages_s["denoise"]


def test_memory_says_nothing_of_a_device_that_is_not_there(mini_backend: DiffusersBackend) -> None:
    memory = generate(mini_backend).memory
    assert memory is not None
    assert memory.peak_rss_bytes is None or memory.peak_rss_bytes > 100_000_000
    assert memory.peak_allocated_bytes is None
    assert memory.peak_reserved_bytes is None


def test_image_k_is_that_of_seed_plus_k(mini_backend: DiffusersBackend) -> None:
    together = generate(mini_backend, num_images=4, seed=7)
    assert [image.seed for image in together.images] == [7, 8, 9, 10]
    for index, content in enumerate(contents(together)):
        (alone,) = contents(generate(mini_backend, seed=7 + index))
        difference = np.abs(pixels(content) - pixels(alone))
        assert difference.max() <= 2  # a batch adds in another order: close, not bitwise
    assert len(set(contents(together))) == 4


def test_delivered_files_are_what_was_asked_for(mini_backend: DiffusersBackend) -> None:
    (png,) = contents(generate(mini_backend, width=192, height=64))
    (jpeg,) = contents(generate(mini_backend, width=192, height=64, output_format="jpeg"))
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.size, picture.mode) == ("PNG", (192, 64), "RGB")
    with Image.open(io.BytesIO(jpeg)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (192, 64))
    assert np.abs(pixels(png) - pixels(jpeg)).mean() < 3


def test_a_prompt_longer_than_both_text_encoders_is_cut_not_refused(mini_backend: DiffusersBackend) -> None:
    long = "a very long prompt " * 50
    assert contents(generate(mini_backend, prompt=long)) != contents(generate(mini_backend))


def test_a_size_that_diffusers_would_floor_is_refused(mini_backend: DiffusersBackend) -> None:
    with pytest.raises(GenerationError, match=r"100x128 .* multiples of 16") as caught:
        generate(mini_backend, width=100)
    assert caught.value.type == "invalid_request"


def test_the_cache_reuses_nothing_at_threshold_zero_and_much_at_a_high_one(mini_backend: DiffusersBackend) -> None:
    plain, exact, high = (generate(mini_backend, acceleration=name, steps=8) for name in ("none", "exact", "high"))
    assert contents(plain) == contents(exact)
    assert contents(plain) != contents(high)


def test_no_acceleration_leaks_into_the_next_call(mini_backend: DiffusersBackend) -> None:
    before = contents(generate(mini_backend, steps=8))
    generate(mini_backend, acceleration="high", steps=8)
    assert contents(generate(mini_backend, steps=8)) == before


@pytest.mark.parametrize("acceleration", ["none", "high"])
def test_nothing_is_left_of_a_call_that_broke_off(
    mini_backend: DiffusersBackend, monkeypatch: pytest.MonkeyPatch, acceleration: str
) -> None:
    before = contents(generate(mini_backend, steps=8)), contents(generate(mini_backend, acceleration="high", steps=8))
    pipeline = pipeline_of(mini_backend)
    attributes = set(vars(pipeline)), set(vars(pipeline.vae)), set(vars(pipeline.image_processor))
    step, calls = pipeline.scheduler.step, []

    def break_off(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("made up")
        return step(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.scheduler, "step", break_off)
        with pytest.raises(ZeroDivisionError):
            generate(mini_backend, acceleration=acceleration, steps=8)
    assert (set(vars(pipeline)), set(vars(pipeline.vae)), set(vars(pipeline.image_processor))) == attributes
    assert not pipeline.transformer.is_cache_enabled
    after = contents(generate(mini_backend, steps=8)), contents(generate(mini_backend, acceleration="high", steps=8))
    assert after == before


def test_fused_projections_draw_the_same_and_take_no_more_memory(
    mini_backend: DiffusersBackend, open_mini: Callable[..., DiffusersBackend]
) -> None:
    fused = open_mini({"regular": {"fuse_qkv": {}}})
    assert contents(generate(fused, acceleration="regular")) == contents(generate(mini_backend))
    transformer = pipeline_of(fused).transformer
    names = dict(transformer.named_parameters())
    assert any("to_qkv" in name for name in names)
    assert any("to_added_qkv" in name for name in names)
    assert not any(part in name for name in names for part in ("to_q.", "to_k.", "to_v.", "add_q_proj"))
    plain = pipeline_of(mini_backend).transformer
    assert sum(p.numel() for p in transformer.parameters()) == sum(p.numel() for p in plain.parameters())


def test_a_channels_last_vae_moves_only_the_lowest_bits(
    mini_backend: DiffusersBackend, open_mini: Callable[..., DiffusersBackend]
) -> None:
    import torch

    backend = open_mini({"regular": {"vae_channels_last": {}}})
    weight = pipeline_of(backend).vae.decoder.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    (first,), (second,) = contents(generate(backend, acceleration="regular")), contents(generate(mini_backend))
    assert np.abs(pixels(first) - pixels(second)).max() <= 2


def test_running_out_of_memory_is_typed_and_names_the_stage(
    mini_backend: DiffusersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")

    monkeypatch.setattr(pipeline_of(mini_backend).vae.decoder, "forward", full)
    with pytest.raises(GenerationError, match="Tried to allocate") as caught:
        generate(mini_backend)
    assert (caught.value.type, caught.value.stage, caught.value.fatal) == ("out_of_memory", "decode", True)
    assert "smaller size" in caught.value.remedy


def test_identity_says_what_was_loaded_and_names_no_path(mini_model: Path, mini_target: Callable[..., Any]) -> None:
    backend = DiffusersBackend()
    features = {"fuse_qkv": {}, "first_block_cache": {"threshold": 0.1}}
    try:
        by_name = backend.open(mini_target(), [make_acceleration(features=features)], ())
        by_folder = backend.open(mini_target(model=str(mini_model)), [make_acceleration()], ())
    finally:
        backend.close()
    assert by_name["model"] == "builtin:mini-untrained"
    assert by_name["pipeline"] == "FluxPipeline"
    assert by_name["device"] == "cpu"
    assert by_name["dtype"] == "float32"
    assert by_name["max_sequence_length"] == 128
    assert by_name["parameters"]["transformer"] == 166_784
    assert by_name["features"] == {"fuse_qkv": {}}
    assert {"torch", "diffusers", "transformers"} <= set(by_name["versions"])
    assert by_folder["model"] == mini_model.name
    assert by_folder["revision"] is None
    assert by_folder["weights_sha256"] == by_name["weights_sha256"]
    assert str(mini_model.parent) not in json.dumps([by_name, by_folder])


def test_the_number_of_threads_is_put_back(mini_target: Callable[..., Any]) -> None:
    import torch

    before = torch.get_num_threads()
    backend = DiffusersBackend()
    identity = backend.open(mini_target(options={"torch_threads": before + 1}), [make_acceleration()], ())
    assert identity["torch_threads"] == torch.get_num_threads() == before + 1
    backend.close()
    assert torch.get_num_threads() == before


def test_generate_needs_an_open_back_end() -> None:
    backend = DiffusersBackend()
    with pytest.raises(RuntimeError, match="before open"):
        generate(backend)
    backend.close()


def test_a_check_and_a_listing_import_nothing_heavy(mini_target: Callable[..., Any]) -> None:
    code = """
import sys
from tests.support import make_acceleration, make_target
from kreabench.backends.local_diffusers import DiffusersBackend
target = make_target(backend="diffusers", model="builtin:mini", options={})
assert DiffusersBackend.check(target, [make_acceleration(features={"fuse_qkv": {}})]) == ()
print(sorted({"torch", "diffusers", "transformers", "numpy"} & set(sys.modules)))
"""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def test_a_record_names_no_folder_of_a_local_lora() -> None:
    features = {"lora": {"path": "/home/somebody/turbo.safetensors", "scale": 1.0}, "fuse_qkv": {}}
    assert _without_paths(features) == {"lora": {"path": "turbo.safetensors", "scale": 1.0}, "fuse_qkv": {}}
    hub = {"lora": {"path": "alimama-creative/FLUX.1-Turbo-Alpha", "scale": 1.0}}
    assert _without_paths(hub) == hub
