"""What the figures show: cost against quality, and where the time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.settings import MetricSummary, SettingSummary
from kreabench.metrics.table import row_of
from kreabench.report.figure_data import Bar, Bars, Figure, Panel, Point, Scatter
from kreabench.report.format import count, general, significant
from kreabench.report.settings_table import UNTRAINED

MAX_BARS = 60
"""More settings than this make a bar chart that nobody reads."""

MAX_LABELLED = 150
"""Points in a panel; with more, the scatter leaves out numbers and whiskers, which would only cover each other."""

MAX_PANEL_ROWS = 6
"""Picture sizes in one scatter figure."""

Cost = Callable[[SettingSummary], Estimate | None]
Size = tuple[int, int]


def build_figures(summaries: Sequence[SettingSummary], brand: str) -> tuple[Figure, ...]:
    """Every figure that these numbers can fill, each with `brand` drawn into it; none where there are no timings."""
    figures = (
        _scatter(summaries, "cost-quality", "Time against quality", "median seconds a request", _latency),
        _scatter(summaries, "dollars-quality", "Dollars against quality", "dollars an image", _dollars),
        _bars(summaries),
    )
    return tuple(replace(figure, brand=brand) for figure in figures if figure is not None)


def metric_label(metric: MetricSummary) -> str:
    """Name and unit of a metric, for an axis."""
    row = row_of(metric.spec)
    return f"{metric.name} ({row.unit})" if row and row.unit != "1" else metric.name


def _latency(summary: SettingSummary) -> Estimate | None:
    return summary.latency


def _dollars(summary: SettingSummary) -> Estimate | None:
    usd = summary.cost.usd_per_image
    return None if usd is None else Estimate(value=usd, low=None, high=None, n=summary.cost.priced_images)


def _scatter(summaries: Sequence[SettingSummary], name: str, title: str, x_label: str, cost: Cost) -> Figure | None:
    sizes = list(dict.fromkeys((s.setting.width, s.setting.height) for s in summaries))
    rows = [row for row in (_panels(summaries, size, cost) for size in sizes) if row]
    points = [point for row in rows for panel in row for point in panel.points]
    if len({point.x.value for point in points}) < 2:
        return None
    drawn = {point.label for point in points}
    left_out = len(summaries) - len(drawn)
    caption = "A point is a setting, the number beside it its steps; lines join one target and acceleration."
    if any(point.x.interval or point.y.interval for point in points):
        caption += (
            " Whiskers are 95 % intervals; a point without one has too few samples. Settings share their prompts, so a "
            "difference between two of them can be surer than their whiskers suggest."
        )
    if any(len(panel.points) > MAX_LABELLED for row in rows for panel in row):
        caption += f" Plots of more than {MAX_LABELLED} settings show neither numbers nor whiskers."
    if left_out:
        caption += f" {count(left_out, 'setting')} without both numbers cannot be drawn."
    if len(rows) > MAX_PANEL_ROWS:
        caption += f" The first {MAX_PANEL_ROWS} of {len(rows)} sizes are drawn."
    metrics = ", ".join(dict.fromkeys(panel.y_label for row in rows for panel in row))
    return Figure(
        name=name,
        title=title,
        caption=caption,
        alt=f"Scatter of {x_label} against {metrics} for {count(len(drawn), 'setting')}; "
        "the numbers are in the table of settings.",
        brand="",
        data=Scatter(x_label=x_label, rows=tuple(rows[:MAX_PANEL_ROWS])),
    )


def _panels(summaries: Sequence[SettingSummary], size: Size, cost: Cost) -> tuple[Panel, ...]:
    """One panel a metric that has a value at this size."""
    members = [s for s in summaries if (s.setting.width, s.setting.height) == size]
    panels = []
    for index in range(len(members[0].metrics)):
        metric = members[0].metrics[index]
        points = []
        for summary in members:
            x, y = cost(summary), summary.metrics[index].mean
            if x is not None and y is not None:
                points.append(_point(summary, x, y))
        if points:
            panels.append(
                Panel(
                    title=f"{size[0]} × {size[1]} px",
                    y_label=metric_label(metric),
                    brand=UNTRAINED if any(summary.metrics[index].untrained for summary in members) else "",
                    points=tuple(points),
                )
            )
    return tuple(panels)


def _point(summary: SettingSummary, x: Estimate, y: Estimate) -> Point:
    setting = summary.setting
    others = (setting.target, setting.acceleration, general(setting.guidance), setting.num_images)
    strength = () if setting.strength is None else (f"strength {setting.strength:g}",)
    rate = () if setting.rate_per_s is None else (f"at {setting.rate_per_s:g}/s",)
    batches = () if setting.batch_size == 1 else (f"batches of {setting.batch_size}",)
    return Point(
        series=" ".join(map(str, (*others, setting.output_format, *strength, setting.concurrency, *batches, *rate))),
        colour=setting.acceleration,
        marker=setting.target,
        label=f"{setting.label} {setting.id}",
        steps=setting.steps,
        x=x,
        y=y,
        reference=summary.is_reference,
    )


def _bars(summaries: Sequence[SettingSummary]) -> Figure | None:
    groups: dict[str, list[Bar]] = {}
    timed = [summary for summary in summaries if summary.latency is not None]
    for summary in timed[:MAX_BARS]:
        setting = summary.setting
        bar = _bar(summary, _bar_label(summary, summaries))
        if bar is not None:
            groups.setdefault(f"{setting.target}, {setting.width} × {setting.height} px", []).append(bar)
    if not groups:
        return None
    caption = (
        "Coloured: the mean of each stage; together they are the mean of the whole. "
        "Mark and whisker: the median of the whole with its 95 % interval, where there are enough timings."
    )
    resolution = max((s.stage_resolution_s or 0.0 for s in timed), default=0.0)
    if resolution:
        caption += f" Queue and inference of a hosted request are told apart to within {significant(resolution)} s."
    if len(timed) > MAX_BARS:
        caption += f" The first {MAX_BARS} of {len(timed)} settings are drawn."
    return Figure(
        name="latency",
        title="Where the time goes",
        caption=caption,
        alt="Bars of the mean seconds a request by stage, with the median of the whole, for "
        f"{count(min(len(timed), MAX_BARS), 'setting')}.",
        brand="",
        data=Bars(x_label="seconds a request", groups=tuple((name, tuple(bars)) for name, bars in groups.items())),
    )


def _bar(summary: SettingSummary, label: str) -> Bar | None:
    if summary.latency is None:
        return None
    stages = tuple((stage.name, max(stage.mean_s, 0.0)) for stage in summary.stages)
    return Bar(label=label, stages=stages, total=summary.latency, reference=summary.is_reference)


def _bar_label(summary: SettingSummary, summaries: Sequence[SettingSummary]) -> str:
    """Acceleration and steps, and whatever else differs between settings."""
    setting = summary.setting
    parts = [setting.acceleration]
    if setting.steps is not None:
        parts.append(count(setting.steps, "step"))
    if setting.guidance is not None and len({s.setting.guidance for s in summaries}) > 1:
        parts.append(f"guidance {setting.guidance:g}")
    if setting.strength is not None and len({s.setting.strength for s in summaries}) > 1:
        parts.append(f"strength {setting.strength:g}")
    if len({s.setting.num_images for s in summaries}) > 1:
        parts.append(count(setting.num_images, "image"))
    if len({s.setting.output_format for s in summaries}) > 1:
        parts.append(setting.output_format)
    if len({s.setting.batch_size for s in summaries}) > 1:
        parts.append(f"batches of {setting.batch_size}")
    if len({s.setting.concurrency for s in summaries}) > 1:
        parts.append(f"{setting.concurrency} in flight")
    if setting.rate_per_s is not None:
        parts.append(f"at {setting.rate_per_s:g}/s")
    return ", ".join(parts)
