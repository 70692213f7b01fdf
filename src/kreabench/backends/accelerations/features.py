"""The table of acceleration features: what each is, when it acts and what it needs.

Facts about each are from diffusers' documentation (huggingface.co/docs/diffusers, "Accelerate inference") and its
source, and were checked against 0.42. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kreabench.backends.accelerations.parameters import (
    QUANTISED_ATTENTION,
    AttentionParameters,
    FasterCacheParameters,
    FirstBlockCacheParameters,
    Fp8DynamicParameters,
    FullCompileParameters,
    GroupOffloadParameters,
    LoraParameters,
    MagCacheParameters,
    NoParameters,
    NunchakuParameters,
    PabParameters,
    RegionalCompileParameters,
    TaylorSeerParameters,
    completed,
)

Features = Mapping[str, Mapping[str, Any]]
"""Feature name → its parameters, as in `AccelerationSpec.features`."""
Phase = Literal["load", "call"]

Kind = Literal["cache", "compile", "quantisation", "offload", "other"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a machine must have."""

    cuda: bool = False
    capability: tuple[int, int] | None = None
    """Least compute capability of the GPU."""
    not_capability: int | None = None
    """A major compute capability for which the package has no kernels."""
    packages: Mapping[str, str | None] = field(default_factory=dict)
    """Distribution → least version, None where any will do."""
    compiler: bool = False
    """A C++ compiler, from which torch.compile and triton build their launchers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRow:
    """What is known of a feature without importing anything heavy."""

    phase: Phase
    """`load` changes the loaded model, so it is part of the load key; `call` is switched on for one call at a time."""
    parameters: type[Any]
    summary: str
    kind: Kind = "other"
    exact: bool = False
    """Whether it computes what the model alone computes, up to the order of sums: no work is skipped, no weight or
    product has fewer bits. What a parameter decides is in `is_exact`."""
    couples: bool = False
    """Whether what it skips of one picture depends on the others that are drawn in the same call."""
    needs: Needs = field(default_factory=Needs)


_TORCHAO = {"torchao": "0.15"}

FEATURES: dict[str, FeatureRow] = {
    "lora": FeatureRow(
        phase="load",
        parameters=LoraParameters,
        needs=Needs(packages={"peft": None}),
        summary="a LoRA by path or Hub id, fused into the weights before anything else changes them",
    ),
    "nunchaku": FeatureRow(
        phase="load",
        parameters=NunchakuParameters,
        kind="quantisation",
        needs=Needs(cuda=True, capability=(7, 5), not_capability=9, packages={"nunchaku": None}),
        summary="Nunchaku's 4-bit transformer in place of the target's own; its kernels refuse Hopper",
    ),
    "fuse_qkv": FeatureRow(
        phase="load",
        parameters=NoParameters,
        exact=True,
        summary="one matrix product for query, key and value; the same pictures",
    ),
    "fp8_dynamic": FeatureRow(
        phase="load",
        parameters=Fp8DynamicParameters,
        kind="quantisation",
        needs=Needs(cuda=True, capability=(8, 9), packages=_TORCHAO),
        summary="weights and activations of the blocks in fp8, products on the fp8 units (torchao)",
    ),
    "fp8_weight_only": FeatureRow(
        phase="load",
        parameters=NoParameters,
        kind="quantisation",
        needs=Needs(packages=_TORCHAO),
        summary="weights of the blocks stored in fp8, products in the target's dtype: memory, not speed (torchao)",
    ),
    "int8_weight_only": FeatureRow(
        phase="load",
        parameters=NoParameters,
        kind="quantisation",
        needs=Needs(packages=_TORCHAO),
        summary="weights of the blocks stored in int8, products in the target's dtype: memory, not speed (torchao)",
    ),
    "int8_dynamic": FeatureRow(
        phase="load",
        parameters=NoParameters,
        kind="quantisation",
        needs=Needs(packages=_TORCHAO),
        summary="weights and activations of the blocks in int8, products on the int8 units (torchao)",
    ),
    "fp8_storage": FeatureRow(
        phase="load",
        parameters=NoParameters,
        kind="quantisation",
        summary="the transformer's weights stored in fp8 and cast layer by layer: half the memory, slower",
    ),
    "vae_channels_last": FeatureRow(
        phase="load",
        parameters=NoParameters,
        exact=True,
        summary="the VAE's convolutions in channels-last memory order; moves only the lowest bits",
    ),
    "vae_tiling": FeatureRow(
        phase="load",
        parameters=NoParameters,
        summary="the VAE in overlapping tiles where a picture is larger than its own size: less memory, visible seams",
    ),
    "attention": FeatureRow(
        phase="load",
        parameters=AttentionParameters,
        exact=True,
        summary="another implementation of attention: torch's own, cuDNN, FlashAttention, SageAttention",
    ),
    "offload_model": FeatureRow(
        phase="load",
        parameters=NoParameters,
        kind="offload",
        exact=True,
        needs=Needs(cuda=True, packages={"accelerate": None}),
        summary="each model waits on the host and comes to the GPU whole for its turn",
    ),
    "offload_sequential": FeatureRow(
        phase="load",
        parameters=NoParameters,
        kind="offload",
        exact=True,
        needs=Needs(cuda=True, packages={"accelerate": None}),
        summary="every layer waits on the host and comes to the GPU for its turn: least memory, slowest",
    ),
    "offload_group": FeatureRow(
        phase="load",
        parameters=GroupOffloadParameters,
        kind="offload",
        exact=True,
        needs=Needs(cuda=True),
        summary="blocks wait on the host and come to the GPU while the one before computes",
    ),
    "compile_regional": FeatureRow(
        phase="load",
        parameters=RegionalCompileParameters,
        kind="compile",
        exact=True,
        needs=Needs(compiler=True),
        summary="torch.compile of each repeated block: most of the speed, a fraction of the compile time",
    ),
    "compile_full": FeatureRow(
        phase="load",
        parameters=FullCompileParameters,
        kind="compile",
        exact=True,
        needs=Needs(compiler=True),
        summary="torch.compile of the whole transformer",
    ),
    "first_block_cache": FeatureRow(
        phase="call",
        parameters=FirstBlockCacheParameters,
        kind="cache",
        couples=True,  # one mean over the whole call decides
        summary="reuse the transformer's blocks of the step before while the first block hardly changes",
    ),
    "taylorseer": FeatureRow(
        phase="call",
        parameters=TaylorSeerParameters,
        kind="cache",
        summary="extrapolate attention between computed steps by a Taylor series",
    ),
    "magcache": FeatureRow(
        phase="call",
        parameters=MagCacheParameters,
        kind="cache",
        summary="skip whole steps of the transformer by the known decline of its residuals in FLUX.1 [dev]",
    ),
    "pab": FeatureRow(
        phase="call",
        parameters=PabParameters,
        kind="cache",
        summary="Pyramid Attention Broadcast: reuse attention of the step before in the middle of the schedule",
    ),
    "fastercache": FeatureRow(
        phase="call",
        parameters=FasterCacheParameters,
        kind="cache",
        summary="FasterCache: extrapolate attention from the two steps before in the later part of the schedule",
    ),
}
"""In the order in which they are applied: what changes weights comes before what packs, moves or compiles them."""


def complete(features: Features) -> dict[str, dict[str, Any]]:
    """`features`, which `checks.check_features` accepts, with every parameter that they leave out."""
    return {name: completed(FEATURES[name].parameters, values) for name, values in features.items()}


def is_compiled(features: Features) -> bool:
    """Whether any of `features` compiles."""
    return any(FEATURES[name].kind == "compile" for name in features)


def is_exact(features: Features) -> bool:
    """Whether a model with `features` computes what it computes without them, so that its pictures differ by nothing
    but rounding."""
    rounding = str(features.get("attention", {}).get("backend")) in QUANTISED_ATTENTION
    return not rounding and all(name in FEATURES and FEATURES[name].exact for name in features)


def is_offloaded(features: Features) -> bool:
    """Whether any of `features` keeps weights on the host."""
    return any(FEATURES[name].kind == "offload" for name in features)


def features_of_phase(features: Features, phase: Phase) -> dict[str, dict[str, Any]]:
    """Those of `features` that act in `phase`, by name.

    Beside compilation everything acts at load: a cache that is put on for each call brings new hooks, for which torch
    compiles anew each time, until it gives up and runs the model uncompiled without a word.
    """
    compiled = is_compiled(features)
    return {
        name: dict(features[name])
        for name in sorted(features)
        if ("load" if compiled else FEATURES[name].phase) == phase
    }


def in_order(features: Features) -> list[str]:
    """Names of `features` in the order in which they are applied."""
    return [name for name in FEATURES if name in features]
