"""What the metrics on a CLIP model of open_clip have in common to choose."""

from __future__ import annotations

from dataclasses import dataclass

from kreabench.metrics.devices import check_running
from kreabench.metrics.weights import check_source


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipOptions:
    """An open_clip model and where its weights come from. Metrics with the same ones share its passes."""

    model: str = "ViT-L-14-quickgelu"
    """An open_clip architecture, or one of ours: `builtin:mini`, small and trained on drawn pictures, and
    `builtin:mini-untrained`, which is tiny and random."""
    weights: str = "openai"
    """open_clip's tag, a file in its layout, or one of the forms of metrics/weight_sources.py."""
    tokenizer: str = ""
    """`hub:OWNER/NAME@REVISION` or a folder, for an architecture that has a tokenizer of its own, such as SigLIP.
    `builtin:mini` needs none named."""
    untrained: bool = False
    """Says that the weights are random, which brands every score."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    batch_size: int = 16
    """Pictures encoded at once."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        check_source(self.weights, untrained=self.untrained)
        check_running(self.device, self.batch_size)
