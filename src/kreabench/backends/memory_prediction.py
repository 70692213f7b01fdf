"""The least memory a pipeline needs, from sizes alone, so that a device that is too small is told before a load.

A lower bound on purpose: weights, and the tensors that are alive together where most are. What the libraries need for
themselves is not in it, so what is refused could not have run; what still runs out of memory is recorded as that.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kreabench.core.errors import GenerationError
from kreabench.core.planned import Setting

ITEM_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
WEIGHTLESS = ("offload_", "fp8_", "int8_", "nunchaku")
"""Beginnings of the names of features with which not all weights are on the device at once, or not in full."""
TILING = "vae_tiling"

_GIB = 2**30
_LATENT_PIXELS = 16
"""Pixels along a side that one token of FLUX.1 stands for: 8 of the VAE, 2 of the packing."""
_BLOCK_TENSORS = 12
"""Activations, in units of the model's width, alive where a single block joins attention (1) and MLP (4): both, their
join (5), the block's input and its normalised form (1 each)."""
_MAX_HEADER_BYTES = 100_000_000
"""Of a .safetensors file, as its own reader limits it."""
_WEIGHTS = re.compile(r"(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.safetensors")
"""The files that are loaded; beside them may lie variants such as model.fp16.safetensors."""
_DECODER_TENSORS = 3
"""Activations alive in the decoder's last up block: its input, that normalised, and that after the nonlinearity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Bytes on the device."""

    weights: Mapping[str, int]
    """By part."""
    activations: int
    """The largest setting's, at its peak."""
    least_activations: int = 0
    """The smallest setting's: with less, none of the settings can run."""

    def identity(self) -> dict[str, Any]:
        """For the load record, beside the peaks that are measured."""
        return {"weights_bytes": sum(self.weights.values()), "activations_bytes": self.activations}


def predict(
    parameters: Mapping[str, int],
    configs: Mapping[str, Mapping[str, Any]],
    dtype: str,
    max_sequence_length: int,
    settings: Iterable[Setting],
) -> Prediction:
    """`parameters` and `configs` by part of the pipeline; of the configs, those of transformer and vae are read."""
    item = ITEM_BYTES[dtype]
    activations = [
        activation_bytes(configs["transformer"], configs["vae"], item, max_sequence_length, setting)
        for setting in settings
    ]
    return Prediction(
        weights={name: count * item for name, count in parameters.items()},
        activations=max(activations, default=0),
        least_activations=min(activations, default=0),
    )


def activation_bytes(
    transformer: Mapping[str, Any], vae: Mapping[str, Any], item: int, text_tokens: int, setting: Setting
) -> int:
    """The larger of what a single block and the decoder hold at once; of FLUX.1's sizes that is the decoder's."""
    width: int = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    pixels = setting.width * setting.height
    tokens = pixels // _LATENT_PIXELS**2 + text_tokens
    channels: Sequence[int] = vae["block_out_channels"]
    block = tokens * width * _BLOCK_TENSORS
    decoder = pixels * channels[min(1, len(channels) - 1)] * _DECODER_TENSORS
    return max(block, decoder) * item * setting.num_images


def require(prediction: Prediction, memory: tuple[int, int], device: str, features: Sequence[str]) -> None:
    """Raises GenerationError where `memory`, free and total bytes of the device, is less than the least needed.

    Judged by the smallest setting, as those that fit have to run; a larger one that does not is recorded when it runs
    out. With tiling the decoder, which holds the most, holds one tile, whatever the size.
    """
    if any(feature.startswith(WEIGHTLESS) for feature in features):
        return
    free, total = memory
    activations = 0 if TILING in features else prediction.least_activations
    least = sum(prediction.weights.values()) + activations
    if least <= free:
        return
    parts = ", ".join(f"{name} {size / _GIB:.2f}" for name, size in prediction.weights.items())
    need = f"at least {least / _GIB:.2f} GiB ({parts}, activations {activations / _GIB:.2f})"
    if least > total:
        message = f"{device} has {total / _GIB:.2f} GiB of memory; these settings need {need}"
        remedy = "Choose a larger device, an offload_* or fp8_* acceleration, a smaller size or fewer images a request."
    else:
        message = f"{device} has {free / _GIB:.2f} of its {total / _GIB:.2f} GiB free; these settings need {need}"
        remedy = "End what else uses the device (`nvidia-smi` lists it), or choose an offload_* or fp8_* acceleration."
    raise GenerationError(message, type="out_of_memory", stage="load", remedy=remedy)


def folder_parameters(folder: Path, parts: Iterable[str]) -> dict[str, int]:
    """Parameters of each part of a pipeline's folder, from the headers of its weights alone. Damage counts as nothing:
    whoever loads it says what is wrong with it."""
    counts = {part: part_parameters(folder / part) for part in parts}
    return {part: count for part, count in counts.items() if count}


def part_parameters(folder: Path) -> int:
    """Parameters of the weights in `folder` that are loaded: one file, or all its pieces; the fewer where both are."""
    whole = pieces = 0
    for file in folder.glob("*.safetensors"):
        match = _WEIGHTS.fullmatch(file.name)
        if match and match[2]:
            pieces += file_parameters(file)
        elif match:
            whole = file_parameters(file)
    return min(whole, pieces) or whole or pieces


def file_parameters(file: Path) -> int:
    """Elements of all tensors of a .safetensors file (github.com/huggingface/safetensors, section Format)."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _MAX_HEADER_BYTES:
                return 0
            header = json.loads(stream.read(length))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        return 0
