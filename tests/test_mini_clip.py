"""The small CLIP that ships: it tells drawn pictures and captions apart, and clean pictures from spoiled ones."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageFilter
from training.changes import CHANGES, changeable, changed

from kreabench.config.resolve import load_metrics
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.drawn.captions import caption, claims_of
from kreabench.drawn.render import render
from kreabench.drawn.scene import Scene, random_scene
from kreabench.metrics.aesthetic import Aesthetic
from kreabench.metrics.base import ScoreItem
from kreabench.metrics.clip_score import ClipScore
from kreabench.metrics.clip_weights import ClipWeightsNeed
from kreabench.metrics.sets import Vendi
from kreabench.metrics.weights import WeightsNeed
from kreabench.miniature import files
from tests.metric_support import shared

MINI: dict[str, Any] = {"model": "builtin:mini", "weights": "builtin:mini", "device": "cpu"}
WEIGHTS = files.WEIGHTS / "clip" / "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    rng = np.random.default_rng(2_000)
    return [random_scene(rng) for _ in range(200)]


@pytest.fixture(scope="module")
def clip_score() -> Iterator[ClipScore]:
    metric = ClipScore(**MINI)
    metric.open(shared())
    yield metric
    metric.close()


@pytest.fixture(scope="module")
def aesthetic() -> Iterator[Aesthetic]:
    metric = Aesthetic(**MINI, head="builtin:mini")
    metric.open(shared())
    yield metric
    metric.close()


def picture(scene: Scene, *, side_px: int = 48) -> Image.Image:
    return Image.fromarray(render(scene, side_px=side_px))


def values(metric: Any, pictures: list[Image.Image], prompts: list[str] | None = None) -> list[float]:
    texts = prompts or [""] * len(pictures)
    rows = zip(pictures, texts, strict=True)
    return [
        score.value
        for score in metric.score([ScoreItem(image=image, prompt=text, reference=None) for image, text in rows])
    ]


@pytest.mark.parametrize(("side_px", "least"), [(48, 0.9), (64, 0.9)])
def test_a_picture_scores_higher_with_its_caption_than_with_one_word_changed(
    clip_score: ClipScore, drawn: list[Scene], side_px: int, least: float
) -> None:
    rng = np.random.default_rng(1)
    pictures = [picture(scene, side_px=side_px) for scene in drawn]
    claims = [claims_of(scene) for scene in drawn]
    kinds = [[what for what in CHANGES if what in changeable(each)] for each in claims]
    others = [caption(changed(each, kinds[row][row % len(kinds[row])], rng)) for row, each in enumerate(claims)]

    own = values(clip_score, pictures, [caption(each) for each in claims])
    other = values(clip_score, pictures, others)

    assert sum(one > two for one, two in zip(own, other, strict=True)) >= least * len(drawn)


def spoiled(image: Image.Image, how: str, rng: np.random.Generator) -> Image.Image:
    if how == "blur":
        return image.filter(ImageFilter.GaussianBlur(2))
    if how == "fading":
        return Image.blend(image, Image.new("RGB", image.size, (128, 128, 128)), 0.6)
    noise = rng.normal(0, 40, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("how", ["blur", "fading", "noise"])
def test_a_spoiled_picture_is_rated_lower(aesthetic: Aesthetic, drawn: list[Scene], how: str) -> None:
    """By more than a point, and nearly every one: the spoiling is not that of the training."""
    rng = np.random.default_rng(3)
    clean = np.array(values(aesthetic, [picture(scene) for scene in drawn]))
    lower = np.array(values(aesthetic, [spoiled(picture(scene), how, rng) for scene in drawn]))

    assert 7 < clean.mean() < 9
    assert (clean - lower).mean() > 1
    assert (lower < clean).mean() > 0.95


def test_more_blur_is_rated_lower_still(aesthetic: Aesthetic, drawn: list[Scene]) -> None:
    means = [
        np.mean(values(aesthetic, [picture(scene).filter(ImageFilter.GaussianBlur(radius)) for scene in drawn[:100]]))
        for radius in (0, 0.8, 1.6, 2.4)
    ]

    assert means == sorted(means, reverse=True)


def test_scores_are_not_branded_untrained() -> None:
    clip = ClipScore(**MINI).open(shared())
    head = Aesthetic(**MINI, head="builtin:mini").open(shared())
    alike = Vendi(**MINI, encoder="clip").open(shared())

    assert [identity["untrained"] for identity in (clip, head, alike)] == [False] * 3
    assert clip["weights_sha256"] == head["weights_sha256"] == alike["weights_sha256"]
    assert clip["tokenizer_sha256"]


def test_the_experiments_of_the_miniature_use_it() -> None:
    for name in ("mini_clip_score", "mini_aesthetic", "mini_vendi"):
        (metric,) = load_metrics([name])
        assert metric.options["model"] == metric.options["weights"] == "builtin:mini"
        assert not metric.options.get("untrained")


def test_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drawn: list[Scene]) -> None:
    """With an empty cache too: all of it is in the package."""

    def refused(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    metric = ClipScore(**MINI)

    assert [need.problem({"KREABENCH_OFFLINE": "1"}) for need in metric.needs] == [None]
    assert not any(need.fetchable for need in metric.needs)
    metric.open(shared())
    assert values(metric, [picture(drawn[0])], ["a red circle"])[0] > 0


def test_open_clip_alone_gives_the_same_cosines(clip_score: ClipScore, drawn: list[Scene]) -> None:
    """The folder is one that open_clip's own loader takes, half precision and tokenizer and all."""
    name = f"local-dir:{WEIGHTS.parent}"
    model, preprocess = open_clip.create_model_from_pretrained(name, precision="fp32")
    pictures = [picture(scene, side_px=80) for scene in drawn[:8]]
    prompts = [caption(claims_of(scene)) for scene in drawn[:8]]
    tokens = open_clip.get_tokenizer(name)(prompts)
    with torch.no_grad():
        images = model.eval().encode_image(torch.stack([preprocess(one) for one in pictures]), normalize=True)
        cosines = (images * model.encode_text(tokens, normalize=True)).sum(1)

    expected = [100 * max(float(cosine), 0.0) for cosine in cosines]
    assert values(clip_score, pictures, prompts) == pytest.approx(expected, abs=1e-3)


