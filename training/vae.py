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
    "latent_channels": 8,
    "norm_num_groups": 4,
    "mid_block_add_attention": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 48,
}
"""A factor of 4: the 48 pixels of a side become 12 places, and 6 patches of the transformer."""
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
    loss: Tensor = (weight * (error.square() + 0.1 * error.abs())).mean() + KL_WEIGHT * kl
    return loss


def train(stage: Stage, count: int, held_out_count: int) -> Any:
    """The whole stage, on `count` pictures, measured on others."""
    torch.manual_seed(stage.seed)
    pool = pictures(scenes(stage.seed + 1, count))
    held_out = pictures(scenes(stage.seed + 2, held_out_count))
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


EVENNESS = 0.7
"""1 would give every direction of the latents the same variance, 0 leaves them as they are."""
_LOG_VARIANCE = -7.0


@torch.no_grad()
def even_out(model: Any, images: Tensor) -> None:
    """Mixes the latent channels, so that the edges of shapes weigh more beside the background's colour.

    Where a few directions hold most of the variance, everything else drowns in the noise until the last steps. The mix
    is linear and undone by the decoder: what it decodes stays the same. The encoder's own variances cannot be mixed
    like this, and become one small constant.
    """
    latents = torch.cat([model.encode(signed(part)).latent_dist.mean for part in torch.split(images, 250)])
    channels = latents.permute(0, 2, 3, 1).flatten(0, 2)
    values, directions = torch.linalg.eigh((channels - channels.mean(0)).T.cov())
    mix = directions @ torch.diag(values ** (-EVENNESS / 2)) @ directions.T
    last, first, count = model.encoder.conv_out, model.decoder.conv_in, len(mix)
    last.weight[:count] = torch.einsum("oc,cihw->oihw", mix, last.weight[:count])
    last.bias[:count] = mix @ last.bias[:count]
    last.weight[count:] = 0.0
    last.bias[count:] = _LOG_VARIANCE
    first.weight.copy_(torch.einsum("ochw,ck->okhw", first.weight, torch.linalg.inv(mix)))
