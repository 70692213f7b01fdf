"""CLIP score: how well a picture fits its prompt, as 100 × cosine of their CLIP embeddings, at least 0.

Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning" (arXiv 2104.08718), with the
factor 100 of torchmetrics instead of 2.5. Computed with open_clip directly: torchmetrics gives only the mean of a
batch, and cuts off the end token of long prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.clip_encoder import encoder_of
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_weights import need_of
from kreabench.metrics.needs import Need
from kreabench.metrics.prompt_encoder import score_pairs
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from kreabench.metrics.clip_encoder import ClipEncoder

VERSION = 1
"""Of this implementation; raised when the same picture and weights would score differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipScoreOptions(ClipOptions):
    """The model, and nothing else to choose."""


class ClipScore:
    """See the module. Options as in `ClipScoreOptions`."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = ClipScoreOptions(**options)
        self._encoder: ClipEncoder | None = None
        self.needs: tuple[Need, ...] = (need_of(self._options),)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Find, check and load the weights. Raises EnvironmentProblem.

        Library versions are no part of the identity: they would void scores that do not change. The kind of device is,
        because a GPU rounds differently (TF32), and such scores should not be mixed.
        """
        options = self._options
        self._encoder = encoder_of(shared, options)
        return {"version": VERSION, **self._encoder.identity}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` at a time."""
        if self._encoder is None:
            raise RuntimeError("score() before open()")
        return score_pairs(self._encoder, items, batch_size=self._options.batch_size, value=_percent)

    def close(self) -> None:
        """Let go of the encoder, which others may share."""
        self._encoder = None


def _percent(cosine: float) -> float:
    return max(100.0 * cosine, 0.0)