def test_its_files_are_half_precision_and_small() -> None:
    from safetensors.torch import load_file

    assert {value.dtype for value in load_file(WEIGHTS).values()} == {torch.float16}
    assert sum(file.stat().st_size for file in WEIGHTS.parent.iterdir()) < 1.5e6


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "tokenizer.json", "open_clip_config.json"])
def test_a_damaged_or_missing_file_is_named_with_its_hash(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "weights"
    shutil.copytree(files.WEIGHTS / "clip", copied / "clip")
    shutil.copy(files.WEIGHTS / files.MANIFEST, copied)
    digest = json.loads((copied / files.MANIFEST).read_bytes())["files"][f"clip/{name}"]
    monkeypatch.setattr(files, "WEIGHTS", copied)
    path = copied / "clip" / name
    path.write_bytes(path.read_bytes()[:-8])

    problem = ClipWeightsNeed(model="builtin:mini", weights="builtin:mini").problem({})

    assert problem is not None
    assert name in problem.found
    assert digest in problem.expected
    assert problem.key.startswith("options.")
    with pytest.raises(EnvironmentProblem, match=name):
        ClipScore(**MINI).open(shared())


def test_a_missing_head_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(files.WEIGHTS / "clip", tmp_path / "clip")
    shutil.copy(files.WEIGHTS / files.MANIFEST, tmp_path)
    (tmp_path / "clip" / "aesthetic_head.safetensors").unlink()
    monkeypatch.setattr(files, "WEIGHTS", tmp_path)

    problems = [need.problem({}) for need in Aesthetic(**MINI, head="builtin:mini").needs]

    assert any("aesthetic_head.safetensors" in problem.found for problem in problems if problem)


def problem_of(need: Any) -> Problem:
    problem = need.problem({})
    assert isinstance(problem, Problem)
    return problem


def test_what_ships_is_not_for_other_models() -> None:
    assert "ViT-B-32" in problem_of(ClipWeightsNeed(model="ViT-B-32", weights="builtin:mini")).found
    assert "builtin:mini" in problem_of(WeightsNeed(name="weights of DINOv2", source="builtin:mini")).found
    siglip = ClipWeightsNeed(model="ViT-B-16-SigLIP", weights="random", tokenizer="builtin:mini")
    assert problem_of(siglip).key == "options.tokenizer"
    with pytest.raises(ValueError, match=r"head: builtin:mini.*ViT-L-14"):
        Aesthetic(head="builtin:mini")
    with pytest.raises(ValueError, match="builtin:mini"):
        ClipScore(model="builtin:mini", weights="builtin:maxi")
