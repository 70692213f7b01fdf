"""Puts features on a pipeline: what changes it for good, in the one order that works, and what lasts for a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from kreabench.backends.accelerations import weights
from kreabench.backends.accelerations.caches import (
    CacheUse,
    LastingCache,
    Schedule,
    cache_for_call,
    cache_of,
)
from kreabench.backends.accelerations.compiling import compile_transformer, graphs_compiled
from kreabench.backends.accelerations.counting import Forwards
from kreabench.backends.accelerations.features import FEATURES, Features, complete, features_of_phase, in_order
from kreabench.core.errors import GenerationError

_TORCHAO = ("fp8_dynamic", "fp8_weight_only", "int8_weight_only", "int8_dynamic")


class Call:
    """What became of one call."""

    def __init__(self, cache: CacheUse, features: Features, tiles: list[int]) -> None:
        self._cache = cache
        self._features = features
        self._tiles = tiles
        self._graphs_before = graphs_compiled() if _compiles(features) else 0

    def forwards(self, steps: int) -> Forwards:
        """What of the transformer ran in the call, which took `steps` steps."""
        return self._cache.forwards(steps)

    def flags(self, steps: int, *, first: bool = False) -> tuple[str, ...]:
        """What was asked for and did nothing, and what else makes the time doubtful."""
        flags = list(self._cache.flags(steps))
        if "vae_tiling" in self._features and not self._tiles:
            flags.append("vae_tiling had no effect: the picture fits into one tile")
        graphs = graphs_compiled() - self._graphs_before if _compiles(self._features) else 0
        if graphs and not first:
            flags.append(f"{graphs} graphs were compiled during this call")
        return tuple(flags)


class AppliedFeatures:
    """The load features of one pipeline. `close` puts back what they changed outside it."""

    def __init__(self, pipeline: Any, features: Features) -> None:
        self._pipeline = pipeline
        self._features = complete(features_of_phase(features, "load"))
        self._stack = ExitStack()
        self._cache: LastingCache | None = None
        self.account: dict[str, dict[str, Any]] = {}
        """Feature → what it found to act on: for the load's identity."""

    def close(self) -> None:
        """Undo what is process-wide. The pipeline itself is to be dropped."""
        self._stack.close()

    def put_on(self, device: str) -> None:
        """Change the pipeline, which is on `device` (or on the host, where a feature offloads it), for good.

        Raises RuntimeError where a feature finds nothing to act on, GenerationError for a LoRA that does not fit.
        """
        try:
            for name in in_order(self._features):
                self.account[name] = self._put_on(name, self._features[name], device)
        except BaseException:
            self.close()
            raise

    def _put_on(self, name: str, values: Mapping[str, Any], device: str) -> dict[str, Any]:
        pipeline = self._pipeline
        if name in _TORCHAO:
            return weights.quantise(pipeline, name, values)
        kind = FEATURES[name].kind
        if kind == "offload":
            return _offload(pipeline, name, values, device)
        if kind == "compile":
            cached = cache_of(self._features) is not None
            return compile_transformer(self._stack, pipeline.transformer, name, values, has_cache=cached)
        if kind == "cache":
            self._cache = LastingCache(pipeline, name, values)
            return {}
        return _SIMPLE[name](pipeline, **values)

    @contextmanager
    def for_call(self, features: Features, schedule: Schedule) -> Iterator[Call]:
        """Switch the call features of `features` on; afterwards, also after an aborted call, none of it is left."""
        whole = {**self._features, **complete(features_of_phase(features, "call"))}
        calls = features_of_phase(whole, "call")
        with ExitStack() as stack:
            tiles: list[int] = []
            if "vae_tiling" in whole:
                _count_tiled(stack, self._pipeline.vae, tiles)
            switch = cache_for_call(self._pipeline, calls, schedule) if self._cache is None else self._cache.for_call()
            yield Call(stack.enter_context(switch), whole, tiles)


def _compiles(features: Features) -> bool:
    return any(FEATURES[name].kind == "compile" for name in features)


def _channels_last(pipeline: Any) -> dict[str, Any]:
    import torch

    pipeline.vae.to(memory_format=torch.channels_last)
    return {}


def _tile(pipeline: Any) -> dict[str, Any]:
    pipeline.vae.enable_tiling()
    return {"tile_px": int(pipeline.vae.tile_sample_min_size)}


def _attention(pipeline: Any, *, backend: str) -> dict[str, Any]:
    """Set it for this transformer's layers alone: diffusers also makes it the default of the whole process.

    Raises GenerationError where the package behind it is missing or does not load.
    """
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    before, _ = _AttentionBackendRegistry.get_active_backend()
    try:
        pipeline.transformer.set_attention_backend(backend)
    except (RuntimeError, ValueError, ImportError, OSError) as error:
        raise GenerationError(
            f"attention {backend} is not to be had here: {error}",
            type="load_failed",
            stage="load",
            remedy="Install what it names, or choose another backend, such as native.",
        ) from error
    finally:
        _AttentionBackendRegistry.set_active_backend(before)
    layers = [getattr(module, "processor", None) for module in pipeline.transformer.modules()]
    used = sum(getattr(processor, "_attention_backend", None) is not None for processor in layers)
    if not used:
        raise RuntimeError(f"attention found no layer to set in {type(pipeline.transformer).__name__}")
    return {"backend": backend, "layers": used}


def _offload(pipeline: Any, name: str, values: Mapping[str, Any], device: str) -> dict[str, Any]:
    import torch

    if name == "offload_model":
        pipeline.enable_model_cpu_offload(device=device)
    elif name == "offload_sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        by_leaf = {"onload_device": torch.device(device), "offload_type": "leaf_level", "use_stream": values["stream"]}
        by_block = {**by_leaf, "offload_type": "block_level", "num_blocks_per_group": 1}
        # The VAE is entered through `decode`, past the hook on `forward` that would bring what lies outside its blocks.
        pipeline.transformer.enable_group_offload(**(by_block if values["unit"] == "block" else by_leaf))
        _group_offload_rest(pipeline, by_leaf)
    return {}


def _group_offload_rest(pipeline: Any, options: dict[str, Any]) -> None:
    import torch
    from diffusers.hooks import apply_group_offloading

    for name, component in pipeline.components.items():
        if name != "transformer" and isinstance(component, torch.nn.Module):
            apply_group_offloading(component, **options)


def _count_tiled(stack: ExitStack, vae: Any, tiles: list[int]) -> None:
    """Note each time the VAE really works in tiles."""
    for name in ("_tiled_decode", "tiled_decode", "_tiled_encode", "tiled_encode"):
        if hasattr(vae, name):
            _note_calls(stack, vae, name, tiles)


def _note_calls(stack: ExitStack, owner: Any, name: str, calls: list[int]) -> None:
    original = getattr(owner, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    setattr(owner, name, noted)
    stack.callback(delattr, owner, name)


_SIMPLE: dict[str, Callable[..., dict[str, Any]]] = {
    "lora": weights.fuse_lora,
    "nunchaku": weights.load_nunchaku,
    "fuse_qkv": weights.fuse_qkv,
    "fp8_storage": weights.store_in_fp8,
    "vae_channels_last": _channels_last,
    "vae_tiling": _tile,
    "attention": _attention,
}
