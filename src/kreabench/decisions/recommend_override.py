"""The words after `kreabench run` that draw one setting again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kreabench.core.overrides import override
from kreabench.core.planned import Setting
from kreabench.core.specs import TargetSpec


def override_words(setting: Setting) -> tuple[str, ...]:
    """Overrides that choose `setting` alone, as far as axes say it."""
    size = f"{setting.width}x{setting.height}"
    return (
        f"target=[{setting.target}]",
        f"acceleration=[{setting.acceleration}]",
        *(() if setting.steps is None else (f"axes.steps=[{setting.steps}]",)),
        *(() if setting.guidance is None else (override("axes.guidance", [setting.guidance]),)),
        f"axes.size=[{size}]",
        *(() if setting.strength is None else (override("axes.strength", [setting.strength]),)),
        *(() if setting.num_images == 1 else (f"axes.num_images=[{setting.num_images}]",)),
        f"axes.output_format=[{setting.output_format}]",
        *(() if setting.concurrency == 1 else (f"run.concurrency={setting.concurrency}",)),
        *(() if setting.rate_per_s is None else ("run.load=on", override("load.rate", [setting.rate_per_s]))),
        *(() if setting.batch_size == 1 else (override("load.batch_size", [setting.batch_size]),)),
    )


def changed_options(wanted: TargetSpec, composed: TargetSpec) -> tuple[str, ...]:
    """Overrides that give the target `composed` the model, revision, options and parameters of `wanted`."""
    head = f"target.{wanted.name}"
    words = [
        override(f"{head}.{name}", getattr(wanted, name))
        for name in ("model", "revision")
        if getattr(wanted, name) != getattr(composed, name)
    ]
    for part in ("options", "parameters"):
        words += _changed(f"{head}.{part}", getattr(wanted, part), getattr(composed, part))
    return tuple(words)


def _changed(head: str, wanted: Mapping[str, Any], composed: Mapping[str, Any]) -> list[str]:
    return [override(f"{head}.{key}", value) for key, value in wanted.items() if composed.get(key, ...) != value]
