"""CLIP-IQA: the probability that torchmetrics gives, without its double rescaling, and texts of one's own."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from torchmetrics.multimodal import CLIPImageQualityAssessment
from torchvision.transforms.functional import pil_to_tensor
from transformers import CLIPImageProcessor

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics import random_clip
from kreabench.metrics.base import ScoreItem
from kreabench.metrics.clip_iqa import ClipIqa, ClipIqaOptions
from tests.metric_support import shared
from tests.small_weights.clip import open_clip_file
from tests.support import picture

SKIN = ("Natural skin texture.", "Waxy plastic skin.")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_clip_file(tmp_path_factory.mktemp("clip"), "clip.pt")


def items(count: int = 20) -> list[ScoreItem]:
    """Of the model's own size, so that no resizing differs (torchmetrics resizes floating-point numbers)."""
    return [ScoreItem(image=picture(64, 64, seed=seed), prompt="", reference=None) for seed in range(count)]


def values(weights: Path, **options: Any) -> list[float]:
    metric = ClipIqa(model="builtin:mini-untrained", weights=str(weights), device="cpu", batch_size=3, **options)
    metric.open(shared())
    return [score.value or 0.0 for score in metric.score(items())]


class Adapter(torch.nn.Module):
    """open_clip's model with the methods of transformers' that torchmetrics calls."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.clip = open_clip.create_model(random_clip.NAME, pretrained=str(weights)).eval()

    def get_image_features(self, pixels: torch.Tensor) -> Any:
        return self.clip.encode_image(pixels)

    def get_text_features(self, tokens: torch.Tensor, _: torch.Tensor) -> Any:
        return self.clip.encode_text(tokens)


class Processor:
    """transformers' image processor, and open_clip's tokens."""

    def __init__(self, *, do_rescale: bool) -> None:
        size: dict[str, Any] = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
        self.image_processor = CLIPImageProcessor(do_rescale=do_rescale, **size)
        self.tokenizer = SimpleNamespace(model_max_length=77)

    def __call__(self, text: Any = None, images: Any = None, **_: Any) -> Any:
        if images is not None:
            return self.image_processor(images, return_tensors="pt")
        tokens = open_clip.tokenize(text)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def of_torchmetrics(weights: Path, prompts: Any, *, do_rescale: bool) -> list[float]:
    made: Any = lambda: (Adapter(weights), Processor(do_rescale=do_rescale))  # noqa: E731 (a factory, as it asks for)
    metric = CLIPImageQualityAssessment(model_name_or_path=made, data_range=255, prompts=prompts)
    metric.update(torch.stack([pil_to_tensor(item.image) for item in items()]).float())
    probabilities: Any = metric.compute()
    return [float(value) for value in probabilities]


@pytest.mark.parametrize(("options", "prompts"), [({}, "quality"), ({"positive": SKIN[0], "negative": SKIN[1]}, SKIN)])
def test_values_equal_those_of_torchmetrics(weights: Path, options: dict[str, str], prompts: Any) -> None:
    expected = of_torchmetrics(weights, (prompts,), do_rescale=False)

    assert values(weights, **options) == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.01  # else equality would show nothing


def test_torchmetrics_rescales_twice_unless_told_not_to(weights: Path) -> None:
    """It divides by the range, and so does the processor: what it then scores is all but black."""
    twice = of_torchmetrics(weights, ("quality",), do_rescale=True)

    assert max(twice) - min(twice) < 0.01
    assert values(weights) != pytest.approx(twice, abs=1e-2)


def test_swapping_the_texts_gives_the_rest_to_one(weights: Path) -> None:
    one = values(weights, positive=SKIN[0], negative=SKIN[1])
    other = values(weights, positive=SKIN[1], negative=SKIN[0])

    assert [a + b for a, b in zip(one, other, strict=True)] == pytest.approx([1.0] * 20)


def test_the_value_is_the_softmax_of_its_details(weights: Path) -> None:
    metric = ClipIqa(model="builtin:mini-untrained", weights=str(weights), device="cpu")
    metric.open(shared())

    for score in metric.score(items(3)):
        logits = [100 * score.details[name] for name in ("positive_cosine", "negative_cosine")]
        assert score.value == pytest.approx(math.exp(logits[0]) / sum(map(math.exp, logits)))


def test_the_texts_are_part_of_the_identity(weights: Path) -> None:
    identities = [
        ClipIqa(model="builtin:mini-untrained", weights=str(weights), device="cpu", **texts).open(shared())
        for texts in ({}, {"positive": "Great photo."})
    ]

    assert identities[0] != identities[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"positive": " "}, "positive"), ({"positive": "A.", "negative": "A."}, "differ"), ({"weights": ""}, "weights")],
)
def test_options_that_mean_nothing(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ClipIqaOptions(**options)


def test_a_text_longer_than_the_model_reads_is_refused(weights: Path) -> None:
    metric = ClipIqa(model="builtin:mini-untrained", weights=str(weights), device="cpu", negative="bad " * 100)

    with pytest.raises(EnvironmentProblem, match=r"options\.negative"):
        metric.open(shared())


def test_scoring_before_opening_is_a_mistake_in_the_program() -> None:
    with pytest.raises(RuntimeError, match="open"):
        ClipIqa().score(items(1))
