"""HPS v2.1: how people would prefer the picture for its prompt, as the cosine of both embeddings.

Wu et al., "Human Preference Score v2" (arXiv 2306.09341): CLIP ViT-H/14 trained further on choices of people. Its
package makes pictures the model's input in a way of its own, in which the scores were published: the whole picture,
its longer side shrunk to the model's size as floating-point numbers, on black. open_clip would cut out the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.clip_encoder import Preparation, encoder_of
from kreabench.metrics.clip_options import ClipOptions
from kreabench.metrics.clip_weights import need_of
from kreabench.metrics.needs import Need
from kreabench.metrics.prompt_encoder import score_pairs
from kreabench.metrics.shared import Shared

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from kreabench.metrics.clip_encoder import ClipEncoder

VERSION = 1
"""Of this implementation; raised when the same picture and weights would score differently."""

WEIGHTS = "hub:xswu/HPSv2/HPS_v2.1_compressed.pt@697403c78157020a1ae59d23f111aa58ced35b0a"
"""The published weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hpsv2Options(ClipOptions):
    """The model, which the weights decide."""

    model: str = "ViT-H-14"
    weights: str = WEIGHTS


class Hpsv2:
    """See the module. Options as in `Hpsv2Options`."""

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = Hpsv2Options(**options)
        self._encoder: ClipEncoder | None = None
        self.needs: tuple[Need, ...] = (need_of(self._options),)

    def open(self, shared: Shared) -> dict[str, Any]:
        """Find, check and load the weights. Raises EnvironmentProblem."""
        options = self._options
        self._encoder = encoder_of(shared, options, preparation=Preparation(name="hpsv2", make=preparation))
        return {"version": VERSION, **self._encoder.identity}

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` at a time."""
        if self._encoder is None:
            raise RuntimeError("score() before open()")
        return score_pairs(self._encoder, items, batch_size=self._options.batch_size, value=lambda cosine: cosine)

    def close(self) -> None:
        """Let go of the encoder."""
        self._encoder = None


def preparation(config: Mapping[str, Any]) -> Callable[[Image], Tensor]:
    """What turns a picture into an input, as HPS v2's package does; `config` is open_clip's preprocessing."""
    size = config["size"] if isinstance(config["size"], int) else max(config["size"])

    def prepare(image: Image) -> Tensor:
        from torchvision.transforms import InterpolationMode, functional

        pixels = functional.to_tensor(image)
        scale = size / max(pixels.shape[1:])
        height, width = (round(side * scale) for side in pixels.shape[1:])
        if min(height, width) < 1:
            raise ValueError(f"{image.width}×{image.height} pixels are too thin to be shrunk to {size}")
        if scale != 1.0:
            # Of floating-point numbers, so that bicubic overshoots are kept, as there. Today's torchvision smooths
            # when it shrinks unless told not to; the one of the package's first days did not.
            pixels = functional.resize(pixels, [height, width], InterpolationMode.BICUBIC, antialias=True)
        left, top = (size - width) // 2, (size - height) // 2
        padded = functional.pad(pixels, [left, top, size - width - left, size - height - top], fill=0)
        normalised: Tensor = functional.normalize(padded, mean=list(config["mean"]), std=list(config["std"]))
        return normalised

    return prepare
