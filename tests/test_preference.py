"""PickScore and HPS v2.1: what their authors' own code computes, from weights in the formats they published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional
from transformers import CLIPModel, CLIPProcessor

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics import random_clip
from kreabench.metrics.base import ScoreItem
from kreabench.metrics.hpsv2 import Hpsv2, preparation
from kreabench.metrics.pickscore import PickScore, PickScoreOptions
from tests.metric_support import shared
from tests.small_weights.clip import hps_file, transformers_folder
from tests.support import picture

PROMPTS = ("a red bicycle", "", "雨の夜 🌧 شارع", "dog " * 75, "dog " * 76)
OPENAI_MEAN, OPENAI_STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


@pytest.fixture(scope="module")
def pickscore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transformers_folder(tmp_path_factory.mktemp("pickscore"))


@pytest.fixture(scope="module")
def hps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hps_file(tmp_path_factory.mktemp("hps"))


def items() -> list[ScoreItem]:
    sizes = ((96, 64), (64, 64), (200, 70), (16, 16))
    return [
        ScoreItem(image=picture(*size, seed=seed), prompt=prompt, reference=None)
        for seed, size in enumerate(sizes)
        for prompt in PROMPTS
    ]


def problem_of(**options: Any) -> Problem:
    with pytest.raises(EnvironmentProblem) as caught:
        PickScore(device="cpu", **options).open(shared())
    (problem,) = caught.value.problems
    return problem


def test_pickscore_equals_its_model_card(pickscore: Path) -> None:
    """The card's computation, one pair at a time; transformers 5 gives the embedding as `pooler_output`."""
    processor, model = CLIPProcessor.from_pretrained(pickscore), CLIPModel.from_pretrained(pickscore).eval()
    expected = []
    for pair in items():
        with torch.no_grad():
            text = processor(text=pair.prompt, padding=True, truncation=True, max_length=77, return_tensors="pt")
            image = processor(images=pair.image, return_tensors="pt")
            texts = model.get_text_features(**text).pooler_output
            images = model.get_image_features(**image).pooler_output
            cosine = torch.nn.functional.cosine_similarity(texts, images)
            expected.append(float(model.logit_scale.exp() * cosine))
    metric = PickScore(weights=str(pickscore), device="cpu", batch_size=3)
    metric.open(shared())

    scores = metric.score(items())

    assert [score.value for score in scores] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert max(expected) - min(expected) > 0.1  # else equality would show nothing
    assert [score.truncated for score in scores][:5] == [False, False, False, False, True]


@pytest.mark.parametrize("size", [(161, 203), (403, 271), (37, 41)], ids=str)
def test_pickscore_resizes_as_pillow_does(pickscore: Path, size: tuple[int, int]) -> None:
    """With torchvision's resizing, which transformers prefers, many pixels are a level off, and scores by 0.1 %."""
    metric, image = PickScore(weights=str(pickscore), device="cpu"), picture(*size, seed=1)
    metric.open(shared())
    width, height = (64 * side // min(size) for side in size)
    left, top = (width - 64) // 2, (height - 64) // 2
    square = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 64, top + 64))
    expected = functional.normalize(functional.to_tensor(square), OPENAI_MEAN, OPENAI_STD)

    assert metric._encoder is not None
    assert torch.allclose(metric._encoder._prepare(image), expected, atol=1e-5)


