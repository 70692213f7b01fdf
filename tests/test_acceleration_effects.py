"""Features on the miniature: what each does to pictures and work, and that nothing of it outlives its call or load."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends.accelerations.caches import Schedule
from kreabench.backends.accelerations.counting import Forwards, all_forwards
from kreabench.backends.base import Generation
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.config.compose import group_options
from kreabench.config.resolve import load
from kreabench.core.errors import GenerationError
from kreabench.plan_build import build_plan
from tests.support import make_acceleration, make_request, make_setting

CACHES: dict[str, dict[str, Any]] = {
    "first_block_cache": {"threshold": 0.3},
    "taylorseer": {"interval": 3, "first_steps": 2},
    "magcache": {"threshold": 0.5, "retention": 0.1},
    "pab": {"every": 2},
    "fastercache": {"every": 2},
}
IDLE: dict[str, dict[str, Any]] = {
    "first_block_cache": {"threshold": 0.0},
    "taylorseer": {"first_steps": 50},
    "magcache": {"retention": 1.0},
    "pab": {"timestep_low": 0, "timestep_high": 1},
    "fastercache": {"timestep_high": 1},
}
"""Settings with which each cache skips nothing."""
BLOCK_CACHES = {"first_block_cache", "magcache"}


def draw(backend: DiffusersBackend, acceleration: str = "none", **changes: Any) -> Generation:
    setting = make_setting(acceleration=acceleration, **({"steps": 8} | changes))
    return backend.generate(setting, make_request(setting, prompt="a red bicycle", seed=3))


def pixels(generation: Generation) -> np.ndarray:
    with Image.open(io.BytesIO(generation.images[0].content)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)


def pipeline_of(backend: DiffusersBackend) -> Any:
    assert backend._loaded is not None
    return backend._loaded.pipeline


def forwards(backend: DiffusersBackend, acceleration: str, steps: int = 8) -> Forwards:
    """What one call with only the transformer's steps watched runs; the picture is thrown away."""
    loaded = backend._loaded
    assert loaded is not None
    schedule = Schedule(steps=steps, steps_to_run=steps)
    with loaded.applied.for_call(loaded.features[acceleration], schedule) as call:
        loaded.pipeline("a red bicycle", width=128, height=128, num_inference_steps=steps, max_sequence_length=128)
        return call.forwards(steps)


@pytest.fixture(scope="module")
def cached(open_mini: Callable[..., DiffusersBackend]) -> DiffusersBackend:
    """One miniature with every cache, at work and idle."""
    working = {name: {name: values} for name, values in CACHES.items()}
    idle = {f"idle_{name}": {name: values} for name, values in IDLE.items()}
    backend: DiffusersBackend = open_mini({"none": {}, **working, **idle})
    return backend


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_skips_work_and_changes_the_picture(cached: DiffusersBackend, name: str) -> None:
    plain, fast = draw(cached), draw(cached, name)
    assert not plain.flags
    assert not [flag for flag in fast.flags if "no effect" in flag]
    assert (pixels(plain) != pixels(fast)).any()
    ran, full = forwards(cached, name), all_forwards(pipeline_of(cached).transformer, 8)
    assert 0 < ran.double_attentions < full.double_attentions
    assert (ran.double_blocks < full.double_blocks) is (name in BLOCK_CACHES)


@pytest.mark.parametrize("name", IDLE)
def test_a_cache_that_skips_nothing_is_said_to_have_no_effect(cached: DiffusersBackend, name: str) -> None:
    idle = draw(cached, f"idle_{name}")
    assert [flag for flag in idle.flags if flag.startswith(f"{name} had no effect")]
    assert idle.images[0].content == draw(cached).images[0].content
    assert forwards(cached, f"idle_{name}") == all_forwards(pipeline_of(cached).transformer, 8)


