"""What was measured of settings: its names, directions and values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.settings import MetricSummary, SettingSummary
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import row_of
from kreabench.report.explorer.data import Better, QuantityData, QuantityKind, ValueData
from kreabench.report.explorer.sources import Source
from kreabench.report.format import memory_unit, shown_unit
from kreabench.report.text import message

IDENTICAL = "identical to the reference"
UNTRAINED = "untrained weights"
_BETTER: dict[str, Better] = {"higher": "higher", "lower": "lower", "reference": "neither"}


def quantities_of(sources: Sequence[Source]) -> tuple[QuantityData, ...]:
    """Costs that anything was measured of, then metrics in the order of the runs."""
    summaries = [summary for source in sources for summary in source.evidence.summaries]
    unit, scale = memory_unit(s.memory.max_bytes for s in summaries if s.memory)
    costs = (
        _cost("latency_s", "Latency", "s", 1.0, "median seconds of a request, end to end"),
        _cost(
            "usd_per_image",
            "Dollars an image",
            "$",
            1.0,
            "mean over delivered pictures; what failed requests cost is not in it",
        ),
        _cost("peak_memory_bytes", "Peak memory", unit, scale, "highest of all delivered requests"),
        _cost("energy_per_image_j", "Energy an image", "J", 1.0, "median joules a picture, of the whole device"),
    )
    measured = {name for summary in summaries for name in costs_of(summary)}
    specs = {spec.name: spec for source in sources for spec in source.evidence.metrics}
    untrained = {m.name for summary in summaries for m in summary.metrics if m.untrained}
    return (
        *(cost for cost in costs if cost.name in measured),
        *(_metric(spec, UNTRAINED if name in untrained else "") for name, spec in specs.items()),
    )


def _cost(name: str, label: str, unit: str, scale: float, note: str) -> QuantityData:
    return QuantityData(
        name=name, label=label, unit=unit, scale=scale, kind="cost", better="lower", note=note, brand=""
    )


def _metric(spec: MetricSpec, brand: str) -> QuantityData:
    row = row_of(spec)
    kind: QuantityKind = "quality"
    if row is not None and row.better == "reference":
        kind = "look"
    elif row is not None and row.needs_reference:
        kind = "fidelity"
    return QuantityData(
        name=spec.name,
        label=spec.name,
        unit=shown_unit(row.unit) if row else "",
        scale=1.0,
        kind=kind,
        better=_BETTER[row.better] if row else "higher",
        note=row.summary if row else "",
        brand=brand,
    )


def costs_of(summary: SettingSummary) -> dict[str, ValueData]:
    """Cost → value, of those that were measured."""
    found = {}
    if summary.latency is not None:
        found["latency_s"] = value_of(summary.latency)
    if summary.cost.usd_per_image is not None:
        found["usd_per_image"] = ValueData(
            value=summary.cost.usd_per_image,
            low=None,
            high=None,
            n=summary.cost.priced_images,
            remark=", ".join(summary.cost.bases),
        )
    if summary.memory is not None:
        memory = summary.memory
        found["peak_memory_bytes"] = ValueData(
            value=float(memory.max_bytes), low=None, high=None, n=memory.n, remark=memory.kind
        )
    if summary.device is not None and summary.device.energy_j is not None:
        found["energy_per_image_j"] = value_of(summary.device.energy_j)
    return found


def values_of(summary: SettingSummary) -> dict[str, ValueData]:
    """Costs and metrics of a setting that have a value."""
    scored = {m.name: value_of(m.mean, _remark(m)) for m in summary.metrics if m.mean is not None}
    return {name: value for name, value in (costs_of(summary) | scored).items() if math.isfinite(value.value)}


def absent_of(summary: SettingSummary, names: Iterable[str]) -> dict[str, str]:
    """Quantity of `names` without a value → why."""
    there = values_of(summary)
    metrics = {metric.name: metric for metric in summary.metrics}
    return {name: _why(summary, metrics.get(name)) for name in names if name not in there}


def _why(summary: SettingSummary, metric: MetricSummary | None) -> str:
    if not summary.ok:
        return "all failed" if summary.failed else "not run yet"
    if metric is None:
        return "not measured"
    if metric.infinite:
        missing = _missing(metric)
        return IDENTICAL + (f" where it has a score; {missing:,} have none" if missing else "")
    if metric.mean is not None:
        return "not a finite number"
    return message(metric.reasons[0], 200) if metric.reasons else "not scored"


def value_of(estimate: Estimate, remark: str = "") -> ValueData:
    """An estimate as data; an end of its interval that is no finite number is absent."""
    low, high = (end if end is not None and math.isfinite(end) else None for end in (estimate.low, estimate.high))
    return ValueData(value=estimate.value, low=low, high=high, n=estimate.n, remark=remark)


def is_identical(summary: SettingSummary, metric: str) -> bool:
    """Whether all pictures are the reference's, so that the metric is the best possible and has no finite value."""
    return any(
        one.name == metric and one.mean is None and one.infinite > 0 and not _missing(one) for one in summary.metrics
    )


def _missing(metric: MetricSummary) -> int:
    return metric.not_applicable + metric.failed + metric.unscored


def _remark(metric: MetricSummary) -> str:
    parts = [f"{metric.infinite:,} identical to the reference, not in the mean"] if metric.infinite else []
    missing = _missing(metric)
    parts += [f"{missing:,} without a score"] if missing else []
    parts += [f"{metric.truncated:,} prompts cut"] if metric.truncated else []
    return ", ".join(parts)
