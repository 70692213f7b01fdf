"""LAION Aesthetics V2: the published layers on the embedding that the prompt metrics have computed already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics import random_clip
from kreabench.metrics.aesthetic import Aesthetic, AestheticOptions
from kreabench.metrics.base import ScoreItem
from tests.metric_support import shared
from tests.small_weights.clip import head_file, open_clip_file
from tests.support import picture


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_clip_file(tmp_path_factory.mktemp("clip"), "clip.safetensors")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_file(tmp_path_factory.mktemp("head"))


def items(count: int = 20) -> list[ScoreItem]:
    return [ScoreItem(image=picture(96, 64, seed=seed), prompt="", reference=None) for seed in range(count)]


def made(weights: Path, head: Path | str, **options: Any) -> Aesthetic:
    return Aesthetic(model="builtin:mini-untrained", weights=str(weights), head=str(head), device="cpu", **options)


def problem_of(weights: Path, head: Path) -> Problem:
    with pytest.raises(EnvironmentProblem) as caught:
        made(weights, head).open(shared())
    (problem,) = caught.value.problems
    return problem


def test_ratings_equal_the_published_network(weights: Path, head: Path) -> None:
    """As its authors wrote it: dropout between linear layers, off when not training, on normalised embeddings."""
    layers = nn.Sequential(
        *(nn.Linear(64, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2)),
        *(nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1)),
    )
    state = torch.load(head, weights_only=True)
    layers.load_state_dict({name.removeprefix("layers."): value for name, value in state.items()})
    clip, preprocess = open_clip.create_model_from_pretrained(random_clip.NAME, pretrained=str(weights))
    metric = made(weights, head)
    metric.open(shared())
    with torch.no_grad():
        images = torch.stack([preprocess(item.image) for item in items()])
        embeddings = clip.eval().encode_image(images)
        expected = layers.eval()(embeddings / embeddings.norm(dim=-1, keepdim=True))[:, 0].tolist()

    scores = metric.score(items())

    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 1e-4  # else equality would show nothing


def test_a_head_for_another_model_names_both_widths(weights: Path, tmp_path: Path) -> None:
    problem = problem_of(weights, head_file(tmp_path, width=768))

    assert problem.key == "options.head"
    assert "768" in problem.found
    assert "64 of builtin:mini-untrained" in problem.expected


def test_a_head_of_other_layers_names_what_does_not_fit(weights: Path, head: Path, tmp_path: Path) -> None:
    state = torch.load(head, weights_only=True)
    path = tmp_path / "other.pth"
    torch.save({name: value for name, value in state.items() if not name.startswith("layers.7")}, path)

    assert "layers.7.weight" in problem_of(weights, path).found


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK\x03\x04 cut short"])
def test_a_damaged_head(weights: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "head.pth"
    path.write_bytes(content)

    problem = problem_of(weights, path)

    assert problem.key == "options.head"
    assert str(path) in problem.found


def test_a_head_never_runs_code(weights: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "owned",)

    path = tmp_path / "payload.pth"
    torch.save({"layers.0.weight": Payload()}, path)

    problem_of(weights, path)

    assert not (tmp_path / "owned").exists()


def test_a_head_that_is_not_there_is_a_need(weights: Path, tmp_path: Path) -> None:
    metric = made(weights, tmp_path / "missing.pth")

    problems = [need.problem({}) for need in metric.needs]

    assert [problem.key for problem in problems if problem] == ["options.head"]


def test_a_head_that_gives_no_number_is_a_failure_not_a_score(weights: Path, head: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    state = torch.load(head, weights_only=True)
    torch.save({name: value * float("nan") for name, value in state.items()}, path)
    metric = made(weights, path)
    metric.open(shared())

    (score,) = metric.score(items(1))

    assert (score.status, score.value) == ("failed", None)
    assert "nan" in score.reason


def test_a_random_head_needs_the_flag_and_brands_the_scores(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"head.*untrained"):
        AestheticOptions(head="random")
    metric = made(weights, "random", untrained=True)

    identity = metric.open(shared())

    assert identity["untrained"] is True
    assert identity == made(weights, "random", untrained=True).open(shared())
    assert metric.score(items(2))[0].value != metric.score(items(2))[1].value


def test_the_head_is_part_of_the_identity(weights: Path, head: Path, tmp_path: Path) -> None:
    assert made(weights, head).open(shared()) != made(weights, head_file(tmp_path)).open(shared())


def test_scoring_before_opening_is_a_mistake_in_the_program() -> None:
    with pytest.raises(RuntimeError, match="open"):
        Aesthetic().score(items(1))
