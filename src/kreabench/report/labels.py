"""What a setting is called in a table: two short lines, with no more of its axes than tell the rows apart."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.core.planned import Setting
from kreabench.report.parts import Cell
from kreabench.report.text import visible

_AXES = ("guidance", "strength", "num_images", "output_format", "batch_size", "concurrency", "rate_per_s")
"""Beside target, acceleration, steps and size, which are always named."""


def differing_axes(settings: Sequence[Setting]) -> tuple[str, ...]:
    """Further axes in which the settings differ."""
    return tuple(name for name in _AXES if len({getattr(setting, name) for setting in settings}) > 1)


def setting_cell(setting: Setting, axes: Sequence[str], *, mark: bool = False) -> Cell:
    """Target and acceleration, and below them the rest; `axes` are those of `differing_axes`.

    `mark`: whether the reference says so, where the row cannot as it begins with something else.
    """
    said = {
        "guidance": "" if setting.guidance is None else f"g{setting.guidance:g}",
        "strength": "" if setting.strength is None else f"strength {setting.strength:g}",
        "num_images": f"×{setting.num_images}",
        "output_format": setting.output_format,
        "batch_size": f"batches of {setting.batch_size}",
        "concurrency": f"{setting.concurrency} in flight",
        "rate_per_s": "" if setting.rate_per_s is None else f"at {setting.rate_per_s:g}/s",
    }
    steps = "" if setting.steps is None else f"{setting.steps} step{'s' if setting.steps != 1 else ''}"
    size, tail = f"{setting.width} × {setting.height}", reference_mark(setting) if mark else ""
    parts = (steps, size, *(said[axis] for axis in axes), tail)
    return Cell(
        text=f"{visible(setting.target)} {visible(setting.acceleration)}", detail=", ".join(filter(None, parts))
    )


def reference_mark(setting: Setting) -> str:
    """For `Row.mark`."""
    return "reference" if setting.id == setting.reference_id else ""
