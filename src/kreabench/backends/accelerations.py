"""The table of acceleration features: what each needs, when it acts, and how it is put on a pipeline.

Facts about each are from diffusers' documentation (huggingface.co/docs/diffusers, "Accelerate inference") and were
checked against 0.42. Importing this module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from kreabench.core.registry import suggest

Features = Mapping[str, Mapping[str, Any]]
"""Feature name → its parameters, as in `AccelerationSpec.features`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoParameters:
    """The feature has nothing to choose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstBlockCacheParameters:
    """First Block Cache (github.com/chengzeyi/ParaAttention)."""

    threshold: float = field(metadata={"minimum": 0.0})
    """Relative change of the first block's residual below which the other blocks are not run again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRow:
    """What is known of a feature without importing anything heavy."""

    phase: Literal["load", "call"]
    """`load` changes the loaded model, so it is part of the load key; `call` is switched on for one call at a time."""
    parameters: type[Any]
    summary: str


FEATURES: dict[str, FeatureRow] = {
    "fuse_qkv": FeatureRow(
        phase="load",
        parameters=NoParameters,
        summary="one matrix product for query, key and value; the same pictures",
    ),
    "vae_channels_last": FeatureRow(
        phase="load",
        parameters=NoParameters,
        summary="the VAE's convolutions in channels-last memory order; moves only the lowest bits",
    ),
    "first_block_cache": FeatureRow(
        phase="call",
        parameters=FirstBlockCacheParameters,
        summary="reuse the transformer's blocks of the step before while the first block hardly changes",
    ),
}


def check_features(features: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with `features`: one message a problem, worded to follow "expected"."""
    problems: list[str] = []
    for name, values in features.items():
        row = FEATURES.get(name)
        if row is None:
            problems.append(f"in place of {name}, {suggest(name, FEATURES)}")
        elif not isinstance(values, Mapping):
            problems.append(f"{name} with a mapping of its parameters, {{}} where it has none, not {values!r}")
        else:
            problems += _check_parameters(name, row.parameters, values)
    return tuple(problems)


def _check_parameters(feature: str, parameters: type[Any], values: Mapping[str, Any]) -> Iterator[str]:
    known = {item.name: item for item in fields(parameters)}
    for name, value in values.items():
        if name not in known:
            accepted = suggest(name, known) if known else f"nothing: {feature} has no parameters"
            yield f"in place of {feature}.{name}, {accepted}"
            continue
        minimum = known[name].metadata["minimum"]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < minimum:
            yield f"{feature}.{name} to be a number of at least {minimum:g}, not {value!r}"
    for name, item in known.items():
        if name not in values and item.default is MISSING:
            yield f"{feature}.{name}, a number of at least {item.metadata['minimum']:g}, which is missing"


def features_of_phase(features: Features, phase: Literal["load", "call"]) -> dict[str, dict[str, Any]]:
    """Those of `features` that act in `phase`, by name."""
    return {name: dict(features[name]) for name in sorted(features) if FEATURES[name].phase == phase}


def apply_load_features(pipeline: Any, features: Features) -> None:
    """Change the loaded `pipeline` for good. Raises RuntimeError where a feature finds nothing to act on."""
    for name in features_of_phase(features, "load"):
        _LOAD[name](pipeline)


@contextmanager
def call_features(pipeline: Any, features: Features) -> Iterator[None]:
    """Switch the call features on for one call; afterwards, also after an aborted one, nothing of them is left."""
    with ExitStack() as stack:
        for name, values in features_of_phase(features, "call").items():
            stack.enter_context(_CALL[name](pipeline, **values))
        yield


_FUSED_AWAY = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")


def _fuse_qkv(pipeline: Any) -> None:
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


def _vae_channels_last(pipeline: Any) -> None:
    import torch

    pipeline.vae.to(memory_format=torch.channels_last)


@contextmanager
def _first_block_cache(pipeline: Any, *, threshold: float) -> Iterator[None]:
    from diffusers import FirstBlockCacheConfig

    transformer = pipeline.transformer
    transformer.enable_cache(FirstBlockCacheConfig(threshold=float(threshold)))
    try:
        yield
    finally:
        transformer._reset_stateful_cache()
        transformer.disable_cache()


_LOAD: dict[str, Callable[[Any], None]] = {"fuse_qkv": _fuse_qkv, "vae_channels_last": _vae_channels_last}
_CALL: dict[str, Callable[..., Any]] = {"first_block_cache": _first_block_cache}
