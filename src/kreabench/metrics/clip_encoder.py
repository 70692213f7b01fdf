"""CLIP models of open_clip as encoders that metrics share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kreabench.metrics.encoder import ImageEncoder
    from kreabench.metrics.shared import Shared


def open_clip_encoder(shared: Shared, *, model: str, weights: str, untrained: bool, device: str) -> ImageEncoder:
    """The encoder of these options, loaded by the first who asks. Raises EnvironmentProblem; sends nothing."""
    raise NotImplementedError
