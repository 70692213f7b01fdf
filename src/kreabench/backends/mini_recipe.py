"""The recipe of `builtin:mini-untrained`: FLUX.1's own architecture, numbers of a toy, and weights drawn by rule.

Every weight is uniform with a variance of gain² / fan-in, from a numpy generator seeded by the weight's name. Unlike
torch's default initialisation that is the same on every machine and leaves torch's global generator alone. Kernels of
3 × 3 are one random number per channel pair times a binomial filter, so that pictures are smooth, not static.
The pictures mean nothing. They are made to differ by prompt, seed, guidance and steps, to converge with more steps,
and to change little enough from step to step that block caches find something to skip.
"""

from __future__ import annotations

import hashlib
import math
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kreabench.backends.offline_tokenizers import clip_tokenizer, t5_tokenizer
from kreabench.core.ids import stable_hash

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

RECIPE: dict[str, Any] = {
    "rule": 2,
    "seed": 11,
    "transformer": {
        "patch_size": 1,
        "in_channels": 64,
        "num_layers": 2,
        "num_single_layers": 4,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "guidance_embeds": True,
        "axes_dims_rope": [4, 6, 6],
    },
    "vae": {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [8, 8, 16, 16],
        "layers_per_block": 1,
        "latent_channels": 16,
        "norm_num_groups": 4,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "shift_factor": 0.1159,
        "scaling_factor": 0.3611,
    },
    "text_encoder": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 32,
        "max_position_embeddings": 77,
        "eos_token_id": 2,  # makes transformers pool at the highest token id, as FLUX.1's own encoder does
    },
    "text_encoder_2": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
    "scheduler": {
        "shift": 3.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    },
    "gains": {
        "text_encoder.*layers.*": 2.0,
        "transformer.time_text_embed.text_embedder.linear_2.*": 2.0,
        "transformer.time_text_embed.guidance_embedder.linear_2.*": 0.5,
        "transformer.time_text_embed.timestep_embedder.linear_2.*": 0.04,
        "vae.decoder.conv_out.*": 0.9,
    },
}
"""All that decides the weights. `rule` counts changes of the drawing itself (of this module's code)."""


_MODELS = ("transformer", "vae", "text_encoder", "text_encoder_2")


def revision() -> str:
    """Identity of the untrained miniature's weights, as a commit is of a published model's."""
    return stable_hash(RECIPE)


def build(folder: Path) -> None:
    """Draw the miniature and write it into `folder` with diffusers' `save_pretrained`."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    from kreabench.backends.quiet import no_progress_bars

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    clip_ids = {
        "vocab_size": len(clip),
        "bos_token_id": clip.bos_token_id,
        "pad_token_id": clip.pad_token_id,
    }
    with torch.random.fork_rng(devices=[]):  # constructors draw weights that are replaced below
        pipeline = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(**RECIPE["scheduler"]),
            vae=AutoencoderKL(**RECIPE["vae"]),
            text_encoder=CLIPTextModel(CLIPTextConfig(**RECIPE["text_encoder"], **clip_ids)),
            tokenizer=clip,
            text_encoder_2=T5EncoderModel(T5Config(**RECIPE["text_encoder_2"], vocab_size=len(t5))),
            tokenizer_2=t5,
            transformer=FluxTransformer2DModel(**RECIPE["transformer"]),
        )
    for component in _MODELS:
        draw_weights(component, getattr(pipeline, component))
    with no_progress_bars():
        pipeline.save_pretrained(folder, safe_serialization=True)


def draw_weights(component: str, model: nn.Module) -> None:
    """Draw every weight of `model` anew; `component` is the beginning of their names."""
    import torch
    from torch import nn

    drawn: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in drawn:  # T5 ties its embedding under two names
                continue
            drawn.add(id(parameter))
            path = f"{component}.{prefix}.{name}"
            shape = tuple(parameter.shape)
            if len(shape) == 1:
                parameter.data.fill_(0.0 if name == "bias" else 1.0)
            else:
                values = _values(path, shape, lookup=isinstance(module, nn.Embedding))
                parameter.data.copy_(torch.from_numpy(values))


def _values(path: str, shape: tuple[int, ...], *, lookup: bool) -> np.ndarray:
    """Weights of one layer; each row of a `lookup` table is used alone, so its fan-in is 1."""
    import numpy as np

    seed = hashlib.sha256(f"{RECIPE['seed']}/{path}".encode()).digest()[:8]
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))
    gain = next((gain for pattern, gain in RECIPE["gains"].items() if fnmatchcase(path, pattern)), 1.0)
    bound = gain * math.sqrt(3 / (1 if lookup else shape[1]))
    if shape[2:] == (3, 3):
        binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
        return (rng.uniform(-bound, bound, (*shape[:2], 1, 1)) * binomial).astype(np.float32)
    return rng.uniform(-bound, bound, shape).astype(np.float32)
