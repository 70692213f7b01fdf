"""Spoils pictures in ways that generators do, from level 0 (as it was) to level 1 (hardly to be recognised)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from training.data import signed

if TYPE_CHECKING:
    from torch import Tensor

BLUR_PX, NOISE, BLOCK_PX, FADING, MIXING, SIGMA = 2.5, 0.22, 6, 0.75, 0.45, 0.75
"""At level 1: the blur's standard deviation, the noise's as a share of full scale, the side of the blocks, the share
of contrast and colour lost, the share of another picture, and of the noise among latents."""


def _blurred(images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    radius = math.ceil(2.5 * BLUR_PX)
    offsets = torch.arange(-radius, radius + 1).float()
    deviation = (BLUR_PX * level).clamp(min=0.05)[:, None]
    kernel = torch.exp(-0.5 * (offsets / deviation).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = functional.pad(images.flatten(0, 1)[None], [radius] * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
    return functional.conv2d(flat, kernel[:, None, None, :], groups=len(kernel))[0].view_as(images)


def _noisy(images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    return images + NOISE * _wide(level) * torch.randn(images.shape, generator=generator)


def _blocky(images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Averaged in blocks and rounded to few tones."""
    coarse = functional.interpolate(functional.avg_pool2d(images, BLOCK_PX), scale_factor=BLOCK_PX)
    coarse = (coarse * 4).round() / 4
    return images + _wide(level) * (coarse - images)


def _faded(images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    grey = 0.5 * (images.mean((1, 2, 3), keepdim=True) + images.mean(1, keepdim=True))
    return images + FADING * _wide(level) * (grey - images)


def _mixed(images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    return images + MIXING * _wide(level) * (images.roll(1, 0) - images)


KINDS: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "blur": _blurred,
    "noise": _noisy,
    "blocks": _blocky,
    "fading": _faded,
    "mixing": _mixed,
}


def degraded(images: Tensor, kind: str, level: Tensor, generator: torch.Generator) -> Tensor:
    """`images` [n, 3, side, side], n > 1, from 0 to 1, each at its own `level` [n]."""
    return KINDS[kind](images, level, generator).clamp(0, 1)


def _wide(level: Tensor) -> Tensor:
    return level[:, None, None, None]


@torch.no_grad()
def half_denoised(vae: Any, images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """What decoding too early gives: uint8 pictures encoded, mixed with noise and decoded, from 0 to 1.

    Level 0 is a picture as the autoencoder has it.
    """
    latents = vae.encode(signed(images)).latent_dist.mean
    shift, scale = latents.mean(), latents.std()
    sigma = SIGMA * _wide(level)
    noise = torch.randn(latents.shape, generator=generator)
    noisy = (1 - sigma) * (latents - shift) + sigma * scale * noise
    decoded: Tensor = vae.decode(noisy + shift).sample
    return (decoded / 2 + 0.5).clamp(0, 1)
