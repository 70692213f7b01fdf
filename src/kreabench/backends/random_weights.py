"""Parts of FLUX.1 at their full size with random weights, made where they are used, without a second copy.

Latency, memory and energy hardly depend on the values of weights, so these measure a GPU before a download of 34 GB.
The values keep every layer's output near the size of its input, as a model of zeros, NaN or infinities would not be
the same work: matrix products of zeros run at higher clocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kreabench.backends.flux_geometry import GEOMETRIES, TEXT_TO_IMAGE_MODELS
from kreabench.backends.mini_recipe import RECIPE
from kreabench.backends.offline_tokenizers import clip_tokenizer, t5_tokenizer
from kreabench.core.ids import stable_hash

if TYPE_CHECKING:
    import torch
    from torch import nn

SEED = 11
_RULE = 1
"""Counts changes of how values are drawn."""


def revision(geometry: str) -> str:
    """Identity of the weights, as a commit is of a published model's; the values also depend on the kind of device."""
    return stable_hash([_RULE, SEED, GEOMETRIES[geometry], RECIPE["gains"]])


def build_parts(geometry: str, names: Sequence[str], *, device: str, dtype: str) -> dict[str, Any]:
    """Models by part, ready to run on `device` in `dtype`; on `meta`, shapes without values."""
    import torch

    parts: dict[str, Any] = {}
    with _building_on(device, getattr(torch, dtype)):
        for name in names:
            parts[name] = _CONSTRUCTORS[name](_arguments(geometry, name))
    generator = None if device == "meta" else torch.Generator(device).manual_seed(SEED)
    for name, model in parts.items():
        if generator is not None:
            _fill(name, model, generator)
        model.eval().requires_grad_(False)
    return parts


def build_components(geometry: str, *, device: str, dtype: str) -> dict[str, Any]:
    """All that a text-to-image or image-to-image pipeline of diffusers is made of."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return {
        **build_parts(geometry, TEXT_TO_IMAGE_MODELS, device=device, dtype=dtype),
        "scheduler": FlowMatchEulerDiscreteScheduler(**GEOMETRIES[geometry]["scheduler"]),
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": t5_tokenizer(),
    }


def parameter_counts(geometry: str, names: Sequence[str] = TEXT_TO_IMAGE_MODELS) -> dict[str, int]:
    """Parameters of each part, counted without memory for them (half a second)."""
    parts = build_parts(geometry, names, device="meta", dtype="float32")
    return {name: sum(parameter.numel() for parameter in model.parameters()) for name, model in parts.items()}


@contextmanager
def _building_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Constructors allocate on `device` in `dtype`, and their own draws leave the global generators alone."""
    import diffusers.hooks  # noqa: F401 - its tables for MagCache are tensors, which must not be made in here
    import torch

    before = torch.get_default_dtype()
    drawing = [device] if device.startswith("cuda") else []
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=drawing), torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _arguments(geometry: str, name: str) -> dict[str, Any]:
    arguments = GEOMETRIES[geometry][name]
    if "vocab_size" in arguments or name not in {"text_encoder", "text_encoder_2"}:
        return arguments
    if name == "text_encoder_2":
        return {**arguments, "vocab_size": len(t5_tokenizer())}
    clip = clip_tokenizer()
    ids = {"bos_token_id": clip.bos_token_id, "pad_token_id": clip.pad_token_id}
    return {**arguments, **ids, "vocab_size": len(clip)}


def _transformer(arguments: dict[str, Any]) -> Any:
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(**arguments)


def _vae(arguments: dict[str, Any]) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**arguments)


def _text_encoder(arguments: dict[str, Any]) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**arguments))


def _text_encoder_2(arguments: dict[str, Any]) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(**arguments))


def _image_encoder(arguments: dict[str, Any]) -> Any:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(SiglipVisionConfig(**arguments))


def _image_embedder(arguments: dict[str, Any]) -> Any:
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    return ReduxImageEncoder(**arguments)


_CONSTRUCTORS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "transformer": _transformer,
    "vae": _vae,
    "text_encoder": _text_encoder,
    "text_encoder_2": _text_encoder_2,
    "image_encoder": _image_encoder,
    "image_embedder": _image_embedder,
}


def _fill(part: str, model: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter in its own place; a temporary as large as the largest one would be a second copy of it."""
    from torch import nn

    drawn: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in drawn:  # T5 ties its embedding under two names
                continue
            drawn.add(id(parameter))
            if parameter.ndim == 1:
                parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                lookup = isinstance(module, nn.Embedding)
                _draw(parameter.data, _gain(f"{part}.{prefix}.{name}"), generator, lookup=lookup)


def _gain(path: str) -> float:
    """As in the miniature, whose parts have the same names."""
    return next((float(gain) for pattern, gain in RECIPE["gains"].items() if fnmatchcase(path, pattern)), 1.0)


def _draw(values: torch.Tensor, gain: float, generator: torch.Generator, *, lookup: bool) -> None:
    """Uniform with a variance of gain² / fan-in; 3 × 3 kernels are smooth, as in the miniature's recipe."""
    import torch

    if values.shape[2:] == (3, 3):
        weights = torch.tensor([1.0, 2.0, 1.0], device=values.device, dtype=values.dtype)
        bound = gain * math.sqrt(3 / values.shape[1])
        values.copy_(values[:, :, :1, :1].clone().uniform_(-bound, bound, generator=generator).expand_as(values))
        values.mul_(torch.outer(weights, weights) / 16)
        return
    fan_in = 1 if lookup else math.prod(values.shape[1:])
    bound = gain * math.sqrt(3 / fan_in)
    values.uniform_(-bound, bound, generator=generator)
