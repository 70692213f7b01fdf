"""Options of each metric: what `metrics.<name>.options` accepts. Standard library only; validated by `config/`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipScoreOptions:
    """An open_clip model and where its weights come from."""

    model: str = "ViT-L-14-quickgelu"
    """An open_clip architecture, or `builtin:mini` for the tiny one that kreabench builds itself."""
    weights: str = "openai"
    """open_clip's tag, a local file, or `random` (with `builtin:mini` alone)."""
    device: str = "auto"
    batch_size: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityOptions:
    """PSNR and SSIM have nothing to choose."""
