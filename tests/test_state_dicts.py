"""Weights are read as tensors, whatever a file claims to be, and refused with words where they do not fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics.state_dicts import load_into, load_state_dict

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


def _saved(folder: Path, how: str) -> Path:
    path = folder / f"weights.{'safetensors' if how == 'safetensors' else 'pth'}"
    if how == "safetensors":
        save_file(STATE, path)
    elif how == "checkpoint":
        torch.save({"epoch": 3, "state_dict": STATE}, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=how == "zip")
    return path


@pytest.mark.parametrize("how", ["safetensors", "zip", "legacy", "checkpoint"])
def test_every_format_gives_the_same_tensors(tmp_path: Path, how: str) -> None:
    module = nn.Linear(3, 2)
    path = _saved(tmp_path, how)

    load_into(module, load_state_dict(path), path=path)

    assert torch.equal(module.weight, STATE["weight"])
    assert torch.equal(module.bias, STATE["bias"])


class _Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (self._folder,)


@pytest.mark.parametrize("how", ["zip", "legacy", "plain"])
def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "executed"
    if how == "plain":
        path.write_bytes(pickle.dumps(_Code(trace)))
    else:
        torch.save({"weight": _Code(trace)}, path, _use_new_zipfile_serialization=how == "zip")

    with pytest.raises(EnvironmentProblem) as caught:
        load_state_dict(path, key="options.weights")

    assert not trace.exists()
    assert caught.value.problems[0].key == "options.weights"
    assert "tensors without code" in caught.value.problems[0].expected
    assert "mkdir" in caught.value.problems[0].found or how == "plain"
    assert "Re-running" not in caught.value.problems[0].found  # torch advises to run the code
    pickle.loads(pickle.dumps(_Code(trace)))
    assert trace.exists()  # the code would have done what is looked for


@pytest.mark.parametrize("how", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "other"])
def test_a_damaged_file_says_which_and_how_to_get_it_again(tmp_path: Path, how: str, damage: str) -> None:
    path = _saved(tmp_path, how)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "other": b"<html>no</html>"}[damage])

    with pytest.raises(EnvironmentProblem) as caught:
        load_state_dict(path)

    assert str(path) in caught.value.problems[0].found
    assert "doctor --fetch metrics" in caught.value.problems[0].remedy


@pytest.mark.parametrize("name", ["a folder", "no such file"])
def test_what_is_no_file_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(EnvironmentProblem, match=name):
        load_state_dict(tmp_path if name == "a folder" else tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("content", "words"), [(torch.ones(2), "Tensor"), ({}, "nothing"), ({"weight": "text"}, "no tensors: weight")]
)
def test_what_is_no_state_dict_is_said(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / "weights.pt")

    with pytest.raises(EnvironmentProblem, match=words):
        load_state_dict(tmp_path / "weights.pt")


def test_a_misfit_names_weights_and_shapes_and_changes_nothing() -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()

    with pytest.raises(EnvironmentProblem) as caught:
        load_into(module, {"weight": torch.ones(3, 3), "gain": torch.ones(1)}, path=Path("w.pt"))

    problem = caught.value.problems[0]
    assert problem.found == "w.pt, missing: bias; unexpected: gain; of another shape: weight [3, 3] instead of [2, 3]"
    assert "Linear" in problem.expected
    assert torch.equal(module.weight, before)


def test_long_lists_of_misfits_are_cut() -> None:
    with pytest.raises(EnvironmentProblem, match="extra0, extra1, extra2 and 97 more"):
        load_into(nn.Identity(), {f"extra{number}": torch.ones(1) for number in range(100)}, path=Path("w.pt"))


def test_parts_that_a_model_does_not_use_may_be_there() -> None:
    module = nn.Linear(3, 2)

    load_into(module, STATE | {"classifier.weight": torch.ones(4)}, path=Path("w.pt"), may_have=("classifier.",))

    assert torch.equal(module.bias, STATE["bias"])
