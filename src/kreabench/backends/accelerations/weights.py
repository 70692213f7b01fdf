"""Features that change the transformer's weights at load: LoRA, fused projections, quantisation, fp8 storage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kreabench.core.errors import GenerationError

_FUSED_AWAY = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
_MULTIPLE = 16
"""Sides of matrices that the fp8 and int8 units multiply are multiples of this; torchao leaves others as they are."""


def fuse_lora(
    pipeline: Any, *, path: str, weight_name: str | None, revision: str | None, scale: float
) -> dict[str, Any]:
    """Add the LoRA to the weights and drop it: left beside them, fused projections would silently lose its q, k, v.

    Raises GenerationError where the LoRA does not fit.
    """
    transformer = pipeline.transformer
    parameters = _parameter_count(transformer)
    options = {"weight_name": weight_name, "revision": revision}
    try:
        pipeline.load_lora_weights(
            str(Path(path).expanduser()) if Path(path).expanduser().exists() else path,
            use_safetensors=True,  # other formats can carry code
            **{key: value for key, value in options.items() if value is not None},
        )
        if not getattr(transformer, "peft_config", None):
            raise ValueError("none of its weights belongs to this transformer")
        layers = sum(hasattr(module, "lora_A") for module in transformer.modules())
        sha256 = _lora_sha256(transformer)
        pipeline.fuse_lora(lora_scale=scale, safe_fusing=True)
        pipeline.unload_lora_weights()
        if _parameter_count(transformer) != parameters:
            raise ValueError("it changes the transformer's shape (a control LoRA)")
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise GenerationError(
            f"the LoRA {path} could not be applied: {type(error).__name__}: {error}".partition("\n")[0],
            type="load_failed",
            stage="load",
            remedy="Choose a LoRA made for FLUX.1 [dev], as .safetensors; `weight_name` says which file of several.",
        ) from error
    return {"layers": layers, "sha256": sha256}


def _lora_sha256(transformer: Any) -> str:
    """Of the LoRA's own weights as they were loaded: neither a path nor a Hub id says which they are."""
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(transformer.named_parameters()):
        if "lora_" in name:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fuse_qkv(pipeline: Any) -> dict[str, Any]:
    """Module by module, each freed of its originals at once: diffusers keeps both, 4 GiB more at full size."""
    fused = 0
    for module in list(pipeline.transformer.modules()):
        if not getattr(module, "_supports_qkv_fusion", False):
            continue
        module.fuse_projections()
        for name in _FUSED_AWAY:
            if getattr(module, name, None) is not None:
                delattr(module, name)
        fused += 1
    if not fused:
        raise RuntimeError(f"fuse_qkv found no attention to fuse in {type(pipeline.transformer).__name__}")
    return {"layers": fused}


def quantise(pipeline: Any, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Pack the blocks' linear layers with torchao, in place, on the device where they are.

    Raises RuntimeError where torchao left layers unpacked, which it does without a word.
    """
    from torchao.quantization import quantize_

    transformer = pipeline.transformer
    # Modulation acts on one vector a step: a product that small gains nothing from packed activations. Its weights,
    # a quarter of the model, are packed where memory is the point.
    with_modulation = name.endswith("weight_only")
    wanted = {path for path, module in transformer.named_modules() if _is_packed(path, module, with_modulation)}
    # torchao's fp8 divides a row by its largest weight: of nothing but zeros it makes NaN.
    empty = {path for path in wanted if name.startswith("fp8") and _has_empty_row(transformer.get_submodule(path))}
    wanted -= empty
    before = {path: _weight_type(transformer, path) for path in wanted}
    quantize_(transformer, _torchao_config(name, values), filter_fn=lambda _, path: path in wanted)
    left = sorted(path for path in wanted if _weight_type(transformer, path) is before[path])
    if left or not wanted:
        raise RuntimeError(f"{name} packed {len(wanted) - len(left)} of {len(wanted)} layers; {left[:3]} stayed as is")
    return {"layers": len(wanted)} | ({"left_for_empty_rows": len(empty)} if empty else {})


def _is_packed(path: str, module: Any, with_modulation: bool) -> bool:
    import torch

    if not isinstance(module, torch.nn.Linear):
        return False
    names = path.split(".")
    in_block = names[0] in {"transformer_blocks", "single_transformer_blocks"}
    sides = module.in_features % _MULTIPLE == 0 and module.out_features % _MULTIPLE == 0
    is_modulation = any(name.startswith("norm") for name in names)
    return in_block and sides and (with_modulation or not is_modulation)


def _has_empty_row(linear: Any) -> bool:
    return bool((linear.weight.abs().amax(dim=1) == 0).any())


def _weight_type(transformer: Any, path: str) -> type[Any]:
    weight = transformer.get_submodule(path).weight
    return type(weight.data) if type(weight).__name__ == "Parameter" else type(weight)


def _torchao_config(name: str, values: Mapping[str, Any]) -> Any:
    """`set_inductor_config` stays off: it would change torch's settings for the whole process, float32 products too."""
    from torchao import quantization as ao

    if name == "fp8_weight_only":
        return ao.Float8WeightOnlyConfig(set_inductor_config=False)
    if name == "int8_weight_only":
        return ao.Int8WeightOnlyConfig(set_inductor_config=False)
    if name == "int8_dynamic":
        return ao.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    scale = ao.PerRow() if values["scale"] == "row" else ao.PerTensor()
    return ao.Float8DynamicActivationFloat8WeightConfig(granularity=scale, set_inductor_config=False)


def store_in_fp8(pipeline: Any) -> dict[str, Any]:
    """Cast the transformer's large weights to fp8; each layer is cast back while it runs (diffusers' own choice)."""
    import torch

    transformer = pipeline.transformer
    transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=transformer.dtype)
    stored = sum(parameter.dtype == torch.float8_e4m3fn for parameter in transformer.parameters())
    if not stored:
        raise RuntimeError("fp8_storage found no weights to store in fp8")
    return {"tensors": stored}


def load_nunchaku(pipeline: Any, *, model: str) -> dict[str, Any]:
    """Put Nunchaku's packed transformer in the place of the target's own, which is freed first."""
    from nunchaku import NunchakuFluxTransformer2dModel

    dtype, device = pipeline.transformer.dtype, pipeline.transformer.device
    pipeline.transformer = None
    pipeline.transformer = NunchakuFluxTransformer2dModel.from_pretrained(model, torch_dtype=dtype, device=device)
    return {"model": Path(model).name}


def _parameter_count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