def test_pickscore_takes_a_processor_of_elsewhere(pickscore: Path, tmp_path: Path) -> None:
    processor, weights = tmp_path / "processor", tmp_path / "weights"
    shutil.copytree(pickscore, processor, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    weights.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(pickscore / name, weights)
    apart = PickScore(weights=str(weights), processor=str(processor), device="cpu")
    together = PickScore(weights=str(pickscore), device="cpu")
    apart.open(shared())
    together.open(shared())

    assert [need.problem({}) for need in apart.needs] == [None, None]
    assert len(together.needs) == 1
    assert apart.score(items()[:3]) == together.score(items()[:3])
    assert problem_of(weights=str(weights)).key == "options.weights"


def test_pickscore_never_draws_missing_weights(pickscore: Path, tmp_path: Path) -> None:
    """transformers would, after a line in the log."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "cut"
    shutil.copytree(pickscore, folder)
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    problem = problem_of(weights=str(folder))

    assert problem.key == "options.weights"
    assert "visual_projection.weight" in problem.found


def test_pickscore_refuses_weights_of_another_shape(pickscore: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(pickscore, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "projection_dim": 16}))

    assert problem_of(weights=str(folder)).key == "options.weights"


def test_pickscore_never_runs_code_of_a_pickle(pickscore: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "owned",)

    folder = tmp_path / "pickled"
    shutil.copytree(pickscore, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save({"logit_scale": Payload()}, folder / "pytorch_model.bin")

    assert "safetensors" in problem_of(weights=str(folder)).expected
    assert not (tmp_path / "owned").exists()


def test_odd_prompts_have_a_pickscore_or_a_reason(pickscore: Path) -> None:
    metric = PickScore(weights=str(pickscore), device="cpu")
    metric.open(shared())
    prompts = ("a dog", "half a character \ud83d", "lighthouse " * 2000, "a\x00b", "a dog")

    scores = metric.score([ScoreItem(image=picture(64, 64), prompt=prompt, reference=None) for prompt in prompts])

    assert [score.status for score in scores] == ["ok", "failed", "ok", "ok", "ok"]
    assert "prompt" in scores[1].reason
    assert [score.truncated for score in scores] == [False, False, True, False, False]
    assert scores[0] == scores[4]


def test_a_logit_that_is_no_number_is_a_failure_not_a_score(pickscore: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(pickscore, folder)
    state = load_file(folder / "model.safetensors")
    save_file({**state, "logit_scale": torch.tensor(1e9)}, folder / "model.safetensors", metadata={"format": "pt"})
    metric = PickScore(weights=str(folder), device="cpu")
    metric.open(shared())

    (score,) = metric.score(items()[:1])

    assert (score.status, score.value) == ("failed", None)
    assert "inf" in score.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": "random"}, "untrained"),
        ({"weights": "random", "untrained": True}, "folder"),
        ({"processor": "https://example.org/a.json"}, "processor"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_options_of_pickscore_that_no_machine_can_fulfil(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PickScoreOptions(**options)


def hps_input(image: Image.Image, size: int = 64) -> torch.Tensor:
    """As the authors' package prepares a picture (hpsv2/src/open_clip/transform.py), with `resize_longest_max`."""
    tensor = functional.to_tensor(image)
    scale = size / float(max(tensor.shape[1:]))
    if scale != 1.0:
        new = [round(side * scale) for side in tensor.shape[1:]]
        tensor = functional.resize(tensor, new, functional.InterpolationMode.BICUBIC)
        high, wide = size - new[0], size - new[1]
        tensor = functional.pad(tensor, [wide // 2, high // 2, wide - wide // 2, high - high // 2], fill=0)
    normalised: torch.Tensor = functional.normalize(tensor, OPENAI_MEAN, OPENAI_STD)
    return normalised


def test_hps_equals_its_package(hps: Path) -> None:
    """The model's own forward, in half precision's numbers, as `hpsv2.score` reads it off."""
    random_clip.register()
    model = open_clip.create_model(random_clip.NAME, pretrained=str(hps), output_dict=True).eval()
    tokenizer = open_clip.get_tokenizer(random_clip.NAME)
    pairs = [pair for pair in items() if pair.image.width == pair.image.height or pair.image.width > 64]
    with torch.no_grad():
        outputs = [model(hps_input(pair.image)[None], tokenizer([pair.prompt])) for pair in pairs]
    expected = [float((out["image_features"] @ out["text_features"].T)[0, 0]) for out in outputs]
    metric = Hpsv2(model="builtin:mini-untrained", weights=str(hps), device="cpu", batch_size=3)
    metric.open(shared())

    scores = metric.score(pairs)

    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-5)
    assert [score.truncated for score in scores][:5] == [False, False, False, False, True]


def test_hps_sees_the_whole_picture_on_black() -> None:
    """open_clip would cut the sides off."""
    prepare = preparation({"size": (64, 64), "mean": (0.0,) * 3, "std": (1.0,) * 3})
    wide = Image.new("RGB", (200, 100), (255, 255, 255))

    pixels = prepare(wide).numpy()

    assert pixels.shape == (3, 64, 64)
    assert np.allclose(pixels[:, 16:48], 1.0, atol=1e-5)
    assert not pixels[:, :16].any()
    assert not pixels[:, 48:].any()


def test_hps_and_clip_score_on_one_file_prepare_pictures_each_in_its_own_way(hps: Path) -> None:
    from kreabench.metrics.clip_score import ClipScore

    scoring, options = shared(), {"model": "builtin:mini-untrained", "weights": str(hps), "device": "cpu"}
    own, theirs = Hpsv2(**options), ClipScore(**options)
    identities = [metric.open(scoring) for metric in (own, theirs)]
    wide = [ScoreItem(image=picture(200, 70), prompt="a dog", reference=None, sha256="a" * 64)]

    assert identities[0]["preprocessing"] != identities[1]["preprocessing"]
    assert own.score(wide)[0].value != pytest.approx((theirs.score(wide)[0].value or 0.0) / 100, abs=1e-4)


def test_scoring_before_opening_is_a_mistake_in_the_program() -> None:
    for metric in (PickScore(), Hpsv2()):
        with pytest.raises(RuntimeError, match="open"):
            metric.score(items())
