"""First stage: the autoencoder. Everything after it can only be as sharp as what it decodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from training.data import batch_of, pictures, scenes, signed
from training.stage import Chance, Stage, run_stage

if TYPE_CHECKING:
    from torch import Tensor

CONFIG: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "block_out_channels": [16, 32, 64],
    "layers_per_block": 1,
    "latent_channels": 12,
    "norm_num_groups": 4,
    "mid_block_add_attention": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 48,
}
"""A factor of 4: the 48 pixels of a side become 12 latents, and 6 patches of the transformer."""
BATCH = 16
KL_WEIGHT = 2e-5


def build() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**CONFIG)


def loss_of(model: Any, images: Tensor, chance: Chance) -> Tensor:
    """Shapes count three times as much as the ground around them."""
    posterior = model.encode(images).latent_dist
    decoded = model.decode(posterior.sample(chance.torch)).sample
    saturated = (images.amax(1, keepdim=True) - images.amin(1, keepdim=True) > 0.5).float()
    weight = 1.0 + 2.0 * functional.max_pool2d(saturated, 3, stride=1, padding=1)
    error = decoded - images
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).mean()
    return (weight * (error.square() + 0.1 * error.abs())).mean() + KL_WEIGHT * kl


def train(stage: Stage, count: int) -> Any:
    """The whole stage, on `count` pictures."""
    torch.manual_seed(stage.seed)
    pool = pictures(scenes(stage.seed + 1, count))
    held_out = pictures(scenes(stage.seed + 2, 256))
    model = build().to(memory_format=torch.channels_last)

    def step(chance: Chance) -> Tensor:
        images = signed(pool[batch_of(count, BATCH, chance)])
        return loss_of(model, images.contiguous(memory_format=torch.channels_last), chance)

    return run_stage(stage, model, step, check=lambda trained: {"psnr_db": psnr_db(trained, held_out)})


@torch.no_grad()
def psnr_db(model: Any, images: Tensor) -> float:
    """Of what the autoencoder makes of `images`."""
    wanted = signed(images)
    decoded = model.decode(model.encode(wanted).latent_dist.mean).sample.clamp(-1, 1)
    return 10 * math.log10(4 / float((decoded - wanted).square().mean()))