@contextmanager
def breaking_off(pipeline: Any, monkeypatch: pytest.MonkeyPatch, step_number: int) -> Iterator[None]:
    step, calls = pipeline.scheduler.step, []

    def broken(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == step_number:
            raise ZeroDivisionError("made up")
        return step(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.scheduler, "step", broken)
        yield


@pytest.mark.parametrize("name", CACHES)
def test_nothing_of_a_cache_outlives_a_call_that_broke_off(
    cached: DiffusersBackend, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = [draw(cached, some).images[0].content for some in ("none", name)]
    with breaking_off(pipeline_of(cached), monkeypatch, 5), pytest.raises(ZeroDivisionError):
        draw(cached, name)
    assert not pipeline_of(cached).transformer.is_cache_enabled
    assert [draw(cached, some).images[0].content for some in ("none", name)] == before
    left = [module for module in pipeline_of(cached).transformer.modules() if "counting" in repr(vars(module))]
    assert left == []


def test_magcache_follows_the_steps_of_each_call(cached: DiffusersBackend) -> None:
    """With the ratios of another number of steps it would skip others; a single step skips nothing."""
    few, many = forwards(cached, "magcache", 4), forwards(cached, "magcache", 16)
    assert few.double_blocks < many.double_blocks
    assert forwards(cached, "magcache", 1) == all_forwards(pipeline_of(cached).transformer, 1)


def test_work_done_counts_what_a_cache_skipped(cached: DiffusersBackend) -> None:
    plain, fast = draw(cached).work, draw(cached, "first_block_cache").work
    assert plain is not None
    assert fast is not None
    assert plain.done_tflop == pytest.approx(plain.reference_tflop)
    assert fast.done_tflop is not None
    assert fast.done_tflop < fast.reference_tflop == pytest.approx(plain.reference_tflop)


@pytest.mark.parametrize(
    ("features", "furthest"),
    [
        ({"attention": {"backend": "native"}}, 0),
        ({"attention": {"backend": "_native_math"}}, 3),
        ({"attention": {"backend": "_native_flash"}}, 3),
        ({"int8_weight_only": {}}, 12),
        ({"fp8_weight_only": {}}, 60),
        ({"int8_dynamic": {}}, 40),
        ({"fp8_storage": {}}, 60),
        ({"fuse_qkv": {}, "fp8_storage": {}}, 60),
        ({"fuse_qkv": {}, "int8_weight_only": {}, "vae_channels_last": {}}, 12),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_load_features_stay_near_the_picture_without_them(
    mini_backend: DiffusersBackend,
    open_mini: Callable[..., DiffusersBackend],
    features: dict[str, Any],
    furthest: float,
) -> None:
    plain, fast = draw(mini_backend, steps=4), draw(open_mini({"fast": features}), "fast", steps=4)
    assert np.abs(pixels(plain) - pixels(fast)).mean() <= furthest
    assert not fast.flags


@pytest.mark.parametrize("name", ["int8_weight_only", "fp8_weight_only", "int8_dynamic"])
def test_every_wanted_layer_is_packed(open_mini: Callable[..., DiffusersBackend], name: str) -> None:
    transformer = pipeline_of(open_mini({"packed": {name: {}}})).transformer
    kinds = {path: type(module.weight).__name__ for path, module in transformer.named_modules() if _is_linear(module)}
    packed = {path for path, kind in kinds.items() if kind != "Parameter"}
    modulation = {path for path in kinds if ".norm" in path and "blocks" in path}
    assert "transformer_blocks.0.attn.to_q" in packed
    assert "single_transformer_blocks.3.proj_out" in packed
    assert (modulation <= packed) is name.endswith("weight_only")
    assert not packed & {"x_embedder", "context_embedder", "proj_out"}


def test_a_layer_with_a_row_of_zeros_is_not_packed_in_fp8(open_mini: Callable[..., DiffusersBackend]) -> None:
    import torch

    from kreabench.backends.accelerations.weights import quantise

    pipeline = pipeline_of(open_mini())
    layer = pipeline.transformer.transformer_blocks[0].ff.net[2]
    with torch.no_grad():
        layer.weight[3] = 0
    said = quantise(pipeline, "fp8_weight_only", {})
    assert said["left_for_empty_rows"] == 1
    assert type(layer.weight).__name__ == "Parameter"
    assert torch.isfinite(pipeline.transformer.transformer_blocks[0].ff.net[0].proj.weight.dequantize()).all()


def _is_linear(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)


def test_the_attention_of_the_whole_process_is_left_alone(open_mini: Callable[..., DiffusersBackend]) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before = _AttentionBackendRegistry.get_active_backend()
    backend = open_mini({"math": {"attention": {"backend": "_native_math"}}})
    used = {
        block.attn.processor._attention_backend.value for block in pipeline_of(backend).transformer.transformer_blocks
    }
    assert used == {"_native_math"}
    assert _AttentionBackendRegistry.get_active_backend() == before


def test_an_attention_backend_that_is_not_there_is_a_typed_failure(
    mini_target: Callable[..., Any],
) -> None:
    backend = DiffusersBackend()
    with pytest.raises(GenerationError, match="flash-attn") as caught:
        backend.open(mini_target(), [make_acceleration(features={"attention": {"backend": "flash"}})], ())
    backend.close()
    assert (caught.value.type, caught.value.stage) == ("load_failed", "load")


def test_tiles_are_counted(open_mini: Callable[..., DiffusersBackend]) -> None:
    backend = open_mini({"tiled": {"vae_tiling": {}}})
    pipeline_of(backend).vae.tile_latent_min_size = 16
    small, large = draw(backend, "tiled", steps=1), draw(backend, "tiled", steps=1, width=256)
    assert "vae_tiling had no effect: the picture fits into one tile" in small.flags
    assert not [flag for flag in large.flags if "vae_tiling" in flag]
    assert "tiled_decode" not in vars(pipeline_of(backend).vae)


@pytest.fixture(scope="module")
def lora_file(mini_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the miniature, as trainers save it."""
    return make_lora(tmp_path_factory.mktemp("lora") / "lora.safetensors", width=32)


def make_lora(file: Path, *, width: int, prefix: str = "transformer.transformer_blocks.0.attn", seed: int = 0) -> Path:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in ("to_q", "to_v", "to_out.0"):
        for side, shape in (("lora_A", (4, width)), ("lora_B", (width, 4))):
            weights[f"{prefix}.{layer}.{side}.weight"] = torch.randn(shape, generator=generator)
    save_file(weights, file)
    return file


def open_with(
    mini_target: Callable[..., Any], features: dict[str, Any], **changes: Any
) -> tuple[DiffusersBackend, dict[str, Any]]:
    backend = DiffusersBackend()
    return backend, backend.open(mini_target(**changes), [make_acceleration(name="fast", features=features)], ())


def test_a_lora_changes_the_picture_and_survives_fused_projections(
    mini_backend: DiffusersBackend, mini_target: Callable[..., Any], lora_file: Path
) -> None:
    lora = {"path": str(lora_file), "scale": 0.5}
    drawn = []
    contents = set()
    for features in ({"lora": lora}, {"lora": lora, "fuse_qkv": {}}, {"lora": {**lora, "scale": 0.0}}):
        backend, identity = open_with(mini_target, features)
        assert identity["features_found"]["lora"]["layers"] == 3
        contents.add(identity["features_found"]["lora"]["sha256"])
        assert str(lora_file.parent) not in json.dumps(identity["features_found"])
        assert not hasattr(pipeline_of(backend).transformer, "peft_config")
        drawn.append(pixels(draw(backend, "fast", steps=4)))
        backend.close()
    plain = pixels(draw(mini_backend, steps=4))
    assert (drawn[0] != plain).any()
    assert np.abs(drawn[0] - drawn[1]).max() <= 1
    assert np.abs(drawn[2] - plain).max() <= 1
    assert len(contents) == 1


def test_another_lora_of_the_same_name_is_another(mini_target: Callable[..., Any], tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        file = make_lora(tmp_path / "some.safetensors", width=32, seed=seed)
        backend, identity = open_with(mini_target, {"lora": {"path": str(file)}})
        backend.close()
        found.append(identity["features_found"]["lora"]["sha256"])
    assert found[0] != found[1]


def test_forwards_are_known_of_a_transformer_that_packs_its_blocks(cached: DiffusersBackend) -> None:
    """As Nunchaku's does: one module, which has no attention of its own to count."""
    import torch

    config = pipeline_of(cached).transformer.config
    packed = SimpleNamespace(
        config=config,
        transformer_blocks=torch.nn.ModuleList([torch.nn.Identity()]),
        single_transformer_blocks=torch.nn.ModuleList(),
    )
    assert all_forwards(packed, 3) == all_forwards(pipeline_of(cached).transformer, 3)
    assert all_forwards(packed, 3).double_attentions == 3 * config.num_layers


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: make_lora(folder / "wide.safetensors", width=64),
        lambda folder: make_lora(folder / "other.safetensors", width=32, prefix="unet.down_blocks.0.attn"),
    ],
    ids=["another width", "another model"],
)
def test_a_lora_that_does_not_fit_is_a_typed_failure(
    mini_target: Callable[..., Any], tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(GenerationError, match="could not be applied") as caught:
        open_with(mini_target, {"lora": {"path": str(make(tmp_path))}})
    assert caught.value.type == "load_failed"
    assert "FLUX.1" in caught.value.remedy


SLOW = ("compile_regional", "compile_full")
"""A minute and a half on a processor: the real compiler runs in the tests on a GPU, here all but its last part."""
ELSEWHERE = ("lora_turbo", "nunchaku")
"""Need a download or a package."""


RUNNABLE = (
    "none",
    "regular",
    "high",
    "attention_flash",
    "attention_native",
    "fp8_storage",
    "fp8_weight_only",
    "fuse_qkv",
    "int8_dynamic",
    "int8_weight_only",
    "vae_tiling",
    "first_block_cache_coarse",
    *CACHES,
)
"""Shipped profiles that a processor can run; written out, as composing each takes seconds wherever tests are listed."""


def test_every_profile_without_needs_is_tested() -> None:
    names = sorted(set(group_options("acceleration")) - {*SLOW, *ELSEWHERE})
    plan = build_plan(load(["target=mini_local", f"acceleration=[{','.join(names)}]"]).experiment)
    assert {setting.acceleration for setting in plan.settings} == set(RUNNABLE)


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_shipped_profile_that_needs_no_gpu_draws(name: str) -> None:
    experiment = load(["target=mini_local", f"acceleration={name}"]).experiment
    (group,) = build_plan(experiment).groups
    backend = DiffusersBackend()
    identity = backend.open(group.target, group.accelerations, group.settings)
    generation = draw(backend, name, width=64, height=64)
    backend.close()
    assert len(generation.images) == 1
    assert bool(identity["left_out"]) is (name in {"regular", "high"})


@pytest.fixture(scope="module")
def short_model(mini_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The miniature with a first block, one between and a last: compilation takes as long as there are blocks."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("short") / "model"
    shutil.copytree(mini_model, folder)
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_layers": 1, "num_single_layers": 2}))
    (weights,) = (folder / "transformer").glob("*.safetensors")
    left_out = ("transformer_blocks.1.", "single_transformer_blocks.2.", "single_transformer_blocks.3.")
    save_file({key: value for key, value in load_file(weights).items() if not key.startswith(left_out)}, weights)
    return str(folder)


@pytest.mark.parametrize("name", ["compile_regional", "compile_full"])
def test_compiled_pictures_are_near_and_nothing_is_compiled_twice(
    short_model: str, mini_target: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import torch._dynamo

    compile_eagerly(monkeypatch)
    settings = torch._dynamo.config.fail_on_recompile_limit_hit, os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    cold = {"cold": True}
    features = {name: cold, "first_block_cache": {"threshold": 0.3}}
    backend, identity = open_with(mini_target, features, model=short_model)
    assert identity["features_found"][name] == {"fullgraph": False}
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] != settings[1]
    first, second = (draw(backend, "fast") for _ in range(2))
    with breaking_off(pipeline_of(backend), monkeypatch, 4), pytest.raises(ZeroDivisionError):
        draw(backend, "fast")
    third = draw(backend, "fast")
    assert first.images[0].content == second.images[0].content == third.images[0].content
    for generation in (first, second, third):
        assert not [flag for flag in generation.flags if "no effect" in flag or "compiled" in flag]
    assert first.work is not None
    assert first.work.done_tflop is not None
    assert first.work.done_tflop < first.work.reference_tflop
    backend.close()
    assert (torch._dynamo.config.fail_on_recompile_limit_hit, os.environ.get("TORCHINDUCTOR_CACHE_DIR")) == settings


def compile_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are captured and guarded as ever; that inductor is not asked to translate them saves a minute each."""
    import torch

    real = torch.compile

    def quick(*args: Any, **kwargs: Any) -> Any:
        return real(*args, **{**kwargs, "backend": "eager", "mode": None})

    monkeypatch.setattr(torch, "compile", quick)


@pytest.mark.parametrize("name", ["taylorseer", "pab", "fastercache"])
def test_beside_compilation_decisions_are_counted_as_forwards_are_without(
    short_model: str,
    open_mini: Callable[..., DiffusersBackend],
    mini_target: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    compile_eagerly(monkeypatch)
    plain = open_mini({"fast": {name: CACHES[name]}}, model=short_model)
    backend, _ = open_with(mini_target, {"compile_regional": {}, name: CACHES[name]}, model=short_model)
    assert forwards(backend, "fast") == forwards(plain, "fast")
    assert np.abs(pixels(draw(backend, "fast")) - pixels(draw(plain, "fast"))).max() <= 2
    backend.close()


def test_without_a_cache_the_whole_graph_is_insisted_on(
    short_model: str, mini_target: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_eagerly(monkeypatch)
    backend, identity = open_with(mini_target, {"compile_regional": {}, "fuse_qkv": {}}, model=short_model)
    assert identity["features_found"]["compile_regional"] == {"fullgraph": True}
    draw(backend, "fast", steps=2)
    wider = draw(backend, "fast", steps=2)
    assert not [flag for flag in wider.flags if "compiled" in flag]
    again = make_setting(acceleration="fast", steps=2)
    assert backend._loaded is not None
    backend._called.add((make_setting(acceleration="fast", steps=2, width=192).id, 1))
    recompiled = draw(backend, "fast", steps=2, width=192)
    assert [flag for flag in recompiled.flags if "graphs were compiled during this call" in flag]
    assert (again.id, 1) in backend._called
    backend.close()
