"""Settings, and points of the matrix that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.analysis.settings import SettingSummary
from kreabench.report.explorer.data import AxisValue, QuantityData, SettingData, SkippedData, StageData
from kreabench.report.explorer.quantities import absent_of, value_of, values_of
from kreabench.report.explorer.sources import Source, axes_of_setting
from kreabench.report.labels import differing_axes, setting_cell


def settings_of(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[SettingData, ...]:
    """All settings of all runs, in the order of their plans."""
    names = [quantity.name for quantity in quantities]
    return tuple(_setting(source, summary, names) for source in sources for summary in source.evidence.summaries)


def _setting(source: Source, summary: SettingSummary, names: Sequence[str]) -> SettingData:
    setting = summary.setting
    cell = setting_cell(setting, differing_axes(source.evidence.plan.settings))
    device = summary.device
    return SettingData(
        id=source.setting_id(setting.id),
        run=source.id,
        label=setting.label,
        short=f"{cell.text}, {cell.detail}",
        axes=axes_of_setting(source, setting),
        reference=None if setting.reference_id is None else source.setting_id(setting.reference_id),
        requested=summary.requested or 0,
        ok=summary.ok,
        failed=summary.failed,
        images=summary.images,
        degenerate=sum(summary.degenerate.values()),
        flagged=0,
        values=values_of(summary),
        absent=absent_of(summary, names),
        stages=tuple(
            StageData(name=stage.name, mean_s=stage.mean_s, allocated_bytes=None, reserved_bytes=None)
            for stage in summary.stages
        ),
        steps_s=(),
        floor_s=None if device is None else device.floor_s,
        share_of_floor=None if device is None or device.share_of_floor is None else value_of(device.share_of_floor),
        command="",
    )


def skipped_of(sources: Sequence[Source]) -> Iterator[SkippedData]:
    """What cannot be done, and what a race dropped."""
    for source in sources:
        for one in source.evidence.plan.skipped:
            label = f"{one.target} {one.acceleration} {one.size}"
            axes: dict[str, AxisValue] = {
                "run": str(source.name),
                "target": one.target,
                "acceleration": one.acceleration,
            }
            axes |= {"steps": one.steps, "guidance": one.guidance, "size": one.size}
            yield SkippedData(run=source.id, label=label, axes=axes, reason=one.reason, kind="skipped")
