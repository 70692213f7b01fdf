"""Settings, and points of the matrix that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from kreabench.analysis.settings import SettingSummary
from kreabench.analysis.steps import step_medians
from kreabench.core.planned import Setting, SkippedSetting
from kreabench.core.sizes import parse_size
from kreabench.report.explorer.command import Commands
from kreabench.report.explorer.data import AxisValue, QuantityData, SettingData, SkippedData, StageData
from kreabench.report.explorer.quantities import absent_of, value_of, values_of
from kreabench.report.explorer.short_names import differing_axes, short_name
from kreabench.report.explorer.sources import Source, axes_of_setting, size_of
from kreabench.report.text import message, visible
from kreabench.rundir.columns import KINDS


def settings_of(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[SettingData, ...]:
    """All settings of all runs, in the order of their plans."""
    names = [quantity.name for quantity in quantities]
    differing = differing_axes(sources)
    return tuple(one for source in sources for one in _Settings(source, names, differing).all())


@dataclass(frozen=True, slots=True)
class _Peaks:
    """Highest peak of memory, in bytes."""

    allocated: int | None
    reserved: int | None


class _Settings:
    """Of one run."""

    def __init__(self, source: Source, names: Sequence[str], differing: Sequence[str]) -> None:
        self._source = source
        self._names = names
        self._differing = differing
        evidence = source.evidence
        self._commands = Commands(evidence.run)
        self._known = {setting.id: setting for setting in evidence.plan.settings}
        self._peaks = _stage_peaks(evidence.table)
        self._flagged = _flagged(evidence.table)
        self._steps = step_medians(evidence.journal.samples.values())

    def all(self) -> Iterator[SettingData]:
        return map(self._one, self._source.evidence.summaries)

    def _one(self, summary: SettingSummary) -> SettingData:
        source, setting, device = self._source, summary.setting, summary.device
        axes = axes_of_setting(source, setting)
        return SettingData(
            id=source.setting_id(setting.id),
            run=source.id,
            label=visible(setting.label),
            short=short_name(axes, self._differing),
            axes=axes,
            reference=None if setting.reference_id is None else source.setting_id(setting.reference_id),
            requested=summary.requested or 0,
            ok=summary.ok,
            failed=summary.failed,
            images=summary.images,
            degenerate=sum(summary.degenerate.values()),
            flagged=self._flagged.get(setting.id, 0),
            values=values_of(summary),
            absent=absent_of(summary, self._names),
            stages=self._stages(summary),
            steps_s=self._steps.get(setting.id, ()),
            floor_s=None if device is None else device.floor_s,
            share_of_floor=None if device is None or device.share_of_floor is None else value_of(device.share_of_floor),
            command=self._commands.of(setting, self._reference(setting)),
        )

    def _reference(self, setting: Setting) -> Setting | None:
        return None if setting.reference_id is None else self._known.get(setting.reference_id)

    def _stages(self, summary: SettingSummary) -> tuple[StageData, ...]:
        """Those that took time, in order, then those that were weighed alone."""
        peaks = self._peaks.get(summary.setting.id, {})
        means = {stage.name: stage.mean_s for stage in summary.stages}
        return tuple(
            StageData(
                name=visible(name),
                mean_s=means.get(name),
                allocated_bytes=peak.allocated if (peak := peaks.get(name)) else None,
                reserved_bytes=peak.reserved if peak else None,
            )
            for name in dict.fromkeys([*means, *peaks])
        )


def _stage_peaks(table: pd.DataFrame) -> dict[str, dict[str, _Peaks]]:
    """Setting id → stage → the highest peak of all its delivered samples."""
    ends = {kind: f"_{kind}_bytes" for kind in KINDS}
    columns = {
        column: (column.removeprefix("stage_").removesuffix(end), kind)
        for column in map(str, table.columns)
        for kind, end in ends.items()
        if column.startswith("stage_") and column.endswith(end)
    }
    if not columns or table.empty:
        return {}
    delivered = table[table["status"] == "ok"]
    highest = delivered[list(columns)].groupby(delivered["setting_id"].to_numpy(dtype=object), sort=False).max()
    found: dict[str, dict[str, _Peaks]] = {}
    for setting_id, row in highest.iterrows():
        weighed: dict[str, dict[str, int]] = {}
        for column, value in row.items():
            if pd.notna(value):
                stage, kind = columns[str(column)]
                weighed.setdefault(stage, {})[kind] = int(value)
        found[str(setting_id)] = {
            stage: _Peaks(allocated=peak.get("allocated"), reserved=peak.get("reserved"))
            for stage, peak in weighed.items()
        }
    return found


def _flagged(table: pd.DataFrame) -> dict[str, int]:
    """Setting id → pictures that a safety checker flagged."""
    if "nsfw" not in table.columns:
        return {}
    flagged = table.loc[table["nsfw"].isin([True]), "setting_id"].value_counts()
    return {str(setting_id): int(number) for setting_id, number in flagged.items()}


def skipped_of(sources: Sequence[Source]) -> Iterator[SkippedData]:
    """What cannot be done, and what a race dropped."""
    for source in sources:
        for one in source.evidence.plan.skipped:
            axes = _skipped_axes(source, one)
            label = " ".join(str(axes[name]) for name in ("target", "acceleration", "size"))
            yield SkippedData(run=source.id, label=label, axes=axes, reason=message(one.reason, 400), kind="skipped")
        for setting in source.evidence.whole.settings:
            if (drop := source.evidence.dropped.get(setting.id)) is not None:
                yield SkippedData(
                    run=source.id,
                    label=visible(setting.label),
                    axes=axes_of_setting(source, setting),
                    reason=message(drop.reason, 400),
                    kind="dropped",
                )


def _skipped_axes(source: Source, one: SkippedSetting) -> dict[str, AxisValue]:
    return {
        "run": str(source.name),
        "target": visible(one.target),
        "acceleration": visible(one.acceleration),
        "steps": one.steps,
        "guidance": one.guidance,
        "size": size_of(*parse_size(one.size)),
        "strength": one.strength,
        "num_images": one.num_images,
        "output_format": one.output_format,
        "concurrency": one.concurrency,
        **({"batch_size": None, "rate_per_s": None} if source.evidence.experiment.traffic is not None else {}),
    }
