"""Features of accelerations: bad values and combinations are named, and what a machine lacks is a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.accelerations.checks import check_features
from kreabench.backends.accelerations.choose import chosen, combination_problems, missing
from kreabench.backends.accelerations.features import (
    FEATURES,
    complete,
    features_of_phase,
    in_order,
)
from kreabench.backends.accelerations.lora_source import lora_problem
from kreabench.backends.machine import look, visible
from kreabench.config.compose import conf_dir, group_options
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError
from kreabench.core.specs import (
    AccelerationSpec,
    Gpu,
    MachineSpec,
    TargetSpec,
)
from kreabench.plan_build import build_plan
from tests.support import make_acceleration, make_experiment, make_target

H200 = Gpu(name="NVIDIA H200", capability=(9, 0), memory_bytes=150_000_000_000)
A100 = Gpu(name="NVIDIA A100", capability=(8, 0), memory_bytes=80_000_000_000)
PACKAGES = {"torchao": "0.18.0", "peft": "0.21.2", "accelerate": "1.15.0", "triton": "3.9.0"}


def machine(*gpus: Gpu, packages: dict[str, str] | None = None, compiler: bool = True) -> MachineSpec:
    return MachineSpec(gpus=gpus, packages=PACKAGES if packages is None else packages, compiler=compiler)


def local(**options: Any) -> TargetSpec:
    return make_target(
        name="local",
        backend="diffusers",
        model="builtin:mini-untrained",
        options={"device": "cuda", "dtype": "bfloat16"} | options,
    )


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"fuse_qkv": {}, "vae_channels_last": {}},
        {"first_block_cache": {"threshold": 0}},
        {"first_block_cache": {"threshold": 0.12}},
        {"lora": {"path": "a/b"}, "fuse_qkv": {}, "fp8_storage": {}, "pab": {}},
        {"compile_full": {"mode": "max-autotune"}},
        {"compile_regional": {}, "taylorseer": {}, "int8_dynamic": {}},
    ],
)
def test_good_features_have_no_messages(features: dict[str, Any]) -> None:
    assert check_features(features) == ()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"fuse_qvk": {}}, ["fuse_qvk", "first_block_cache, fp8_dynamic", "did you mean fuse_qkv?"]),
        ({"fuse_qkv": {"threshold": 1}}, ["fuse_qkv.threshold", "no parameters"]),
        ({"fuse_qkv": None}, ["fuse_qkv", "mapping", "{}", "None"]),
        ({"first_block_cache": {}}, ["first_block_cache.threshold", "missing"]),
        ({"first_block_cache": {"threshold": "high"}}, ["first_block_cache.threshold", "at least 0", "'high'"]),
        ({"first_block_cache": {"threshold": True}}, ["first_block_cache.threshold", "True"]),
        ({"first_block_cache": {"threshold": -0.1}}, ["first_block_cache.threshold", "-0.1"]),
        ({"first_block_cache": {"threshold": float("nan")}}, ["first_block_cache.threshold", "nan"]),
        ({"first_block_cache": {"threshold": 0.1, "treshold": 1}}, ["first_block_cache.treshold", "mean threshold?"]),
        ({"taylorseer": {"interval": 2.5}}, ["taylorseer.interval", "whole number", "2.5"]),
        ({"magcache": {"retention": 1.5}}, ["magcache.retention", "from 0 to 1"]),
        ({"attention": {"backend": "flash3"}}, ["attention.backend", "_flash_3", "'flash3'"]),
        ({"attention": {}}, ["attention.backend", "missing"]),
        ({"compile_regional": {"mode": "reduce-overhead"}}, ["compile_regional.mode", "max-autotune-no-cudagraphs"]),
        ({"compile_full": {"cold": 1}}, ["compile_full.cold", "true or false"]),
        ({"lora": {"path": " "}}, ["lora.path", "Hub id"]),
        ({"lora": {"path": "a/b", "weight_name": 3}}, ["lora.weight_name", "or null"]),
        ({"pab": {"timestep_low": 800, "timestep_high": 100}}, ["timestep_low", "below"]),
    ],
)
def test_each_bad_feature_is_named_with_what_is_accepted(features: dict[str, Any], words: list[str]) -> None:
    (message,) = check_features(features)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("first_block_cache", "taylorseer"), "one cache at a time"),
        (("fp8_dynamic", "int8_weight_only"), "quantised once"),
        (("fp8_storage", "fp8_weight_only"), "quantised once"),
        (("compile_full", "compile_regional"), "compiled again"),
        (("offload_group", "offload_model"), "move them twice"),
        (("compile_regional", "magcache"), "silently run uncompiled"),
        (("compile_full", "magcache"), "silently run uncompiled"),
        (("compile_regional", "fp8_storage"), "break the compiled graph"),
        (("compile_full", "offload_group"), "breaks the compiled graph"),
        (("compile_full", "offload_model"), "compile_regional"),
        (("int8_dynamic", "offload_model"), "packed weights"),
        (("first_block_cache", "offload_group"), "same blocks"),
        (("lora", "nunchaku"), "of its own"),
    ],
)
def test_what_cannot_be_combined_is_refused_naming_both(names: tuple[str, str], words: str) -> None:
    needed = {
        "first_block_cache": {"threshold": 0.1},
        "lora": {"path": "a/b"},
        "nunchaku": {"model": "a/b/c.safetensors"},
    }
    features = {name: needed.get(name, {}) for name in names}
    (message,) = check_features(features)
    assert names[0] in message
    assert names[1] in message
    assert words in message


def test_cuda_graphs_and_a_cache_are_refused() -> None:
    (message,) = check_features({"compile_full": {"mode": "reduce-overhead"}, "taylorseer": {}})
    assert "taylorseer without compile_full.mode reduce-overhead" in message


def test_a_conflict_with_a_choice_is_found_before_it_is_chosen() -> None:
    features: dict[str, Any] = {"magcache": {}}
    on_cuda: dict[str, Any] = {"compile": ({"compile_regional": {}},)}
    assert combination_problems(features, {}) == ()
    (message,) = combination_problems(features, on_cuda)
    assert "compile_regional without magcache" in message


def test_all_problems_are_found_at_once() -> None:
    assert len(check_features({"nonsense": {}, "fuse_qkv": {"x": 1}, "first_block_cache": {"y": 1}})) == 4


def test_phases_part_the_features() -> None:
    features = {"first_block_cache": {"threshold": 0.1}, "vae_channels_last": {}, "fuse_qkv": {}}
    load_, call = features_of_phase(features, "load"), features_of_phase(features, "call")
    assert list(load_) == ["fuse_qkv", "vae_channels_last"]
    assert call == {"first_block_cache": {"threshold": 0.1}}
    assert {row.phase for row in FEATURES.values()} == {"load", "call"}


def test_beside_compilation_a_cache_stays_on() -> None:
    features = {"first_block_cache": {"threshold": 0.1}, "compile_regional": {}}
    assert list(features_of_phase(features, "load")) == ["compile_regional", "first_block_cache"]
    assert features_of_phase(features, "call") == {}


def test_what_changes_weights_comes_before_what_packs_or_compiles_them() -> None:
    names = ["compile_full", "fp8_storage", "fuse_qkv", "lora", "offload_model", "first_block_cache"]
    expected = ["lora", "fuse_qkv", "fp8_storage", "offload_model", "compile_full", "first_block_cache"]
    assert in_order({name: {} for name in names}) == expected


def test_defaults_are_written_down() -> None:
    assert complete({"compile_regional": {"mode": "default"}, "fuse_qkv": {}}) == {
        "compile_regional": {"mode": "default", "shapes": "auto", "cold": False},
        "fuse_qkv": {},
    }


@pytest.mark.parametrize(
    ("features", "target", "where", "words"),
    [
        ({"fuse_qkv": {}}, local(), machine(H200), None),
        ({"fp8_dynamic": {}}, local(), machine(H200), None),
        ({"fp8_dynamic": {}}, local(), machine(A100), "compute capability 8.9 or above; NVIDIA A100 has 8.0"),
        ({"fp8_dynamic": {}}, local(), machine(H200, packages={}), "the package torchao 0.15 or newer, which is not"),
        ({"fp8_dynamic": {}}, local(), machine(H200, packages={"torchao": "0.9.1"}), "0.9.1 is installed"),
        ({"fp8_dynamic": {}}, local(dtype="float16"), machine(H200), "bfloat16"),
        ({"fp8_dynamic": {"scale": "tensor"}}, local(dtype="float16"), machine(H200), None),
        ({"fp8_dynamic": {}}, local(device="cpu"), machine(H200), "fp8_dynamic needs CUDA; local runs on the CPU"),
        ({"fp8_dynamic": {}}, local(device="auto"), machine(), "runs on the CPU"),
        ({"fp8_dynamic": {}}, local(device="auto"), machine(H200), None),
        ({"fp8_dynamic": {}}, local(device="cuda"), machine(), "a GPU, and this machine shows none"),
        ({"fp8_dynamic": {}}, local(device="cuda:1"), machine(H200, A100), "A100"),
        ({"fp8_dynamic": {}}, local(), None, None),
        ({"int8_weight_only": {}}, local(device="cpu"), machine(), None),
        ({"compile_full": {}}, local(device="cpu"), machine(compiler=False), "a C++ compiler"),
        ({"compile_full": {}}, local(), machine(H200, packages={}), "triton"),
        ({"attention": {"backend": "_flash_3"}}, local(), machine(H200), "flash_attn_3"),
        ({"attention": {"backend": "_flash_3"}}, local(), machine(A100, packages={"flash_attn_3": "3.0.0b1"}), "9.0"),
        ({"attention": {"backend": "_native_cudnn"}}, local(), machine(A100), None),
        ({"attention": {"backend": "_native_cudnn"}}, local(device="cpu"), machine(), "needs CUDA"),
        ({"attention": {"backend": "_native_cudnn"}}, local(dtype="float32"), machine(H200), "bfloat16 and float16"),
        ({"attention": {"backend": "_native_flash"}}, local(dtype="float32"), machine(H200), "bfloat16 and float16"),
        ({"attention": {"backend": "_native_efficient"}}, local(dtype="float32"), machine(H200), None),
        ({"attention": {"backend": "_native_flash"}}, local(dtype="float32", device="cpu"), machine(), None),
        ({"attention": {"backend": "sage"}}, local(), machine(H200, packages={"sageattention": "1.0.6"}), "2.1.1"),
        ({"offload_model": {}}, local(device="cpu"), machine(), "needs CUDA"),
        ({"lora": {"path": "a/b"}}, local(), machine(H200, packages={}), "peft"),
        ({"nunchaku": {}}, local(), machine(A100, packages={}), "nunchaku"),
        ({"nunchaku": {}}, local(), machine(H200, packages={"nunchaku": "1.0"}), "another compute capability than 9.x"),
        ({"pab": {}}, replace(local(), task="image-to-image"), machine(H200), "image-to-image pipeline does not tell"),
        ({"pab": {}}, replace(local(), task="redux"), machine(H200), None),
        ({"offload_model": {}}, make_target(), machine(), None),
    ],
)
def test_what_a_machine_lacks_is_a_reason(
    features: dict[str, Any], target: TargetSpec, where: MachineSpec | None, words: str | None
) -> None:
    reason = missing(features, target, where)
    if words is None:
        assert reason is None
    else:
        assert reason is not None
        assert words in reason


FAST = make_acceleration(
    name="fast",
    features={"fuse_qkv": {}},
    on_cuda={
        "quantisation": ({"fp8_dynamic": {"scale": "row"}}, {"int8_dynamic": {}}),
        "attention": ({"attention": {"backend": "_flash_3"}},),
    },
)


def test_the_first_choice_that_is_to_be_had_is_taken() -> None:
    on_h200, on_a100 = (chosen(FAST, local(), machine(gpu)) for gpu in (H200, A100))
    assert set(on_h200.features) == {"fuse_qkv", "fp8_dynamic"}
    assert set(on_a100.features) == {"fuse_qkv", "int8_dynamic"}
    (note,) = on_h200.left_out
    assert note == "attention left out: attention needs the package flash_attn_3, which is not installed"


def test_a_cpu_gets_what_every_machine_gets_and_says_so() -> None:
    plain = chosen(FAST, local(device="cpu"), machine(H200))
    assert plain.features == {"fuse_qkv": {}}
    assert plain.left_out == tuple(f"{name} left out: local runs on the CPU" for name in FAST.on_cuda)


def plan_for(where: MachineSpec | None, *accelerations: AccelerationSpec, **options: Any) -> Any:
    return build_plan(make_experiment(targets=(local(**options),), accelerations=accelerations, machine=where))


def test_the_plan_has_what_was_chosen_and_its_identity_says_so() -> None:
    (cpu,), (h200,), (a100,) = (
        plan_for(where, FAST, device=device).groups
        for where, device in ((machine(), "cpu"), (machine(H200), "cuda"), (machine(A100), "cuda"))
    )
    assert [set(group.accelerations[0].features) for group in (cpu, h200, a100)] == [
        {"fuse_qkv"},
        {"fuse_qkv", "fp8_dynamic"},
        {"fuse_qkv", "int8_dynamic"},
    ]
    assert len({group.settings[0].id for group in (cpu, h200, a100)}) == 3


def test_on_a_cpu_an_acceleration_is_the_same_with_and_without_its_extras() -> None:
    bare = replace(FAST, on_cuda={})
    one, other = (plan_for(machine(), some, device="cpu").settings[0].id for some in (FAST, bare))
    assert one == other


def test_a_setting_that_the_machine_cannot_do_is_skipped_with_the_reason() -> None:
    fp8 = make_acceleration(name="fp8", features={"fp8_dynamic": {}})
    plan = plan_for(machine(), make_acceleration(), fp8, device="cpu")
    assert [setting.acceleration for setting in plan.settings] == ["none"]
    assert [(skip.acceleration, skip.reason) for skip in plan.skipped] == [
        ("fp8", "fp8_dynamic needs CUDA; local runs on the CPU")
    ]


@pytest.mark.parametrize("name", sorted(group_options("acceleration")))
def test_every_shipped_profile_resolves(name: str) -> None:
    experiment = load(["target=mini_local", f"acceleration={name}"]).experiment
    (acceleration,) = experiment.accelerations
    assert acceleration.description
    assert len(build_plan(experiment).settings) + len(build_plan(experiment).skipped) == 1


def test_every_feature_has_a_profile() -> None:
    text = "\n".join(file.read_text() for file in (conf_dir() / "acceleration").glob("*.yaml"))
    assert [name for name in FEATURES if f"  {name}:" not in text] == []


def test_a_bad_combination_is_a_configuration_error_naming_both() -> None:
    with pytest.raises(ConfigError, match="compile_regional without magcache") as caught:
        load(["target=mini_local", "acceleration=magcache", "acceleration.magcache.features.compile_regional={}"])
    assert caught.value.problems[0].key == "acceleration.magcache.features"


def test_an_unknown_field_of_a_profile_is_named() -> None:
    with pytest.raises(ConfigError, match="speed"):
        load(["target=mini_local", "acceleration=magcache", "acceleration.magcache.speed=9"])


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        (None, (0, 1, 2)),
        ("", ()),
        ("-1", ()),
        ("2,0", (2, 0)),
        ("0,7,1", (0,)),
        ("GPU-b", (1,)),
        ("GPU-", ()),
        ("NoDevFiles", ()),
    ],
)
def test_hidden_devices_are_not_counted(setting: str | None, shown: tuple[int, ...]) -> None:
    assert visible(["GPU-a1", "GPU-b2", "GPU-c3"], setting) == shown


def test_looking_at_this_machine_finds_the_packages() -> None:
    found = look({"CUDA_VISIBLE_DEVICES": ""})
    assert found.gpus == ()
    assert {"accelerate", "peft", "torchao"} <= set(found.packages)


@pytest.mark.parametrize(
    ("path", "weight_name", "words"),
    [
        ("here.safetensors", None, None),
        (".", None, None),
        (".", "here.safetensors", None),
        (".", "there.safetensors", "without there.safetensors"),
        ("here.bin", None, "here.bin"),
        ("nowhere/at/all.safetensors", None, "not there"),
        ("owner/name", "lora.safetensors", "HF_HUB_OFFLINE"),
    ],
)
def test_a_lora_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, weight_name: str | None, words: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("here.safetensors", "here.bin"):
        (tmp_path / name).write_bytes(b"")
    problem = lora_problem("key", {"path": path, "weight_name": weight_name})
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert words in str(problem)
