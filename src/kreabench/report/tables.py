"""samples.csv, settings.csv, shifts.csv and categories.csv: the numbers for spreadsheets and scripts, unrounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kreabench.analysis.categories import CategorySummary
from kreabench.analysis.device import DeviceSummary
from kreabench.analysis.settings import PERCENTILES, MetricSummary, SettingSummary
from kreabench.analysis.shifts import Shift
from kreabench.core.planned import Setting
from kreabench.core.redaction import redact
from kreabench.report.csv_text import csv_text, estimate_cells, guard

_TOLD = frozenset({"error_type", "error_stage", "error_message", "error_remedy", "flags", "throttle_reasons"})
"""Columns in the words of programs; besides reasons and notes of scores."""


def samples_csv(table: pd.DataFrame, brand: str = "") -> str:
    """The table of samples, one row a picture; absent values are empty. Text is guarded, errors are redacted.

    A `brand` is repeated in every row: rows are copied out of a file without their report.
    """
    names = [*map(str, table.columns), *(["notice"] if brand else [])]
    columns = [_cells(table[column]) for column in table.columns]
    columns += [[guard(brand)] * len(table)] if brand else []
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _cells(column: pd.Series) -> list[Any]:
    """One cell a row, None for what is absent. Equal texts, of which there are many, are looked at once."""
    if pd.api.types.is_float_dtype(column):
        return [None if value != value else value for value in column.to_numpy(dtype=float, na_value=np.nan).tolist()]
    codes, values = pd.factorize(column)
    outside = is_from_outside(str(column.name))
    shown = [_shown(value, outside=outside) for value in values.tolist()]
    shown.append(None)  # where the code is -1
    return [shown[code] for code in codes.tolist()]


def is_from_outside(column: str) -> bool:
    """Whether a column of samples holds the words of programs, which may name paths or hold keys."""
    return column in _TOLD or column.endswith(("_reason", "_notes"))


def _shown(value: Any, *, outside: bool) -> Any:
    if not isinstance(value, str):
        return value
    return guard(redact(value) if outside else value)


def settings_csv(summaries: Sequence[SettingSummary], brand: str = "") -> str:
    """One row a setting; absent values are empty. `brand` as in `samples_csv`."""
    return csv_text(settings_rows(summaries), ("setting_id",), brand)


def settings_rows(summaries: Sequence[SettingSummary]) -> list[dict[str, Any]]:
    """Column → value, of each setting; one that has nothing to say in a column lacks it."""
    return [_settings_row(summary) for summary in summaries]


def shifts_csv(shifts: Sequence[Shift], brand: str = "") -> str:
    """One row a setting and metric. `brand` as in `samples_csv`."""
    return csv_text(
        [
            {
                "setting_id": shift.setting.id,
                **axes_of(shift.setting),
                "reference_id": shift.setting.reference_id,
                "metric": shift.spec.name,
                "kind": shift.spec.kind,
                "untrained": shift.untrained,
                **estimate_cells("shift", shift.mean),
                "pairs": shift.pairs,
                "left_out": shift.left_out,
            }
            for shift in shifts
        ],
        ("setting_id",),
        brand,
    )


def categories_csv(categories: Sequence[CategorySummary], brand: str = "") -> str:
    """One row a category, setting and metric. `brand` as in `samples_csv`."""
    return csv_text(
        [
            {
                "category": summary.category,
                "setting_id": summary.setting.id,
                **axes_of(summary.setting),
                "prompts": summary.prompts,
                "images": summary.images,
                "metric": mean.spec.name,
                "kind": mean.spec.kind,
                "untrained": mean.untrained,
                **estimate_cells("mean", mean.mean),
                "scored": mean.scored,
            }
            for summary in categories
            for mean in summary.means
        ],
        ("setting_id",),
        brand,
    )


def _settings_row(summary: SettingSummary) -> dict[str, Any]:
    setting, memory, cost = summary.setting, summary.memory, summary.cost
    row: dict[str, Any] = {
        "setting_id": setting.id,
        **axes_of(setting),
        "is_reference": summary.is_reference,
        "reference_id": setting.reference_id,
        "requested": summary.requested,
        "ok": summary.ok,
        "failed": summary.failed,
        "images": summary.images,
        "degenerate": sum(summary.degenerate.values()),
        "degenerate_kinds": "; ".join(f"{kind} ({number})" for kind, number in summary.degenerate.items()) or None,
        **estimate_cells("latency_median_s", summary.latency),
    }
    for p in PERCENTILES:
        row |= estimate_cells(f"latency_p{p * 100:g}_s", summary.percentiles.get(p))
    row |= {f"stage_{stage.name}_mean_s": stage.mean_s for stage in summary.stages}
    row |= {
        "peak_memory_kind": memory.kind if memory else None,
        "peak_memory_max_bytes": memory.max_bytes if memory else None,
        "peak_memory_median_bytes": memory.median_bytes if memory else None,
        "usd_per_image": cost.usd_per_image,
        "usd_total": cost.usd,
        "usd_failed": cost.usd_failed,
        "usd_basis": " ".join(cost.bases) or None,
    }
    row |= _device(summary.device)
    for metric in summary.metrics:
        row |= _metric(metric)
    return row


def axes_of(setting: Setting) -> dict[str, Any]:
    """What a setting is, by name of the axis."""
    return {
        "target": setting.target,
        "task": setting.task,
        "acceleration": setting.acceleration,
        "steps": setting.steps,
        "guidance": setting.guidance,
        "strength": setting.strength,
        "width": setting.width,
        "height": setting.height,
        "num_images": setting.num_images,
        "output_format": setting.output_format,
        "concurrency": setting.concurrency,
        "batch_size": setting.batch_size,
        "replicas": setting.replicas,
        "rate_per_s": setting.rate_per_s,
    }


def _device(device: DeviceSummary | None) -> dict[str, Any]:
    """Empty where nothing was measured, so that runs without a device have no such columns."""
    if device is None:
        return {}
    return {
        "reference_tflop": device.reference_tflop,
        "done_share": device.done_share,
        "floor_s": device.floor_s,
        **estimate_cells("share_of_floor", device.share_of_floor),
        **estimate_cells("energy_per_image_j", device.energy_j),
        "sm_clock_mhz": device.sm_clock_mhz,
        "sm_clock_min_mhz": device.sm_clock_min_mhz,
        "temperature_max_c": device.temperature_c,
        "throttle_reasons": "; ".join(f"{reason} ({number})" for reason, number in device.throttle_reasons) or None,
        "peak_reserved_bytes": device.reserved_bytes,
        "driver_process_bytes": device.driver_process_bytes,
        "driver_device_bytes": device.driver_device_bytes,
        "flags": "; ".join(f"{text} ({number})" for text, number in device.flags) or None,
    }


def _metric(metric: MetricSummary) -> dict[str, Any]:
    name = f"score_{metric.name}"
    counts = {
        f"{name}_scored": metric.scored,
        f"{name}_infinite": metric.infinite,
        f"{name}_not_applicable": metric.not_applicable,
        f"{name}_failed": metric.failed,
        f"{name}_unscored": metric.unscored,
        f"{name}_truncated": metric.truncated,
        f"{name}_untrained": metric.untrained,
    }
    return estimate_cells(f"{name}_mean", metric.mean) | counts
