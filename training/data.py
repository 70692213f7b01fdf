"""Pictures and captions without end, the same for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kreabench.drawn.render import render
from kreabench.drawn.scene import Scene, random_scene

if TYPE_CHECKING:
    from torch import Tensor

    from training.stage import Chance


def scenes(seed: int, count: int) -> list[Scene]:
    """So many scenes."""
    rng = np.random.default_rng(seed)
    return [random_scene(rng) for _ in range(count)]


def pictures(drawn: list[Scene]) -> Tensor:
    """[n, 3, side, side], uint8."""
    return torch.from_numpy(np.stack([render(scene) for scene in drawn])).permute(0, 3, 1, 2).contiguous()


def signed(images: Tensor) -> Tensor:
    """From uint8 to the VAE's range, -1 to 1."""
    return images.float() / 127.5 - 1.0


def batch_of(count: int, size: int, chance: Chance) -> Tensor:
    """Indices of `size` among `count` things."""
    return torch.randint(count, (size,), generator=chance.torch)
