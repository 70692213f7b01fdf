"""What settings are called where space is short: by what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kreabench.report.explorer.data import AxisValue
from kreabench.report.explorer.sources import Source, axes_of_setting

_ALWAYS = ("target", "acceleration")
"""Said in a sentence whether settings differ in them or not: `none` alone is no name."""
_SAID = {
    "run": "{:.1}",
    "steps": "{} steps",
    "guidance": "g{:g}",
    "strength": "strength {:g}",
    "num_images": "×{}",
    "batch_size": "batches of {}",
    "concurrency": "{} in flight",
    "rate_per_s": "at {:g}/s",
}
"""How an axis is told in few letters, where its value alone would be a riddle."""


def differing_axes(sources: Sequence[Source]) -> tuple[str, ...]:
    """Axes along which the settings of the report differ; target and acceleration where none does."""
    axes = [axes_of_setting(source, setting) for source in sources for setting in source.evidence.plan.settings]
    names = list(axes[0]) if axes else []
    return tuple(name for name in names if len({one[name] for one in axes}) > 1) or _ALWAYS


def short_name(axes: Mapping[str, AxisValue], differing: Sequence[str]) -> str:
    """What tells a setting from the others, in few words."""
    said = ((name, axes[name]) for name in differing)
    return " ".join(_said(name, value) for name, value in said if value is not None)


def spoken_names(source: Source) -> dict[str, str]:
    """Id of each setting of a run's plan → its name in a sentence."""
    differing = differing_axes([source])
    settings = {one.id: axes_of_setting(source, one) for one in source.evidence.plan.settings}
    return {
        id_: short_name(axes, [name for name in axes if name in {*_ALWAYS, *differing}])
        for id_, axes in settings.items()
    }


def _said(name: str, value: AxisValue) -> str:
    return "1 step" if (name, value) == ("steps", 1) else _SAID.get(name, "{}").format(value)
