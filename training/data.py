"""Pictures and captions without end, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from kreabench.drawn.render import render
from kreabench.drawn.scene import Scene, random_scene

if TYPE_CHECKING:
    from torch import Tensor


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


def batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Indices of `count` things, shuffled anew each time round, without end."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count - count % size].view(-1, size)
