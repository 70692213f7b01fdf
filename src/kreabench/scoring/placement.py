"""On which device scores are made, and whether that would touch the timings of pictures drawn meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from kreabench.backends.machine import look
from kreabench.core.engine_spec import PROCESSOR
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.specs import ExperimentSpec, MetricSpec, TargetSpec
from kreabench.metrics.table import METRICS, options_class


def on_device(metrics: Sequence[MetricSpec], device: str | None) -> tuple[MetricSpec, ...]:
    """`metrics` with `device` for their option of that name, where they have one; None leaves each its own."""
    if device is None:
        return tuple(metrics)
    return tuple(
        replace(spec, options={**spec.options, "device": device}) if _has_device(spec) else spec for spec in metrics
    )


def drawing_devices(targets: Sequence[TargetSpec], gpus: int) -> dict[str, str]:
    """Device → the target that draws on it. Hosted targets draw elsewhere, but for services that the run starts."""
    found: dict[str, str] = {}
    for target in targets:
        options: dict[str, Any] = {}
        if target.service is not None and target.service.options.get("images") == "pipeline":
            options = {"device": "auto", **target.service.options.get("pipeline", {})}
        elif not target.hosted and target.backend != "fake":
            options = {"device": "auto", **target.options}
        if options:
            found.setdefault(meant(str(options["device"]), gpus), target.name)
    return found


def meant(device: str, gpus: int) -> str:
    """`cpu` or `cuda:N`, of what is configured, on a machine with so many GPUs."""
    if device == "auto":
        return "cuda:0" if gpus else PROCESSOR
    return "cuda:0" if device == "cuda" else device


def disturbance(
    targets: Sequence[TargetSpec], metrics: Sequence[MetricSpec], device: str | None, gpus: int, *, key: str
) -> Problem | None:
    """Why scoring with `metrics` must not go on while `targets` draw; None where it may.

    `key` names what asks for it; `device` is set for all metrics, or None.
    """
    drawing = drawing_devices(targets, gpus)
    if PROCESSOR in drawing:
        return Problem(
            key=key,
            found=f"target {drawing[PROCESSOR]} draws on the processor, where every scoring decodes its pictures",
            expected="targets that draw on a GPU or at a service: its timings would be touched",
            remedy="Score after the pictures are drawn",
        )
    for spec in on_device(metrics, device):
        place = meant(str(spec.options.get("device", "auto")), gpus) if _has_device(spec) else PROCESSOR
        if place in drawing:
            own = f"metrics.{spec.name}.options.device"
            return Problem(
                key=own if device is None else "scoring.device",
                found=f"{place}, on which target {drawing[place]} draws",
                expected="another device, such as cpu: its timings would be touched",
                remedy="Score after the pictures are drawn, or set scoring.device (`--device` of kreabench score)",
            )
    return None


def check_placement(
    experiment: ExperimentSpec,
    targets: Sequence[TargetSpec],
    *,
    device: str | None = None,
    key: str = "scoring.during_generation",
) -> None:
    """Raises ConfigError where scoring while `targets` draw is asked for, and would touch their timings.

    It is asked for by `key`; the configuration asks only where it says so.
    """
    asked = key != "scoring.during_generation" or experiment.scoring.during_generation
    if not asked or not experiment.metrics:
        return
    device = device or experiment.scoring.device
    problem = disturbance(targets, experiment.metrics, device, len(look().gpus), key=key)
    if problem is not None:
        raise ConfigError([problem])


def _has_device(spec: MetricSpec) -> bool:
    return spec.kind in METRICS and any(field.name == "device" for field in fields(options_class(spec.kind)))
