"""Options of each metric: what `metrics.<name>.options` accepts. Standard library only; validated by `config/`."""

from __future__ import annotations

import re
from dataclasses import dataclass

MINI_CLIP = "builtin:mini"
"""The `model` that kreabench builds itself."""
RANDOM_WEIGHTS = "random"

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


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityOptions:
    """PSNR and SSIM have nothing to choose."""
