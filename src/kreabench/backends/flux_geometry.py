"""Sizes of every part of FLUX.1 [dev], as its published configuration files give them, and of the miniature.

Data alone: what is built from it with random weights costs the time and memory of the real model.
"""

from __future__ import annotations

from typing import Any

from kreabench.backends.mini_recipe import RECIPE

TEXT_TO_IMAGE_MODELS = ("transformer", "vae", "text_encoder", "text_encoder_2")
REDUX_MODELS = ("image_encoder", "image_embedder")

FLUX: dict[str, dict[str, Any]] = {
    "transformer": {
        "patch_size": 1,
        "in_channels": 64,
        "num_layers": 19,
        "num_single_layers": 38,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "guidance_embeds": True,
        "axes_dims_rope": [16, 56, 56],
    },
    "vae": {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 16,
        "norm_num_groups": 32,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "sample_size": 1024,
        "shift_factor": 0.1159,
        "scaling_factor": 0.3611,
    },
    "text_encoder": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
        "max_position_embeddings": 77,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,  # makes transformers pool at the highest token id
    },
    "text_encoder_2": {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
    "image_encoder": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
    "image_embedder": {"redux_dim": 1152, "txt_in_features": 4096},
    "scheduler": RECIPE["scheduler"],  # the miniature has the published one
}

MINI: dict[str, dict[str, Any]] = {
    **{name: RECIPE[name] for name in (*TEXT_TO_IMAGE_MODELS, "scheduler")},
    "image_encoder": {
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
    "image_embedder": {"redux_dim": 24, "txt_in_features": 32},
}

GEOMETRIES = {"flux": FLUX, "mini": MINI}
"""Name, as in `DiffusersOptions.geometry` → part → arguments of its class or of its configuration."""
