"""Models that embed pictures and prompts in one space: each prompt once, and the cosine of a pair."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.encoder import ImageEncoder

if TYPE_CHECKING:
    from torch import Tensor

REMEMBERED_PROMPTS = 4096
"""Embeddings of prompts kept: a prompt recurs with every setting and seed."""

_TEXT_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A prompt as the model reads it."""

    embedding: Tensor
    """L2-normalised, float32, on the CPU."""
    truncated: bool
    """Whether the end of the prompt was cut off."""


class PromptEncoder(ImageEncoder):
    """An `ImageEncoder` that reads prompts as well."""

    def __init__(self, *, identity: dict[str, Any], device: str) -> None:
        super().__init__(identity=identity, device=device)
        self._texts: OrderedDict[str, Text] = OrderedDict()

    @abstractmethod
    def _tokens(self, prompt: str) -> tuple[Tensor, bool]:
        """The prompt's token ids, of one length for all prompts, and whether its end was cut off."""

    @abstractmethod
    def _encode_text(self, tokens: Tensor) -> Tensor:
        """Batch × width, not normalised. Called in inference mode, with `tokens` on the device."""

    def texts(self, prompts: Sequence[str]) -> list[Text | str]:
        """Each prompt's embedding, or why there is none. A prompt that was seen before is not encoded again."""
        failed: dict[str, str] = {}
        fresh: dict[str, tuple[Tensor, bool]] = {}
        for prompt in dict.fromkeys(prompts):
            if prompt in self._texts:
                self._texts.move_to_end(prompt)
                continue
            try:
                fresh[prompt] = self._tokens(prompt)
            except Exception as error:  # one bad prompt must not cost the others their score
                failed[prompt] = f"the prompt: {one_line(error)}"
        known = {prompt: self._texts[prompt] for prompt in prompts if prompt in self._texts}
        known |= self._encode_fresh(fresh)
        found: dict[str, Text | str] = {**failed, **known}
        return [found[prompt] if _is_finite(found[prompt]) else _NOT_FINITE for prompt in prompts]

    def _encode_fresh(self, fresh: dict[str, tuple[Tensor, bool]]) -> dict[str, Text]:
        import torch

        texts: dict[str, Text] = {}
        prompts = list(fresh)
        for start in range(0, len(prompts), _TEXT_BATCH):
            part = prompts[start : start + _TEXT_BATCH]
            with torch.inference_mode():
                encoded = self._encode_text(torch.stack([fresh[prompt][0] for prompt in part]).to(self.device))
                rows = torch.nn.functional.normalize(encoded.float(), dim=-1).cpu()
            texts |= {
                prompt: Text(embedding=row, truncated=fresh[prompt][1]) for prompt, row in zip(part, rows, strict=True)
            }
        self._texts.update(texts)
        while len(self._texts) > REMEMBERED_PROMPTS:
            self._texts.popitem(last=False)
        return texts


_NOT_FINITE = "the embedding of the prompt is not finite"


def _is_finite(text: Text | str) -> bool:
    return isinstance(text, str) or bool(text.embedding.isfinite().all())


def score_pairs(
    encoder: PromptEncoder, items: Sequence[ScoreItem], *, batch_size: int, value: Callable[[float], float]
) -> list[Score]:
    """The `value` of the cosine of each picture with its prompt; a score an item, in order."""
    texts = encoder.texts([item.prompt for item in items])
    readable = [item for item, text in zip(items, texts, strict=True) if isinstance(text, Text)]
    pictures = iter(encoder.embed([(item.sha256, item.image) for item in readable], batch_size=batch_size))
    return [failed(text) if isinstance(text, str) else _pair(next(pictures), text, value) for text in texts]


def _pair(picture: Tensor | str, text: Text, value: Callable[[float], float]) -> Score:
    if isinstance(picture, str):
        return failed(picture)
    cosine = float((picture * text.embedding).sum())
    result = value(min(max(cosine, -1.0), 1.0))  # rounding takes the cosine of two equal directions past 1
    if not math.isfinite(result):
        return failed(f"the model gave {result}")
    return Score(status="ok", value=result, truncated=text.truncated)
