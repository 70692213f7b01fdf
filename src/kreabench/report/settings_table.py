"""The table of settings: what was asked, how long it took, what it cost, how good it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from kreabench.analysis.estimates import MIN_MEDIAN_TIMINGS
from kreabench.analysis.settings import MetricSummary, PeakMemory, SettingSummary
from kreabench.core.records import DEGENERATE
from kreabench.core.specs import TargetSpec
from kreabench.metrics.table import row_of
from kreabench.report.format import ABSENT, estimate, memory_unit, significant, usd
from kreabench.report.hosted import BASES
from kreabench.report.measurements import DEVICE_COLUMNS, axis_cell, device_cells
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.text import message

UNTRAINED = "untrained weights"

DIRECTIONS = {"higher": "↑\u00a0better", "lower": "↓\u00a0better", "reference": "≈\u00a0reference"}
"""Signs for the better side of a metric, in heads of columns."""


def settings_table(
    summaries: Sequence[SettingSummary], targets: Mapping[str, TargetSpec], beside: Sequence[SettingSummary] = ()
) -> Table:
    """One row a setting, in the order of the plan. `beside`: those of other runs, whose rows share its units."""
    unit, unit_bytes = memory_unit(s.memory.max_bytes for s in (*summaries, *beside) if s.memory)
    kinds: set[str] = {s.memory.kind for s in summaries if s.memory}
    extras = [
        name
        for name in ("strength", "num_images", "output_format", "batch_size", "concurrency", "rate_per_s")
        if len({getattr(s.setting, name) for s in summaries}) > 1
    ]
    gpu = any(s.device is not None and s.device.sm_clock_mhz is not None for s in summaries)
    rows = []
    for summary in summaries:
        cells = [
            *_setting_cells(summary, extras),
            _samples(summary),
            Cell(text=f"{summary.failed:,}"),
            _latency(summary),
            _memory(summary, unit_bytes, len(kinds) > 1, targets[summary.setting.target].hosted),
            *(device_cells(summary) if gpu else ()),
            _dollars(summary, targets[summary.setting.target]),
            *(_metric(metric, summary) for metric in summary.metrics),
        ]
        rows.append(
            Row(
                cells=tuple(cells),
                mark="reference" if summary.is_reference else "",
                setting=summary.setting.id,
            )
        )
    return Table(
        columns=(
            *_setting_columns(extras),
            Column(title="n", note="Requests that delivered, of those planned.", numeric=True),
            Column(title="Failed", note="Requests that failed for good.", numeric=True),
            Column(
                title="Latency",
                unit="median s a request",
                note="End to end, with its exact 95 % interval.",
                numeric=True,
            ),
            Column(title="Peak memory", unit=_memory_head(unit, kinds), note=_memory_note(kinds), numeric=True),
            *(DEVICE_COLUMNS if gpu else ()),
            Column(title="Cost", unit="$ an image", note="Mean over delivered pictures, and its basis.", numeric=True),
            *_metric_columns(summaries),
        ),
        rows=tuple(rows),
        caption="Every setting that was planned, with 95 % intervals below the numbers.",
        notes=_notes(summaries, targets),
    )


def _setting_columns(extras: Sequence[str]) -> tuple[Column, ...]:
    names = {
        "strength": Column(title="Strength", note="Image-to-image runs about that share of its steps.", numeric=True),
        "num_images": Column(title="Images", numeric=True),
        "output_format": Column(title="Format"),
        "batch_size": Column(title="Batch", note="Requests that one call draws, at most.", numeric=True),
        "concurrency": Column(title="In flight", note="Hosted requests under way at once.", numeric=True),
        "rate_per_s": Column(title="Arrivals", unit="1/s", note="Requests sent whatever is in flight.", numeric=True),
    }
    return (
        Column(title="Target"),
        Column(title="Acceleration"),
        Column(title="Steps", numeric=True),
        Column(title="Guidance", numeric=True),
        Column(title="Size", unit="px", numeric=True),
        *(names[name] for name in extras),
    )


def _setting_cells(summary: SettingSummary, extras: Sequence[str]) -> tuple[Cell, ...]:
    setting = summary.setting
    return (
        Cell(text=setting.target),
        Cell(text=setting.acceleration),
        axis_cell(setting.steps),
        axis_cell(setting.guidance),
        Cell(text=f"{setting.width} × {setting.height}", sort=setting.width * setting.height),
        *(_extra(getattr(setting, name)) for name in extras),
    )


def _extra(value: object) -> Cell:
    return Cell(text=ABSENT, absent=True) if value is None else Cell(text=str(value))


def _samples(summary: SettingSummary) -> Cell:
    done = summary.ok + summary.failed
    waiting = 0 if summary.requested is None else summary.requested - done
    return Cell(
        text=f"{summary.ok:,}",
        detail=f"of {summary.requested:,}" if summary.requested not in (None, summary.ok) else "",
        remark=f"{waiting:,} not run yet" if waiting else "",
    )


def _no_sample(summary: SettingSummary) -> str:
    """Why a setting has no delivered sample; empty when it has one."""
    if summary.ok:
        return ""
    return "all failed" if summary.failed else "not run yet"


def _absent(why: str) -> Cell:
    return Cell(text=ABSENT, detail=why, absent=True)


def _latency(summary: SettingSummary) -> Cell:
    if summary.latency is None:
        return _absent(_no_sample(summary) or "no sample fit for timing")
    text, interval = estimate(summary.latency)
    n = summary.latency.n
    flagged = sum(number for _, number in summary.device.flags) if summary.device is not None else 0
    remarks = [f"{n} of {summary.ok} timed"] if interval and n != summary.ok else []
    remarks += [f"{flagged} flagged"] if flagged else []
    return Cell(
        text=text,
        detail=interval or f"n = {n}, no interval",
        remark=", ".join(remarks),
        sort=summary.latency.value,
    )


def _memory_head(unit: str, kinds: set[str]) -> str:
    return f"{unit}, {next(iter(kinds))}" if len(kinds) == 1 else unit


def _memory_note(kinds: set[str]) -> str:
    said = {
        "allocated": "Allocated: the most that torch held on the device.",
        "resident": "Resident: the most memory of the worker process on the host.",
    }
    return " ".join(["Highest over the samples.", *(said[kind] for kind in sorted(kinds))])


def _memory(summary: SettingSummary, unit_bytes: int, mixed: bool, hosted: bool) -> Cell:
    memory: PeakMemory | None = summary.memory
    if memory is None:
        return _absent("hosted" if hosted else _no_sample(summary) or "not measured")
    text = significant(memory.max_bytes / unit_bytes)
    return Cell(text=text, detail=memory.kind if mixed else "", sort=memory.max_bytes)


def _dollars(summary: SettingSummary, target: TargetSpec) -> Cell:
    cost = summary.cost
    if cost.usd_per_image is None:
        unpriced = "no price known" if target.hosted else "no device price"
        return _absent(_no_sample(summary) or unpriced)
    remark = f"of {cost.priced_images} priced images" if cost.priced_images != summary.images else ""
    return Cell(
        text=usd(cost.usd_per_image).removeprefix("$"),
        detail=", ".join(BASES.get(basis, basis) for basis in cost.bases),
        remark=remark,
        sort=cost.usd_per_image,
    )


def _metric_columns(summaries: Sequence[SettingSummary]) -> list[Column]:
    columns = []
    for index, metric in enumerate(summaries[0].metrics if summaries else ()):
        row = row_of(metric.spec)
        untrained = any(summary.metrics[index].untrained for summary in summaries)
        direction = "" if row is None else DIRECTIONS[row.better]
        unit = "" if row is None or row.unit == "1" else row.unit
        columns.append(
            Column(
                title=metric.name,
                unit=" · ".join(part for part in (unit, direction) if part),
                note="" if row is None else f"{row.summary}; known bias: {row.bias}",
                numeric=True,
                brand=UNTRAINED if untrained else "",
            )
        )
    return columns


def _metric(metric: MetricSummary, summary: SettingSummary) -> Cell:
    if metric.mean is None:
        return _no_score(metric, summary)
    text, interval = estimate(metric.mean)
    detail = interval or f"{metric.mean.n} prompt, no interval"
    return Cell(text=text, detail=detail, remark=", ".join(_remarks(metric)), sort=metric.mean.value)


def _no_score(metric: MetricSummary, summary: SettingSummary) -> Cell:
    if metric.infinite:
        return Cell(text="identical", detail="to the reference", remark=", ".join(_remarks(metric, infinite=False)))
    if summary.images == 0:
        return _absent(_no_sample(summary) or "no picture")
    if metric.unscored == summary.images:
        return _absent("not scored yet")
    if metric.failed:
        return _absent(f"{metric.failed} failed")
    return _absent("the reference" if summary.is_reference else "not applicable")


def _remarks(metric: MetricSummary, *, infinite: bool = True) -> list[str]:
    said = (
        (metric.infinite if infinite else 0, "identical"),
        (metric.failed, "failed"),
        (metric.not_applicable, "not applicable"),
        (metric.unscored, "not scored yet"),
        (metric.truncated, "with a cut prompt"),
    )
    return [f"{number} {words}" for number, words in said if number]


def _notes(summaries: Sequence[SettingSummary], targets: Mapping[str, TargetSpec]) -> tuple[str, ...]:
    notes = []
    if any(targets[s.setting.target].hosted for s in summaries):
        notes.append("A hosted service does not tell how much memory it took.")
    if any(s.latency and s.latency.interval is None for s in summaries):
        notes.append(f"No interval of a median below {MIN_MEDIAN_TIMINGS} timings: none of 95 % exists.")
    if any(m.infinite for s in summaries for m in s.metrics):
        notes.append("Pictures identical to their reference have no finite score and are counted beside the mean.")
    degenerate = sum((Counter(s.degenerate) for s in summaries), Counter[str]())
    if degenerate:
        kinds = ", ".join(f"{number:,} {DEGENERATE.get(kind, kind)}" for kind, number in degenerate.most_common())
        notes.append(f"Delivered pictures that are none: {kinds}; quality metrics leave them out.")
    failed = sum(s.cost.usd_failed or 0.0 for s in summaries)
    if failed:
        notes.append(f"Failed samples cost {usd(failed)}, which is not in the dollars an image.")
    notes.extend(_reasons(summaries))
    return tuple(notes)


def _reasons(summaries: Sequence[SettingSummary]) -> list[str]:
    """Why scores are missing, once a metric and reason."""
    notes: dict[str, None] = {}
    for summary in summaries:
        for metric in summary.metrics:
            for reason in metric.reasons[:3]:
                notes[f"Where {metric.name} has no value: {message(reason, 200)}."] = None
    return list(notes)[:8]
