"""The untrained miniature: the same everywhere, safe in a shared cache, and pictures differ by all that was asked."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kreabench.backends import mini_recipe
from kreabench.backends.mini import resolve_model
from kreabench.backends.mini_cache import built_folder, is_intact
from kreabench.backends.model_files import weights_sha256
from kreabench.core.errors import EnvironmentProblem
from tests.support import make_request, make_setting

WEIGHTS_SHA256 = "52a7728b13c3c952986002191a7f416b08d0bd13762d91e5c0f1c86d34fb0363"
"""Of the recipe's present revision, on every machine. When it changes, raise the recipe's `rule`."""

PROMPTS = (
    "a red bicycle leaning on a white wall",
    "a blue bicycle leaning on a white wall",
    "portrait of an old fisherman, soft window light",
    "a misty harbour at dawn, photograph",
    "x",
    "",
)


def small_build(folder: Path) -> None:
    """Stands for the real build, which takes a second."""
    (folder / "part").mkdir()
    (folder / "part" / "weights").write_bytes(b"weights")
    (folder / "index").write_bytes(b"index")


def mini_folder(cache: Path, *, build: Callable[[Path], None]) -> Path:
    return built_folder(cache, "mini-untrained", mini_recipe.revision(), build)


def content(folder: Path) -> bytes:
    return (folder / "part" / "weights").read_bytes()


@pytest.mark.parametrize("model", ["black-forest-labs/FLUX.1-Krea-dev", "/some/folder", "relative"])
def test_other_models_are_left_as_they_are(model: str) -> None:
    assert resolve_model(model) == model


def test_an_unknown_built_in_names_the_known_ones() -> None:
    with pytest.raises(EnvironmentProblem, match=r"'builtin:mimi'.*did you mean builtin:mini\?"):
        resolve_model("builtin:mimi")


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_recipe, "build", small_build)
    folder = mini_folder(tmp_path, build=small_build)
    assert resolve_model("builtin:mini-untrained", environ={"KREABENCH_CACHE": str(tmp_path)}) == str(folder)
    assert folder.parent == tmp_path


def test_weights_are_the_same_on_every_machine_and_leave_torch_alone(tmp_path: Path, mini_model: Path) -> None:
    import torch

    before = torch.get_rng_state()
    mini_recipe.build(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights_sha256(tmp_path) == weights_sha256(mini_model) == WEIGHTS_SHA256


def test_an_intact_folder_is_used_again(tmp_path: Path) -> None:
    folder = mini_folder(tmp_path, build=small_build)

    def never(_: Path) -> None:
        raise AssertionError("built again")

    assert mini_folder(tmp_path, build=never) == folder
    assert content(folder) == b"weights"


@pytest.mark.parametrize("damage", ["cut", "changed", "deleted", "no manifest", "bad manifest", "a file", "emptied"])
def test_a_damaged_folder_is_built_again(tmp_path: Path, damage: str) -> None:
    folder = mini_folder(tmp_path, build=small_build)
    weights = folder / "part" / "weights"
    match damage:
        case "cut":
            weights.write_bytes(b"weig")
        case "changed":
            weights.write_bytes(b"Weights")
        case "deleted":
            weights.unlink()
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "bad manifest":
            (folder / "manifest.json").write_text("[1, 2")
        case "a file":
            folder.rename(tmp_path / "away")
            folder.write_text("not a folder")
        case "emptied":
            (folder / "manifest.json").write_text('{"files": {}}')
    assert not is_intact(folder)
    assert content(mini_folder(tmp_path, build=small_build)) == b"weights"
    assert is_intact(folder)
    assert not list(tmp_path.glob("*.tmp-*"))


def test_builders_at_once_build_once(tmp_path: Path) -> None:
    builds = []

    def slow(folder: Path) -> None:
        builds.append(folder)
        time.sleep(0.05)
        small_build(folder)

    threads = [threading.Thread(target=mini_folder, args=(tmp_path,), kwargs={"build": slow}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert content(mini_folder(tmp_path, build=small_build)) == b"weights"


def test_a_build_that_fails_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        small_build(folder)
        raise RuntimeError("made up")

    with pytest.raises(RuntimeError, match="made up"):
        mini_folder(tmp_path, build=broken)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_what_a_killed_builder_left_is_cleared(tmp_path: Path) -> None:
    folder = mini_folder(tmp_path, build=small_build)
    (tmp_path / f"{folder.name}.tmp-killed" / "fresh").mkdir(parents=True)
    (folder / "index").unlink()
    mini_folder(tmp_path, build=small_build)
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentProblem, match=r"KREABENCH_CACHE: found .*/file/cache"):
        mini_folder(tmp_path / "file" / "cache", build=small_build)


@pytest.fixture(scope="module")
def draw(mini_backend: Any) -> Callable[..., np.ndarray]:
    def draw_one(prompt: str = PROMPTS[0], *, seed: int = 0, **changes: Any) -> np.ndarray:
        setting = make_setting(**({"steps": 4} | changes))
        generation = mini_backend.generate(setting, make_request(setting, prompt=prompt, seed=seed))
        with Image.open(io.BytesIO(generation.images[0].content)) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.float64)

    return draw_one


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """dB; infinite for equal pictures."""
    error = float(np.mean((first - second) ** 2))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def test_no_picture_is_black_or_flat_and_prompts_differ(draw: Callable[..., np.ndarray]) -> None:
    pictures = [draw(prompt) for prompt in PROMPTS]
    for picture in pictures:
        assert 20 < picture.std() < 100
        assert 40 < picture.mean() < 215
    for first, second in combinations(pictures, 2):
        assert psnr(first, second) < 25


@pytest.mark.parametrize("change", [{"seed": 1}, {"guidance": 2.0}, {"guidance": 8.0}, {"steps": 1}, {"width": 192}])
def test_every_request_parameter_shows(draw: Callable[..., np.ndarray], change: dict[str, Any]) -> None:
    base, changed = draw(), draw(**change)
    assert changed.shape[1] == change.get("width", 128)
    assert psnr(base, changed[:, :128]) < 35


def test_more_steps_come_closer_to_many(draw: Callable[..., np.ndarray]) -> None:
    many = draw(steps=32)
    few, some, more = (psnr(draw(steps=steps), many) for steps in (2, 6, 16))
    assert few < some < more
