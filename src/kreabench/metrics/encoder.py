"""Pictures to embeddings: each picture once a model, whoever asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kreabench.core.errors import one_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

OUT_OF_MEMORY = "the device's memory is too small for one picture"
REMEMBERED = 65_536
"""Embeddings of pictures kept: a few KB each."""


class ImageEncoder(ABC):
    """A loaded model. Subclasses prepare one picture as the model's own preprocessing does, and encode a batch."""

    def __init__(self, *, identity: dict[str, Any], device: str, normalised: bool = True) -> None:
        self.identity = identity
        """What a metric's identity has to say of it: model, weights_sha256, preprocessing, device, untrained."""
        self.device = device
        self.normalised = normalised
        """Whether vectors have length 1; some distances need them as the model gives them."""
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @abstractmethod
    def _prepare(self, image: Image) -> Tensor:
        """The model's input of one picture, on the CPU, without the batch's dimension."""

    @abstractmethod
    def _encode(self, batch: Tensor) -> Tensor:
        """Batch × width, not normalised. Called in inference mode, with `batch` on the device."""

    def embed(self, pictures: Sequence[tuple[str, Image]], *, batch_size: int) -> list[Tensor | str]:
        """A vector (float32, on the CPU, of length 1 unless not `normalised`) for each (SHA-256, RGB picture), or why
        there is none.

        A picture whose SHA-256 was seen before is not encoded again. Where memory runs out the batch is halved.
        """
        found: list[Tensor | str | None] = [self._recall(key) for key, _ in pictures]
        waiting: dict[str | int, list[int]] = {}
        prepared: list[tuple[list[int], Tensor]] = []
        for position, (key, image) in enumerate(pictures):
            if found[position] is not None:
                continue
            if key and key in waiting:
                waiting[key].append(position)
                continue
            positions = waiting.setdefault(key or position, [position])
            try:
                prepared.append((positions, self._prepare(image)))
            except Exception as error:  # one bad picture must not cost the others their score
                found[position] = one_line(error)
        for start in range(0, len(prepared), batch_size):
            part = prepared[start : start + batch_size]
            for (positions, _), vector in zip(part, self._vectors([pixels for _, pixels in part]), strict=True):
                for position in positions:
                    found[position] = self._keep(pictures[position][0], vector) if vector is not None else OUT_OF_MEMORY
        return ["the same picture failed before" if entry is None else entry for entry in found]

    def _recall(self, key: str) -> Tensor | None:
        vector = self._known.get(key) if key else None
        if vector is not None:
            self._known.move_to_end(key)
        return vector

    def _keep(self, key: str, vector: Tensor) -> Tensor | str:
        import torch

        if not bool(torch.isfinite(vector).all()):
            return "the embedding is not finite"
        if key:
            self._known[key] = vector
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return vector

    def _vectors(self, pixels: list[Tensor]) -> list[Tensor | None]:
        """None for a picture that alone is too much."""
        import torch

        try:
            with torch.inference_mode():
                encoded = self._encode(torch.stack(pixels).to(self.device)).float()
                if self.normalised:
                    encoded = torch.nn.functional.normalize(encoded, dim=-1)
                return list(encoded.cpu())
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                return [None]
        torch.cuda.empty_cache()
        half = len(pixels) // 2
        return self._vectors(pixels[:half]) + self._vectors(pixels[half:])
