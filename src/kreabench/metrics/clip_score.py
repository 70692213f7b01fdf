"""CLIP score: how well a picture fits its prompt, as 100 × cosine of their CLIP embeddings, at least 0.

Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning" (arXiv 2104.08718), with the
factor 100 of torchmetrics instead of 2.5. Computed with open_clip directly: torchmetrics gives only the mean of a
batch, and cuts off the end token of long prompts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.clip_weights import ClipWeights, find_weights
from kreabench.metrics.mini_clip import MINI_CLIP, RANDOM_WEIGHTS
from kreabench.metrics.needs import Need
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

VERSION = 1
"""Of this implementation; raised when the same picture and weights would score differently."""

_REMEMBERED_PROMPTS = 4096
"""Text embeddings kept: a prompt recurs with every setting and seed."""


_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipScoreOptions:
    """An open_clip model and where its weights come from."""

    model: str = "ViT-L-14-quickgelu"
    """An open_clip architecture, or `builtin:mini` for the tiny one that kreabench builds itself."""
    weights: str = "openai"
    """open_clip's tag, a local file, or `random` (with `builtin:mini` alone)."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    batch_size: int = 16
    """Pictures encoded at once."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        if not self.weights:
            raise ValueError("weights must be a tag of open_clip, a file, or `random`, and is empty")
        if self.weights == RANDOM_WEIGHTS and self.model != MINI_CLIP:
            raise ValueError(f"weights `random` need model `{MINI_CLIP}`: random scores of {self.model} mean nothing")
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, and is {self.device!r}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, and is {self.batch_size}")


@dataclass(slots=True)
class _Text:
    """A prompt as CLIP reads it."""

    tokens: Tensor
    truncated: bool
    embedding: Tensor | None = None


@dataclass(slots=True)
class _Clip:
    """An opened model."""

    model: Any
    preprocess: Callable[[Image], Tensor]
    """The model's own resizing, cropping and normalising."""
    tokenizer: Any
    device: str
    texts: dict[str, _Text] = field(default_factory=dict)

    def text(self, prompt: str) -> _Text:
        """The prompt's tokens, with its embedding where it was computed before."""
        known = self.texts.get(prompt)
        if known is None:
            # open_clip keeps the end token of a cut prompt, so the result alone does not show the cut.
            truncated = len(self.tokenizer.encode(prompt)) + 2 > self.tokenizer.context_length
            known = _Text(tokens=self.tokenizer(prompt)[0], truncated=truncated)
            while len(self.texts) >= _REMEMBERED_PROMPTS:
                del self.texts[next(iter(self.texts))]
            self.texts[prompt] = known
        return known

    def cosines(self, pixels: Sequence[Tensor], texts: Sequence[_Text]) -> list[float]:
        """The cosine of each picture with its text."""
        import torch

        with torch.inference_mode():
            fresh = list({id(text): text for text in texts if text.embedding is None}.values())
            if fresh:
                tokens = torch.stack([text.tokens for text in fresh]).to(self.device)
                embeddings = self.model.encode_text(tokens, normalize=True)
                for text, embedding in zip(fresh, embeddings, strict=True):
                    text.embedding = embedding
            images = self.model.encode_image(torch.stack(list(pixels)).to(self.device), normalize=True)
            prompts = torch.stack([text.embedding for text in texts if text.embedding is not None])
            cosines: list[float] = (images * prompts).sum(dim=-1).tolist()
        return cosines


class ClipScore:
    """See the module. Options as in `ClipScoreOptions`."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = ClipScoreOptions(**options)
        self._clip: _Clip | None = None
        self.needs: tuple[Need, ...] = ()

    def open(self, shared: Shared) -> dict[str, Any]:
        """Find, check and load the weights. Raises EnvironmentProblem.

        Library versions are no part of the identity: they would void scores that do not change. The kind of device is,
        because a GPU rounds differently (TF32), and such scores should not be mixed.
        """
        device = _device(self._options.device)
        weights = find_weights(self._options.model, self._options.weights)
        self._clip = _load(weights, device)
        preprocessing = self._clip.model.visual.preprocess_cfg
        return {
            "version": VERSION,
            "model": self._options.model,
            "weights_sha256": weights.sha256,
            "quick_gelu": weights.quick_gelu,
            "preprocessing": {name: list(v) if isinstance(v, tuple) else v for name, v in preprocessing.items()},
            "device": device.partition(":")[0],
            "untrained": weights.untrained,
        }

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` at a time."""
        if self._clip is None:
            raise RuntimeError("score() before open()")
        size = self._options.batch_size
        batches = (items[start : start + size] for start in range(0, len(items), size))
        return [score for batch in batches for score in _score_batch(self._clip, batch)]

    def close(self) -> None:
        """Drop the model and the text embeddings."""
        self._clip = None


def _score_batch(clip: _Clip, items: Sequence[ScoreItem]) -> list[Score]:
    scores: list[Score | None] = []
    pixels, texts = [], []
    for item in items:
        try:
            text, picture = clip.text(item.prompt), clip.preprocess(item.image)
        except Exception as error:  # one bad picture or prompt must not cost the others their score
            scores.append(Score(status="failed", value=None, reason=f"{type(error).__name__}: {error}"))
            continue
        scores.append(None)
        texts.append(text)
        pixels.append(picture)
    results = map(_to_score, clip.cosines(pixels, texts) if pixels else [], texts)
    return [score if score is not None else next(results) for score in scores]


def _to_score(cosine: float, text: _Text) -> Score:
    if not math.isfinite(cosine):
        return Score(status="failed", value=None, reason=f"the cosine of the embeddings is {cosine}")
    # Rounding takes the cosine of two equal directions past 1.
    return Score(status="ok", value=min(max(100.0 * cosine, 0.0), 100.0), truncated=text.truncated)


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    count = torch.cuda.device_count()
    if int(wanted.partition(":")[2] or 0) >= count:
        raise EnvironmentProblem(
            [
                Problem(
                    key="options.device",
                    found=f"{wanted!r} on a machine with {count} CUDA device{'' if count == 1 else 's'}",
                    expected="a device that is there, `cpu` or `auto`",
                )
            ]
        )
    return wanted


def _load(weights: ClipWeights, device: str) -> _Clip:
    import open_clip

    try:
        model, preprocess = open_clip.create_model_from_pretrained(  # requires that weights are loaded
            weights.architecture, pretrained=weights.source, device=device, weights_only=True
        )
    except Exception as error:  # unpickling, safetensors, missing keys, memory: each library raises its own
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise EnvironmentProblem(
            [
                Problem(
                    key="options.weights",
                    found=f"{weights.source} (SHA-256 {weights.sha256[:12]}…): {reason}",
                    expected=f"weights in open_clip's layout for {weights.architecture}, as tensors without code",
                    remedy="Delete the file if it is a damaged download or cache; it is fetched or built again",
                )
            ]
        ) from error
    tokenizer = open_clip.get_tokenizer(weights.architecture)
    return _Clip(model=model.eval(), preprocess=preprocess, tokenizer=tokenizer, device=device)
