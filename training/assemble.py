"""Puts trained parts together as diffusers and open_clip write them, in half precision, with a list of hashes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from training.redux import PROCESSOR, Prior

SCHEDULER: dict[str, Any] = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
"""As published with FLUX.1 [dev]."""
MANIFEST = "manifest.json"


def write_pipeline(folder: Path, vae: Any, parts: Any, *, shift: float, scale: float) -> None:
    """The text-to-image pipeline; `shift` and `scale` are those of its latents."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    vae.register_to_config(shift_factor=round(shift, 6), scaling_factor=round(scale, 6))
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        vae=vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.clip_words,
        text_encoder_2=parts.text_encoder_2,
        tokenizer_2=parts.t5_words,
        transformer=parts.transformer,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for part in (vae, parts.text_encoder, parts.text_encoder_2, parts.transformer):
        part.float()


def write_prior(folder: Path, prior: Prior) -> None:
    """What Redux adds to it, in the layout of black-forest-labs/FLUX.1-Redux-dev."""
    from diffusers import FluxPriorReduxPipeline
    from transformers import SiglipImageProcessor

    pipeline = FluxPriorReduxPipeline(
        image_encoder=prior.image_encoder,
        feature_extractor=SiglipImageProcessor(**PROCESSOR),
        image_embedder=prior.image_embedder,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    prior.float()


def write_manifest(root: Path, about: dict[str, Any]) -> None:
    """Hashes of all files below `root`, and what they were made by."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    hashes = {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (root / MANIFEST).write_text(json.dumps({**about, "files": hashes}, indent=1) + "\n", encoding="utf-8")
