"""The least time that this device could take for a request: its work at the rates that the device has reached.

For each model the longer of its arithmetic and of reading its weights (the roofline of Williams et al., 2009), and no
two models at once. What is faster than that was not measured rightly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kreabench.backends.work import TERA, BlockRuns, Config, Flop, Part, Shape, parts_of
from kreabench.core.records import Calibration, Timings, Work

TOLERANCE = 0.95
"""A stage is called too fast below this share of its floor: clocks vary by some percent after the calibration."""

FASTER_LINEAR = {"fp8_dynamic": "float8", "int8_dynamic": "int8"}
"""Features that multiply in a faster number format than the model's own."""
FASTER_ATTENTION = {"sage": "int8", "fp8": "float8"}
"""The same for attention: part of the name of the attention back end → the fastest format it uses."""
UNKNOWN_RATE = "nunchaku"
"""Multiplies in four bits, for which there is no calibration."""
SKIPPING = ("first_block_cache", "taylorseer", "magcache", "pab", "fastercache")
"""Features that leave out work; without a count of what ran nobody knows how much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What the floor needs of a loaded model, taken once after loading."""

    config: Config
    weight_bytes: int
    """At least so many are read when it runs: quantised weights count as one byte, or less, a number."""


def config_of(model: Any) -> Config:
    """Sizes of a model of diffusers or transformers, under the names that both use."""
    config = model.config
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)


def models_of(components: Mapping[str, Any]) -> dict[str, Model]:
    """The models among a pipeline's components, by name."""
    import torch

    return {
        name: Model(config=config_of(part), weight_bytes=_weight_bytes(part))
        for name, part in components.items()
        if isinstance(part, torch.nn.Module) and hasattr(part, "config")
    }


def _weight_bytes(model: Any) -> int:
    import torch

    plain = (torch.Tensor, torch.nn.Parameter)
    total = 0.0
    for parameter in model.parameters():
        # What a subclass of torch's tensor really stores, only it knows; four bits are the least in use.
        total += parameter.numel() * (parameter.element_size() if type(parameter) in plain else 0.5)
    return int(total)


def work_of(
    models: Mapping[str, Model],
    shape: Shape,
    timings: Timings,
    *,
    dtype: str,
    features: Mapping[str, Mapping[str, Any]],
    blocks: BlockRuns | None,
    calibration: Calibration | None,
) -> tuple[Work, tuple[str, ...]]:
    """The work record of a request, and a flag for each stage that was faster than possible."""
    parts = parts_of({name: model.config for name, model in models.items()}, shape, blocks)
    known = blocks is not None or not any(name in features for name in SKIPPING)
    floors = _stage_floors(parts, models, dtype, features, calibration, known) if calibration is not None else {}
    done: dict[str, float] = {}
    for part in parts:
        if known or part.stage != "denoise":
            done[part.stage] = done.get(part.stage, 0.0) + part.flop.total / TERA
    floor = sum(floors.values()) if floors and set(floors) == {part.stage for part in parts} else None
    work = Work(
        reference_tflop=sum(part.reference.total for part in parts) / TERA,
        done_tflop=sum(done.values()) if known else None,
        stages_tflop=done,
        floor_s=floor,
        share_of_floor=floor / timings.end_to_end_s if floor is not None and timings.end_to_end_s > 0 else None,
    )
    return work, too_fast(floors, timings.stages_s)


def too_fast(floors: Mapping[str, float], stages_s: Mapping[str, float]) -> tuple[str, ...]:
    """A sentence for each stage that took less than its floor: its clock did not wait for the work."""
    return tuple(
        f"{stage} took {stages_s[stage]:.4g} s, less than its floor of {floor:.4g} s: a measuring error"
        for stage, floor in floors.items()
        if stage in stages_s and stages_s[stage] < TOLERANCE * floor
    )


def _stage_floors(
    parts: Sequence[Part],
    models: Mapping[str, Model],
    dtype: str,
    features: Mapping[str, Mapping[str, Any]],
    calibration: Calibration,
    known: bool,
) -> dict[str, float]:
    """Stage → seconds; without those whose work or whose rate is not known."""
    floors: dict[str, float] = {}
    for part in parts:
        if part.stage == "denoise" and (not known or UNKNOWN_RATE in features):
            continue
        arithmetic = _arithmetic_s(part, dtype, features, calibration)
        if arithmetic is None:
            continue
        share = part.flop.total / part.reference.total
        reading = part.runs * share * _reading_s(models[part.model].weight_bytes, calibration)
        floors[part.stage] = floors.get(part.stage, 0.0) + max(arithmetic, reading)
    return floors


def _arithmetic_s(
    part: Part, dtype: str, features: Mapping[str, Mapping[str, Any]], calibration: Calibration
) -> float | None:
    """Seconds at the calibrated rates; None where one of them was not measured."""
    formats = Formats.of(dtype, features) if part.model == "transformer" else Formats.of(dtype, {})
    rates = calibration.tflop_s
    if not {formats.linear, formats.attention, dtype} <= rates.keys():
        return None
    convolution = max(rates[dtype], rates.get("tf32", 0.0)) if dtype == "float32" else rates[dtype]
    return _seconds(part.flop, rates[formats.linear], rates[formats.attention], convolution)


def _seconds(flop: Flop, linear: float, attention: float, convolution: float) -> float:
    return (flop.linear / linear + flop.attention / attention + flop.convolution / convolution) / TERA


@dataclass(frozen=True, kw_only=True, slots=True)
class Formats:
    """Number formats in which the transformer multiplies, at the fastest."""

    linear: str
    attention: str

    @classmethod
    def of(cls, dtype: str, features: Mapping[str, Mapping[str, Any]]) -> Formats:
        """As `features` make them; weight-only quantisation still multiplies in `dtype`."""
        linear = next((FASTER_LINEAR[name] for name in features if name in FASTER_LINEAR), dtype)
        chosen = " ".join(str(value) for value in features.get("attention", {}).values())
        attention = next((name for part, name in FASTER_ATTENTION.items() if part in chosen), dtype)
        return cls(linear=linear, attention=attention)


def _reading_s(weight_bytes: int, calibration: Calibration) -> float:
    """Seconds to read the weights once, less what may have stayed in the cache; 0 where its size is unknown."""
    if calibration.cache_bytes is None:
        return 0.0
    return max(0, weight_bytes - calibration.cache_bytes) / (calibration.copy_gb_s * 1e9)
