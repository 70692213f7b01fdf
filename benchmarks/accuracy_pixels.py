"""Checks of what encoders make of a picture before their first layer, against Pillow; see `metrics_accuracy.py`.

Each preprocessing is written down anew: Pillow's bicubic resizing of the picture, a crop or padding, and the scale of
the model. Deviations are in levels of 255, the largest of each picture, of odd and of large sizes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from accuracy_check import Check, opened, pictures

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = ((37, 41), (161, 203), (403, 271), (1024, 1024), (768, 1360), (2001, 1503))
SIDE = 64
"""Of the small models' input; that of DINOv2 is cut to 56."""

_BICUBIC = Image.Resampling.BICUBIC
Prepare = Callable[[Image.Image], torch.Tensor]


def _scaled(levels: NDArray[Any], mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Of height × width × 3 levels from 0 to 255."""
    found = (np.asarray(levels, dtype=np.float64) / 255 - np.asarray(mean)) / np.asarray(std)
    return torch.from_numpy(found.transpose(2, 0, 1).astype(np.float32))


def _square(image: Image.Image, shorter: int, side: int, corner: Callable[[float], int]) -> NDArray[Any]:
    """The shorter side shrunk or enlarged to `shorter`, and the centred square cut out, `corner` off an edge."""
    width, height = (shorter * length // min(image.size) for length in image.size)
    left, top = corner((width - side) / 2), corner((height - side) / 2)
    return np.asarray(image.resize((width, height), _BICUBIC).crop((left, top, left + side, top + side)))


def clip_input(image: Image.Image) -> torch.Tensor:
    """As OpenAI's CLIP does it."""
    return _scaled(_square(image, SIDE, SIDE, round), CLIP_MEAN, CLIP_STD)


def pickscore_input(image: Image.Image) -> torch.Tensor:
    """As CLIP's processor in transformers does it: as `clip_input`, but for which half of an odd rest is larger."""
    return _scaled(_square(image, SIDE, SIDE, int), CLIP_MEAN, CLIP_STD)


def squashed_input(image: Image.Image) -> torch.Tensor:
    """As CMMD's authors do it: the whole picture made a square."""
    return _scaled(np.asarray(image.resize((SIDE, SIDE), _BICUBIC)), CLIP_MEAN, CLIP_STD)


def hps_input(image: Image.Image) -> torch.Tensor:
    """As HPS v2's package does it: the longer side to the model's, of floating-point numbers, in the middle of black.

    Pillow's mode F resizes as its bytes, without rounding, and without cutting off what goes past black and white.
    """
    width, height = (round(length * SIDE / max(image.size)) for length in image.size)
    channels = [Image.fromarray(np.asarray(channel, dtype=np.float32)) for channel in image.split()]
    levels = np.zeros((SIDE, SIDE, 3))
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    resized = [np.asarray(channel.resize((width, height), _BICUBIC)) for channel in channels]
    levels[top : top + height, left : left + width] = np.stack(resized, axis=-1)
    return _scaled(levels, CLIP_MEAN, CLIP_STD)


def dino_input(image: Image.Image) -> torch.Tensor:
    """As DINOv2's processor does it."""
    return _scaled(_square(image, SIDE, 56, int), IMAGENET_MEAN, IMAGENET_STD)


@cache
def _pictures() -> tuple[Image.Image, ...]:
    return tuple(pictures(SIZES))


def _check(metric: str, ours: Prepare, theirs: Prepare, std: Sequence[float]) -> Check:
    scale = 255 * torch.tensor(std)[:, None, None]
    values = tuple((float(((ours(image) - theirs(image)) * scale).abs().max()), 0.0) for image in _pictures())
    return Check(
        metric=f"{metric}, pixels",
        against="Pillow",
        values=values,
        limit=1.001,
        absolute=True,
        explained="absolute, in levels of 255; a level, and rounding",
    )


def _encoder(kind: str, **options: Any) -> Prepare:
    """How the encoder of a metric prepares a picture."""
    metric: Any = opened(kind, device="cpu", untrained=True, **options)
    prepare: Prepare = metric._encoder._prepare
    return prepare


def clip() -> Check:
    """Of the model that clip_score, clip_iqa and aesthetic share, and Vendi's where it is told so."""
    ours = _encoder("clip_score", model="builtin:mini-untrained", weights="random")
    return _check("clip_score", ours, clip_input, CLIP_STD)


def pickscore() -> Check:
    """Of the processor of transformers."""
    from tests.small_weights.clip import transformers_folder

    with tempfile.TemporaryDirectory() as folder:
        ours = _encoder("pickscore", weights=str(transformers_folder(Path(folder))))
    return _check("pickscore", ours, pickscore_input, CLIP_STD)


def hpsv2() -> Check:
    """Of the package's way."""
    return _check("hpsv2", _encoder("hpsv2", model="builtin:mini-untrained", weights="random"), hps_input, CLIP_STD)


def cmmd() -> Check:
    """Of the authors' way."""
    return _check("cmmd", _encoder("cmmd", model="builtin:mini-untrained", weights="random"), squashed_input, CLIP_STD)


def dino_similarity() -> Check:
    """Of the model that vendi shares."""
    from kreabench.metrics.dino import DinoEncoder, dino_encoder
    from kreabench.metrics.shared import Shared

    shared = Shared(environ=os.environ)
    encoder = dino_encoder(shared, weights="random", untrained=True, device="cpu")
    if not isinstance(encoder, DinoEncoder):
        raise TypeError(f"expected a DinoEncoder, found {type(encoder).__name__}")
    return _check("dino_similarity", encoder._prepare, dino_input, IMAGENET_STD)
