"""PickScore: which picture people would pick for a prompt, as a logit: compare within one prompt.

Kirstain et al., "Pick-a-Pic: An Open Dataset of User Preferences for Text-to-Image Generation" (arXiv 2305.01569):
CLIP ViT-H/14 trained further on choices of people, in the format of transformers; its logit scale × the cosine of
picture and prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.devices import check_running, find_device, kind_of
from kreabench.metrics.needs import Need
from kreabench.metrics.prompt_encoder import PromptEncoder, score_pairs
from kreabench.metrics.shared import Shared
from kreabench.metrics.weights import RANDOM_WEIGHTS, WeightsNeed, check_source

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

VERSION = 1
"""Of this implementation; raised when the same picture and weights would score differently."""

WEIGHTS = "hub:yuvalkirstain/PickScore_v1@a4e4367c6dfa7288a00c550414478f865b875800"
"""The published weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PickScoreOptions:
    """A CLIP model in the format of transformers."""

    weights: str = WEIGHTS
    """The model's folder: `hub:…` or a path."""
    processor: str = ""
    """The folder of tokenizer and preprocessing, `hub:…` or a path; empty is that of the weights."""
    untrained: bool = False
    """Says that the weights are random, which brands every score."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    batch_size: int = 16
    """Pictures encoded at once."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        check_source(self.weights, untrained=self.untrained)
        for name, source in (("weights", self.weights), ("processor", self.processor)):
            if source == RANDOM_WEIGHTS or source.startswith("https://"):
                raise ValueError(f"{name} must be the folder of a model, hub:… or a path, and is {source!r}")
        check_running(self.device, self.batch_size)


class PickScore:
    """See the module. Options as in `PickScoreOptions`."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = PickScoreOptions(**options)
        self._encoder: TransformersClip | None = None
        self._weights = WeightsNeed(name="weights of PickScore", source=self._options.weights)
        self._processor = WeightsNeed(
            name="processor of PickScore",
            source=self._options.processor or self._options.weights,
            key="options.processor" if self._options.processor else "options.weights",
            tensors=not self._options.processor,
        )
        self.needs: tuple[Need, ...] = (self._weights, self._processor)[: 2 if self._options.processor else 1]

    def open(self, shared: Shared) -> dict[str, Any]:
        """Find and load the weights. Raises EnvironmentProblem."""
        device = find_device(self._options.device)
        weights, processor = (need.locate(shared.environ) for need in (self._weights, self._processor))
        identity = {
            "weights_sha256": weights.sha256,
            "processor_sha256": processor.sha256,
            "device": kind_of(device),
            "untrained": self._options.untrained,
        }
        key = ("transformers", weights.sha256, processor.sha256, self._options.untrained, device)
        self._encoder = shared.encoder(key, lambda: self._load(weights.path, processor.path, identity, device))
        return {"version": VERSION, **self._encoder.identity}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` at a time."""
        if self._encoder is None:
            raise RuntimeError("score() before open()")
        scale = self._encoder.logit_scale
        return score_pairs(self._encoder, items, batch_size=self._options.batch_size, value=lambda x: scale * x)

    def close(self) -> None:
        """Let go of the encoder."""
        self._encoder = None

    def _load(self, weights: Path, processor: Path, identity: dict[str, Any], device: str) -> TransformersClip:
        try:
            model = _model(weights)
        except Exception as error:  # configuration, safetensors, shapes, memory: each library raises its own
            raise _unusable(
                self._weights.key, weights, error, "a CLIP model of transformers, in safetensors"
            ) from error
        try:
            from transformers import CLIPProcessor

            # Pillow's resizing, as the model was trained with; torchvision's differs by a level here and there.
            loaded = CLIPProcessor.from_pretrained(processor, local_files_only=True, backend="pil")
        except Exception as error:  # missing files, damaged JSON: each library raises its own
            raise _unusable(self._processor.key, processor, error, "CLIP's tokenizer and preprocessing") from error
        return TransformersClip(model=model.to(device).eval(), processor=loaded, identity=identity, device=device)


class TransformersClip(PromptEncoder):
    """A CLIP model of transformers."""

    def __init__(self, *, model: Any, processor: Any, identity: dict[str, Any], device: str) -> None:
        super().__init__(identity=identity, device=device)
        self._model = model
        self._processor = processor
        self._context = int(model.config.text_config.max_position_embeddings)
        self.logit_scale = float(model.logit_scale.detach().exp())
        """What cosines were multiplied with in training."""

    def _prepare(self, image: Image) -> Tensor:
        if image.mode != "RGB":
            raise ValueError(f"expected an RGB picture, found {image.mode}")
        pixels: Tensor = self._processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    def _encode(self, batch: Tensor) -> Tensor:
        return _pooled(self._model.get_image_features(pixel_values=batch))

    def _tokens(self, prompt: str) -> tuple[Tensor, bool]:
        import torch

        tokenizer = self._processor.tokenizer
        truncated = len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"]) > self._context
        fitted = tokenizer(prompt, truncation=True, padding="max_length", max_length=self._context, return_tensors="pt")
        return torch.stack([fitted["input_ids"][0], fitted["attention_mask"][0]]), truncated

    def _encode_text(self, tokens: Tensor) -> Tensor:
        return _pooled(self._model.get_text_features(input_ids=tokens[:, 0], attention_mask=tokens[:, 1]))


def _pooled(output: Any) -> Tensor:
    """Since transformers 5 the embedding comes among others."""
    pooled: Tensor = output.pooler_output
    return pooled


def _model(folder: Path) -> Any:
    """The model of a folder. Raises ValueError where weights are missing, which transformers would draw at random."""
    import torch
    from transformers import CLIPModel

    model, loaded = CLIPModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    missing = sorted(loaded["missing_keys"])
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, the first {missing[0]}")
    return model


def _unusable(key: str, folder: Path, error: Exception, expected: str) -> EnvironmentProblem:
    reason = one_line(error, 200)
    return EnvironmentProblem([Problem(key=key, found=f"{folder}: {reason}", expected=expected)])
