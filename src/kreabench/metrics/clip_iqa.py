"""CLIP-IQA: which of two opposite descriptions a picture is nearer to, as a probability.

Wang et al., "Exploring CLIP for Assessing the Look and Feel of Images" (arXiv 2207.12396): the softmax over 100 × the
cosines with both texts. As torchmetrics computes it with a model that reads pictures at one size; the original leaves
out the position embeddings of a ResNet instead, so as to read any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.clip_encoder import encoder_of
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_weights import need_of
from kreabench.metrics.needs import Need
from kreabench.metrics.prompt_encoder import Text
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from torch import Tensor

    from kreabench.metrics.clip_encoder import ClipEncoder

VERSION = 1
"""Of this implementation; raised when the same picture and weights would score differently."""

LOGIT_SCALE = 100.0
"""The one that CLIP was trained with, at its upper bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipIqaOptions(ClipOptions):
    """The model and the two texts."""

    positive: str = "Good photo."
    """What a high value says of the picture."""
    negative: str = "Bad photo."
    """Its opposite."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        ClipOptions.__post_init__(self)
        for name, text in (("positive", self.positive), ("negative", self.negative)):
            if not text.strip():
                raise ValueError(f"{name} must describe pictures, and is {text!r}")
        if self.positive == self.negative:
            raise ValueError(f"positive and negative must differ, and are both {self.positive!r}")


class ClipIqa:
    """See the module. Options as in `ClipIqaOptions`."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = ClipIqaOptions(**options)
        self._encoder: ClipEncoder | None = None
        self._texts: tuple[Text, Text] | None = None
        self.needs: tuple[Need, ...] = (need_of(self._options),)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Load the encoder and read both texts. Raises EnvironmentProblem."""
        options = self._options
        self._encoder = encoder_of(shared, options)
        positive, negative = self._encoder.texts([options.positive, options.negative])
        self._texts = (_readable(positive, "positive"), _readable(negative, "negative"))
        texts = {"positive": options.positive, "negative": options.negative}
        return {"version": VERSION, **texts, **self._encoder.identity}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` at a time."""
        if self._encoder is None or self._texts is None:
            raise RuntimeError("score() before open()")
        pictures = [(item.sha256, item.image) for item in items]
        embedded = self._encoder.embed(pictures, batch_size=self._options.batch_size)
        return [_score(picture, *self._texts) for picture in embedded]

    def close(self) -> None:
        """Let go of the encoder, which others may share."""
        self._encoder = self._texts = None


def _score(picture: Tensor | str, positive: Text, negative: Text) -> Score:
    if isinstance(picture, str):
        return failed(picture)
    towards, away = (float((picture * text.embedding).sum()) for text in (positive, negative))
    return Score(
        status="ok",
        value=1.0 / (1.0 + math.exp(LOGIT_SCALE * (away - towards))),  # softmax of two; at most e^200
        details={"positive_cosine": towards, "negative_cosine": away},
    )


def _readable(text: Text | str, name: str) -> Text:
    if isinstance(text, Text) and not text.truncated:
        return text
    found = text if isinstance(text, str) else "a text longer than the model reads"
    raise EnvironmentProblem([Problem(key=f"options.{name}", found=found, expected="a short description of pictures")])
