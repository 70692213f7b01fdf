"""What is wrong with a set of features: unknown names, bad parameters, and what cannot be combined, with the reason.

The reasons are from diffusers' documentation and source and from trials with 0.42. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from kreabench.backends.accelerations.features import FEATURES, Features, Kind
from kreabench.backends.accelerations.parameters import completed, parameter_problems
from kreabench.core.registry import suggest

_ONE_OF_A_KIND: dict[Kind, str] = {
    "cache": "diffusers keeps one cache at a time",
    "compile": "a block that is compiled by itself must not be compiled again from outside",
    "quantisation": "weights are quantised once",
    "offload": "two ways of moving the same weights would move them twice",
}
_TORCHAO_FEATURES = frozenset({"fp8_dynamic", "fp8_weight_only", "int8_weight_only", "int8_dynamic"})
_COMPILES = frozenset({"compile_regional", "compile_full"})
_CUDA_GRAPH_MODES = frozenset({"max-autotune", "reduce-overhead"})

_CONFLICTS: tuple[tuple[frozenset[str], frozenset[str], str], ...] = (
    (
        frozenset({"magcache"}),
        _COMPILES,
        "MagCache's hooks switch the compiler off, so that every block would silently run uncompiled",
    ),
    (
        frozenset({"fp8_storage"}),
        _COMPILES,
        "the casts around every layer break the compiled graph, which is then slower than no compilation",
    ),
    (
        frozenset({"offload_sequential", "offload_group"}),
        _COMPILES,
        "moving layers in and out breaks the compiled graph, which is then slower than no compilation",
    ),
    (
        frozenset({"offload_model"}),
        frozenset({"compile_full"}),
        "the hook that moves the transformer would be compiled with it; compile_regional compiles within",
    ),
    (
        frozenset({"offload_model", "offload_sequential", "offload_group"}),
        _TORCHAO_FEATURES | {"nunchaku"},
        "packed weights are not moved to and fro by every version of the library that packs them",
    ),
    (
        frozenset({"offload_group"}),
        frozenset({"first_block_cache", "taylorseer", "magcache", "pab", "fastercache", "fp8_storage"}),
        "both hook the same blocks, and a skipped block would wait for weights that never come",
    ),
    (
        frozenset({"offload_sequential"}),
        frozenset({"fp8_storage"}),
        "both replace the weights of each layer while it runs",
    ),
    (
        frozenset({"nunchaku"}),
        frozenset({"lora", "fuse_qkv", "attention", "compile_regional", "compile_full"})
        | {"first_block_cache", "taylorseer", "magcache", "pab", "fastercache"},
        "Nunchaku's transformer has attention, fused projections and hooks of its own",
    ),
)


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
            problems += parameter_problems(name, row.parameters, values)
    return tuple(problems) or tuple(_crossed(features)) or tuple(conflicts(features))


def _crossed(features: Features) -> Iterator[str]:
    """Parameters that are each allowed and do not go together."""
    for name, values in features.items():
        whole = completed(FEATURES[name].parameters, values)
        if name == "pab" and whole["timestep_low"] >= whole["timestep_high"]:
            yield "pab.timestep_low to be below pab.timestep_high"


def conflicts(features: Features) -> Iterator[str]:
    """Which of `features` cannot be combined, and why, worded to follow "expected"."""
    for first, second in combinations(sorted(features), 2):
        reason = _conflict(first, second)
        if reason is not None:
            yield f"{first} without {second}: {reason}"
    caches = [name for name in sorted(features) if FEATURES[name].kind == "cache"]
    mode = features.get("compile_full", {}).get("mode")
    if caches and mode in _CUDA_GRAPH_MODES:
        reason = "CUDA graphs overwrite the outputs that the cache keeps"
        yield f"{caches[0]} without compile_full.mode {mode}: {reason}"


def _conflict(first: str, second: str) -> str | None:
    kind = FEATURES[first].kind
    if kind == FEATURES[second].kind and kind in _ONE_OF_A_KIND:
        return _ONE_OF_A_KIND[kind]
    for some, others, reason in _CONFLICTS:
        if (first in some and second in others) or (second in some and first in others):
            return reason
    return None
