"""What the autoencoder blurs, no transformer can draw: it is stopped for here, before hours are spent on the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from kreabench.drawn.captions import claims_of
from kreabench.drawn.checking import check
from kreabench.drawn.reading import read
from training.data import pictures, scenes, signed

if TYPE_CHECKING:
    from torch import Tensor


class GateFailed(Exception):
    """Too little is read; the message says how much."""


@torch.no_grad()
def share_read(vae: Any, seed: int, count: int) -> float:
    """Of all that pictures not trained on show, as much as is read right from what the autoencoder makes of them."""
    drawn = scenes(seed + 3, count)
    decoded = [
        _bytes(vae.decode(vae.encode(signed(part)).latent_dist.mean).sample) for part in pictures(drawn).split(100)
    ]
    results = [
        right
        for scene, picture in zip(drawn, torch.cat(decoded), strict=True)
        for right in check(claims_of(scene), read(picture.numpy())).values()
    ]
    return sum(results) / len(results)


def _bytes(images: Tensor) -> Tensor:
    """From the autoencoder's range to [n, side, side, 3], uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous()


def pass_gate(vae: Any, seed: int, count: int, least: float) -> float:
    """The share that is read. Raises GateFailed where it is less than `least`."""
    share = share_read(vae, seed, count)
    if share < least:
        raise GateFailed(
            f"after the autoencoder {share:.1%} of what the pictures show is read back, expected {least:.0%} or more; "
            "train it longer (training/plan.py) before the stages that build on it"
        )
    return share
