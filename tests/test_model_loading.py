"""Weights that are not there, damaged, gated or too large: each says what is wrong and what to do."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.load_errors import is_out_of_memory, load_failure
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.core.errors import GenerationError, Problem
from tests.support import make_acceleration

KREA = "black-forest-labs/FLUX.1-Krea-dev"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

MakeTarget = Callable[..., Any]


@pytest.fixture
def copy(mini_model: Path, tmp_path: Path) -> Path:
    """A copy of the miniature, to be damaged."""
    return Path(shutil.copytree(mini_model, tmp_path / "copy"))


def check(target: Any) -> tuple[Problem, ...]:
    return DiffusersBackend.check(target, [make_acceleration()])


def fail_to_open(target: Any, features: dict[str, Any] | None = None) -> GenerationError:
    backend = DiffusersBackend()
    try:
        with pytest.raises(GenerationError) as caught:
            backend.open(target, [make_acceleration(features=features or {})], ())
    finally:
        backend.close()
    assert caught.value.stage == "load"
    return caught.value


def test_a_good_target_has_no_problems(mini_target: MakeTarget, mini_model: Path) -> None:
    assert check(mini_target()) == ()
    assert check(mini_target(model=str(mini_model))) == ()


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"model": "/no/such/folder"}, "model", "/no/such/folder, which is not there"),
        ({"model": "builtin:tiny"}, "model", "builtin:mini"),
        ({"model": KREA}, "model", f"{KREA}, which is not in the local Hub cache while HF_HUB_OFFLINE is set"),
        ({"model": KREA, "revision": "v9"}, "model", f"{KREA} at revision v9"),
        ({"model": KREA}, "model", f"https://huggingface.co/{KREA} and log in with `hf auth login`"),
        ({"task": "redux"}, "options.redux_model", "black-forest-labs/FLUX.1-Redux-dev"),
        ({"options": {"redux_model": "builtin:mini-redux"}}, "options.redux_model", "text-to-image needs none"),
        (
            {"task": "redux", "options": {"redux_model": "builtin:mini"}},
            "options.redux_model",
            "one of builtin:mini-redux",
        ),
        (
            {"task": "redux", "options": {"redux_model": "black-forest-labs/FLUX.1-Redux-dev"}},
            "options.redux_model",
            "accept its licence on https://huggingface.co/black-forest-labs/FLUX.1-Redux-dev",
        ),
        ({"task": "redux", "options": {"redux_model": "/no/such"}}, "options.redux_model", "which is not there"),
        ({"model": "builtin:mini-redux"}, "model", "one of builtin:mini"),
        ({"options": {"device": "gpu"}}, "options.device", "auto, cpu, cuda or cuda:N"),
        ({"options": {"max_sequence_length": 513}}, "options.max_sequence_length", "1 to 512"),
        ({"options": {"torch_threads": 0}}, "options.torch_threads", "at least 1"),
    ],
)
def test_what_is_wrong_is_found_before_loading(
    mini_target: MakeTarget, changes: dict[str, Any], key: str, words: str
) -> None:
    (problem,) = check(mini_target(**changes))
    assert problem.key == f"target.mini_local.{key}"
    assert words in str(problem)


def test_bad_features_are_problems_too(mini_target: MakeTarget) -> None:
    bad = make_acceleration(name="fast", features={"fuse_qvk": {}})
    (problem,) = DiffusersBackend.check(mini_target(), [bad])
    assert problem.key == "acceleration.fast.features"
    assert "did you mean fuse_qkv?" in str(problem)
    assert "fuse_qkv" in fail_to_open(mini_target(), {"fuse_qvk": {}}).message


def test_accelerations_of_two_load_groups_cannot_be_opened_together(mini_target: MakeTarget) -> None:
    accelerations = [make_acceleration(), make_acceleration(name="regular", features={"fuse_qkv": {}})]
    backend = DiffusersBackend()
    with pytest.raises(GenerationError, match=r"none, regular; expected .* differ only in features switched between"):
        backend.open(mini_target(), accelerations, ())
    backend.close()


def spoil_index(copy: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = copy / "model_index.json"
    index = json.loads(file.read_text())
    change(index)
    file.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda copy: (copy / "model_index.json").unlink(), "which has no model_index.json"),
        (lambda copy: (copy / "model_index.json").write_text('{"_class'), "a damaged model_index.json"),
        (lambda copy: (copy / "model_index.json").write_text("[]"), "a damaged model_index.json"),
        (lambda copy: shutil.rmtree(copy / "text_encoder_2"), "without text_encoder_2"),
        (
            lambda copy: spoil_index(copy, lambda index: index.update(transformer=["diffusers", "UNet2DModel"])),
            "a pipeline with UNet2DModel",
        ),
        (lambda copy: spoil_index(copy, lambda index: index.pop("transformer")), "a pipeline with no transformer"),
        (
            lambda copy: spoil_index(copy, lambda index: index.update(_class_name=["pipeline", "Custom"])),
            "expected a FLUX.1 pipeline",
        ),
    ],
)
def test_a_folder_that_is_no_whole_pipeline_is_told_before_and_at_loading(
    mini_target: MakeTarget, copy: Path, damage: Callable[[Path], Any], words: str
) -> None:
    damage(copy)
    target = mini_target(model=str(copy))
    (problem,) = check(target)
    assert words in str(problem)
    assert words in fail_to_open(target).message


@pytest.mark.parametrize(
    "damage",
    [
        lambda weights: weights.write_bytes(weights.read_bytes()[:5000]),
        lambda weights: weights.unlink(),
        lambda weights: weights.write_bytes(b""),
        lambda weights: (weights.parent / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"'),
    ],
    ids=["cut", "missing", "empty", "config"],
)
def test_damaged_weights_fail_to_load_with_what_to_check(
    mini_target: MakeTarget, copy: Path, damage: Callable[[Path], Any]
) -> None:
    damage(copy / "transformer" / "diffusion_pytorch_model.safetensors")
    error = fail_to_open(mini_target(model=str(copy)))
    assert error.type == "load_failed"
    assert str(copy) in error.message
    assert "save_pretrained" in error.remedy


def test_a_gpu_that_is_not_there_is_said_at_loading(mini_target: MakeTarget) -> None:
    import torch

    name = f"cuda:{torch.cuda.device_count() + 1}"
    error = fail_to_open(mini_target(options={"device": name}))
    assert error.type == "load_failed"
    assert f"device {name} was asked for" in error.message
    assert "options.device" in error.remedy


# --- models of the Hub, without a network


def hub_cache(folder: Path, mini_model: Path, name: str) -> None:
    """The miniature as model `name` in a Hub cache, the way huggingface_hub lays it out."""
    repository = folder / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(mini_model, repository / "snapshots" / COMMIT)


@pytest.fixture
def cached_model(mini_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from huggingface_hub import constants

    hub_cache(tmp_path / "hub", mini_model, "kreabench/mini")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return "kreabench/mini"


def test_a_cached_model_of_the_hub_loads_offline_and_is_known_by_its_commit(
    mini_target: MakeTarget, cached_model: str
) -> None:
    target = mini_target(model=cached_model)
    assert check(target) == ()
    backend = DiffusersBackend()
    identity = backend.open(target, [make_acceleration()], ())
    backend.close()
    assert identity["model"] == cached_model
    assert identity["revision"] == COMMIT


def test_a_cached_model_that_is_not_whole_is_found_offline(
    mini_target: MakeTarget, cached_model: str, tmp_path: Path
) -> None:
    shutil.rmtree(next(tmp_path.glob("hub/*/snapshots/*")) / "vae")
    (problem,) = check(mini_target(model=cached_model))
    assert "without vae" in problem.found
    assert f"hf download {cached_model}" in problem.remedy


def test_a_model_that_is_nowhere_says_how_to_fetch_it(mini_target: MakeTarget) -> None:
    error = fail_to_open(mini_target(model=KREA))
    assert error.type == "load_failed"
    assert "HF_HUB_OFFLINE is set" in error.message
    assert f"hf download {KREA}" in error.remedy


def hub_error(name: str, status: int = 403) -> Exception:
    """An answer of the Hub, made with whichever HTTP library its client uses."""
    from huggingface_hub import errors

    http = importlib.import_module(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    response = http.Response(status, request=http.Request("GET", "https://huggingface.co"))
    error: Exception = getattr(errors, name)("made up", response=response)
    return error


@pytest.mark.parametrize(
    ("name", "type_", "words"),
    [
        ("GatedRepoError", "authentication", f"accept its licence on https://huggingface.co/{KREA}"),
        ("RevisionNotFoundError", "load_failed", "revision"),
        ("RepositoryNotFoundError", "load_failed", "hf auth login"),
        ("HfHubHTTPError", "load_failed", "force-download"),
    ],
)
def test_answers_of_the_hub_are_told_apart_through_what_wraps_them(
    mini_target: MakeTarget, name: str, type_: str, words: str
) -> None:
    wrapped = OSError("Cannot load model")
    wrapped.__cause__ = hub_error(name)
    error = load_failure(wrapped, mini_target(model=KREA, revision="v9"))
    assert (error.type, error.stage, error.transient) == (type_, "load", False)
    assert words in error.remedy


def test_trouble_of_the_network_may_be_tried_again(mini_target: MakeTarget) -> None:
    for trouble in (ConnectionRefusedError("made up"), hub_error("HfHubHTTPError", status=503)):
        error = load_failure(trouble, mini_target(model=KREA))
        assert (error.type, error.transient) == ("network", True)
        assert "did not answer: made up" in error.message


def test_memory_that_runs_out_while_loading_is_no_damaged_file(mini_target: MakeTarget) -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    wrapped = ValueError("while loading")
    wrapped.__cause__ = caught.value
    error = load_failure(wrapped, mini_target())
    assert (error.type, error.fatal) == ("out_of_memory", True)
    assert "dtype" in error.remedy


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("DefaultCPUAllocator"), False),
    ],
)
def test_which_errors_mean_that_memory_ran_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
