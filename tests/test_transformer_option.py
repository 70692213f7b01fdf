"""Another transformer in a model: a folder, a file or the Hub; one that does not fit is told, with the key at fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends import random_weights
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.transformer_source import find_transformer, hub_repository
from kreabench.core.errors import GenerationError
from tests.support import make_acceleration, make_request, make_setting

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEY = "target.mini_local.options.transformer"

MakeTarget = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of the miniature's sizes with other weights, saved as diffusers does."""
    path = tmp_path_factory.mktemp("transformer") / "tuned"
    parts = random_weights.build_parts("mini", ("transformer",), device="cpu", dtype="float32")
    parts["transformer"].save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights alone, as SRPO publishes them."""
    path = tmp_path_factory.mktemp("file") / "tuned.safetensors"
    return Path(shutil.copyfile(folder / "diffusion_pytorch_model.safetensors", path))


@pytest.fixture
def draw(mini_target: MakeTarget) -> Iterator[Callable[..., tuple[bytes, dict[str, Any]]]]:
    backend = DiffusersBackend()

    def draw_one(transformer: str | None, **changes: Any) -> tuple[bytes, dict[str, Any]]:
        target = mini_target(options={"transformer": transformer}, **changes)
        assert DiffusersBackend.check(target, []) == ()
        identity = backend.open(target, [make_acceleration()], [make_setting()])
        setting = make_setting(steps=2)
        content = backend.generate(setting, make_request(setting)).images[0].content
        backend.close()
        return content, identity

    yield draw_one
    backend.close()


def test_a_folder_and_a_file_take_the_place_of_the_models_own(draw: Any, folder: Path, file: Path) -> None:
    own, before = draw(None)
    from_folder, first = draw(str(folder))
    from_file, second = draw(str(file))
    assert from_folder == from_file != own
    assert "transformer" not in before
    assert first["transformer"]["model"] == "tuned"
    assert second["transformer"]["model"] == "tuned.safetensors"
    assert len(second["transformer"]["weights_sha256"]) == 64


@pytest.fixture
def in_hub(folder: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both in one repository of a Hub cache, the way huggingface_hub lays it out."""
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--kreabench--tuned"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    shutil.copy(file, repository / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return "kreabench/tuned"


@pytest.mark.parametrize("path", ["", "/tuned.safetensors"])
def test_one_of_the_hub_is_known_by_its_commit(in_hub: str, path: str) -> None:
    source = find_transformer(KEY, in_hub + path, None)
    assert source.name == in_hub + path
    assert source.identity()["revision"] == COMMIT
    assert source.path.exists()


def test_one_of_the_hub_is_drawn_with(draw: Any, in_hub: str, folder: Path) -> None:
    from_hub, identity = draw(f"{in_hub}/tuned.safetensors")
    assert identity["transformer"]["revision"] == COMMIT
    assert from_hub == draw(str(folder))[0]


def test_the_models_own_weights_need_not_be_there(
    draw: Any, mini_model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--kreabench--base"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = Path(shutil.copytree(mini_model, repository / "snapshots" / COMMIT))
    (snapshot / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    content, identity = draw(str(folder), model="kreabench/base")
    assert content == draw(str(folder))[0]
    assert identity["revision"] == COMMIT


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("tencent/SRPO/diffusion_pytorch_model.safetensors", "tencent/SRPO"),
        ("tencent/SRPO/sub/file.safetensors", "tencent/SRPO"),
        ("tencent/SRPO", "tencent/SRPO"),
        ("/no/such/file.safetensors", None),
        ("./a/b/c.safetensors", None),
        ("file.safetensors", None),
    ],
)
def test_what_is_fetched_from_where(name: str, repository: str | None) -> None:
    assert hub_repository(name) == repository


@pytest.mark.parametrize("name", ["/no/such/folder", "~no-such-user/x", "nothing.safetensors", "/", "pyproject.toml"])
def test_a_name_that_is_nothing_is_told_before_loading(mini_target: MakeTarget, name: str) -> None:
    (problem,) = DiffusersBackend.check(mini_target(options={"transformer": name}), [])
    assert problem.key == KEY
    assert "OWNER/NAME/FILE.safetensors" in problem.expected


def test_one_that_is_not_here_while_offline_says_how_to_fetch_it(mini_target: MakeTarget) -> None:
    name = "tencent/SRPO/diffusion_pytorch_model.safetensors"
    (problem,) = DiffusersBackend.check(mini_target(options={"transformer": name}), [])
    assert "HF_HUB_OFFLINE" in problem.found
    assert "hf download tencent/SRPO" in problem.remedy
    assert "hf download tencent/SRPO" in fail(mini_target(options={"transformer": name})).remedy


def fail(target: Any) -> GenerationError:
    backend = DiffusersBackend()
    try:
        with pytest.raises(GenerationError) as caught:
            backend.open(target, [make_acceleration()], ())
    finally:
        backend.close()
    assert caught.value.stage == "load"
    return caught.value


def test_a_damaged_one_names_the_key(mini_target: MakeTarget, file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:5000])
    error = fail(mini_target(options={"transformer": str(cut)}))
    assert KEY in error.message
    assert "cut.safetensors" in error.message


def test_one_without_all_weights_names_the_key(mini_target: MakeTarget, file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(file)
    del weights["proj_out.weight"]
    save_file(weights, tmp_path / "part.safetensors")
    error = fail(mini_target(options={"transformer": str(tmp_path / "part.safetensors")}))
    assert KEY in error.message


@pytest.mark.parametrize("change", [{"joint_attention_dim": 48}, {"in_channels": 32}, {"pooled_projection_dim": 48}])
def test_one_of_other_sizes_names_the_key_and_the_size(
    mini_target: MakeTarget, tmp_path: Path, change: dict[str, int]
) -> None:
    from diffusers import FluxTransformer2DModel

    from kreabench.backends.flux_geometry import MINI

    FluxTransformer2DModel(**{**MINI["transformer"], **change}).save_pretrained(tmp_path / "other")
    error = fail(mini_target(options={"transformer": str(tmp_path / "other")}))
    assert KEY in error.message
    assert next(iter(change)) in error.message
