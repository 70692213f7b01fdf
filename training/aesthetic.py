"""A head in the layout of LAION Aesthetics V2 on the small CLIP: clean against degraded pictures.

The published head has no activations between its layers, so all it can compute is linear. The best linear map is
found at once, by least squares; the first layer holds it and the others, one number wide, pass it on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from training.clip import Learner
from training.data import pictures, scenes
from training.degrade import KINDS, degraded, half_denoised

if TYPE_CHECKING:
    from torch import Tensor

BEST, WORST = 8.0, 2.0
"""Scores wanted of a clean picture and of one degraded at level 1."""
LAYERS = ("0", "2", "4", "6", "7")
"""Of the published head; dropout takes the places between."""
COUNT = 1_024
"""Pictures of each kind of degradation."""
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
RIDGE = 1e-4
ALL_KINDS = ("drawn", *KINDS, "half denoised")
"""`drawn` are the clean pictures, of which half are as the autoencoder has them."""


def fitted(learner: Learner, vae: Any, seed: int) -> dict[str, Tensor]:
    """The head's state, in single precision."""
    generator = torch.Generator().manual_seed(seed + 50)
    rows, scores = [], []
    for place, kind in enumerate(ALL_KINDS):
        images = pictures(scenes(seed + 50 + place, COUNT))
        level = torch.rand(COUNT, generator=generator)
        if kind == "drawn":
            level = torch.zeros(COUNT)
        rows.append(embedded(learner, spoiled(vae, images, kind, level, generator)))
        scores.append(BEST + (WORST - BEST) * level)
    inputs = functional.pad(torch.cat(rows), [0, 1], value=1.0).double()
    wanted = torch.cat(scores).double()
    ridge = RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    ridge[-1, -1] = 0  # the constant is free
    found = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted).float()
    state = {"layers.0.weight": found[None, :-1], "layers.0.bias": found[-1:]}
    for name in LAYERS[1:]:
        state |= {f"layers.{name}.weight": torch.ones(1, 1), f"layers.{name}.bias": torch.zeros(1)}
    return {name: value.contiguous() for name, value in state.items()}


def spoiled(vae: Any, images: Tensor, kind: str, level: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 pictures, each at its level, from 0 to 1."""
    if kind == "half denoised":
        parts = zip(torch.split(images, 128), torch.split(level, 128), strict=True)
        return torch.cat([half_denoised(vae, part, each, generator) for part, each in parts])
    clean = images.float() / 255
    if kind == "drawn":
        half = len(images) // 2
        return torch.cat([clean[:half], spoiled(vae, images[half:], "half denoised", level[half:], generator)])
    return degraded(clean, kind, level, generator)


@torch.no_grad()
def embedded(learner: Learner, images: Tensor) -> Tensor:
    """Normalised embeddings of pictures from 0 to 1, rounded as a file of pictures would have them."""
    rounded = (images * 255).round() / 255
    return torch.cat([functional.normalize(learner.pictures(part), dim=-1) for part in torch.split(rounded, 256)])


def rated(state: dict[str, Tensor], rows: Tensor) -> Tensor:
    """Scores of embeddings, as the metric computes them."""
    for name in LAYERS:
        rows = functional.linear(rows, state[f"layers.{name}.weight"].float(), state[f"layers.{name}.bias"].float())
    return rows[:, 0]


def check(learner: Learner, vae: Any, state: dict[str, Tensor], seed: int, count: int = 200) -> dict[str, list[float]]:
    """Mean score of pictures not trained on, for each kind of degradation, at each of `LEVELS`."""
    generator = torch.Generator().manual_seed(seed + 60)
    images = pictures(scenes(seed + 60, count))
    return {
        kind: [
            float(
                rated(
                    state, embedded(learner, spoiled(vae, images, kind, torch.full((count,), level), generator))
                ).mean()
            )
            for level in LEVELS
        ]
        for kind in ALL_KINDS[1:]
    }


def write(file: Path, state: dict[str, Tensor]) -> None:
    """In half precision, as the rest of the miniature."""
    from safetensors.torch import save_file

    save_file({name: value.half() for name, value in state.items()}, file)
