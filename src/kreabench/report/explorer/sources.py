"""The runs of a report, and what their settings are called in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kreabench.core.planned import Setting
from kreabench.report.evidence import Evidence
from kreabench.report.explorer.data import AxisData, AxisValue, RunData
from kreabench.report.several.names import RunName, names_of
from kreabench.report.text import message, visible

_UNITS = {
    "steps": "",
    "guidance": "",
    "size": "px",
    "strength": "",
    "num_images": "",
    "concurrency": "",
    "batch_size": "",
    "rate_per_s": "1/s",
}
_LABELS = {
    "run": "Run",
    "target": "Target",
    "acceleration": "Acceleration",
    "steps": "Steps",
    "guidance": "Guidance",
    "size": "Size",
    "strength": "Strength",
    "num_images": "Images a request",
    "output_format": "Format",
    "concurrency": "In flight",
    "batch_size": "Batch",
    "rate_per_s": "Arrivals",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """One run of a report."""

    id: str
    """`a`, `b`, …"""
    evidence: Evidence
    name: RunName

    def setting_id(self, setting_id: str) -> str:
        """Unique in the report."""
        return f"{self.id}/{setting_id}"


def sources_of(evidences: Sequence[Evidence]) -> tuple[Source, ...]:
    """Named in order; at most 26."""
    names = names_of([one.run for one in evidences])
    return tuple(
        Source(id=name.letter.lower(), evidence=one, name=name) for one, name in zip(evidences, names, strict=True)
    )


def run_data(source: Source) -> RunData:
    """What is told of a run as a whole."""
    info = source.evidence.run.info
    loads = source.evidence.journal.loads
    devices = dict.fromkeys(message(str(load.identity["device"]), 100) for load in loads if load.identity.get("device"))
    return RunData(
        id=source.id,
        name=source.name.name,
        created_utc=message(info.created_utc, 40),
        description=message(info.experiment.description, 600),
        plan_hash=info.plan_hash,
        git_revision=None if info.git_revision is None else message(info.git_revision, 60),
        brand=source.evidence.brand,
        devices=tuple(devices),
        versions={message(name, 100): message(version, 100) for name, version in info.versions.items()},
    )


def axes_of_setting(source: Source, setting: Setting) -> dict[str, AxisValue]:
    """Name of the axis → value; None where the endpoint has no such axis."""
    return {
        "run": str(source.name),
        "target": visible(setting.target),
        "acceleration": visible(setting.acceleration),
        "steps": setting.steps,
        "guidance": setting.guidance,
        "size": size_of(setting.width, setting.height),
        "strength": setting.strength,
        "num_images": setting.num_images,
        "output_format": setting.output_format,
        "concurrency": setting.concurrency,
        **(_load_axes(setting) if source.evidence.experiment.traffic is not None else {}),
    }


def _load_axes(setting: Setting) -> dict[str, AxisValue]:
    """Axes of load runs alone."""
    return {"batch_size": setting.batch_size, "rate_per_s": setting.rate_per_s}


def size_of(width: int, height: int) -> str:
    """A value of the axis `size`."""
    return f"{width}×{height}"


def axes_of(sources: Sequence[Source]) -> tuple[AxisData, ...]:
    """All axes, also those along which nothing differs; `run` only where there are several. Sizes go by pixels."""
    found: dict[str, dict[AxisValue, None]] = {}
    sizes: dict[AxisValue, tuple[int, int]] = {}
    for source in sources:
        for setting in source.evidence.plan.settings:
            sizes[size_of(setting.width, setting.height)] = (setting.width * setting.height, setting.width)
            for name, value in axes_of_setting(source, setting).items():
                found.setdefault(name, {})[value] = None
    if "size" in found:
        found["size"] = dict.fromkeys(sorted(found["size"], key=sizes.__getitem__))
    return tuple(
        AxisData(name=name, label=_LABELS[name], unit=_UNITS.get(name, ""), values=_ordered(tuple(values)))
        for name, values in found.items()
        if name != "run" or len(sources) > 1
    )


def _ordered(values: tuple[AxisValue, ...]) -> tuple[AxisValue, ...]:
    """Numbers ascending, None last; words as they came."""
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) + (None in values) != len(values):
        return values
    return (*sorted(numbers), *((None,) if None in values else ()))
