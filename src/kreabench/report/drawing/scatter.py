"""Cost against quality: a point a setting, a line a target and acceleration over its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from kreabench.analysis.estimates import Estimate
from kreabench.report.charts import MAX_LABELLED
from kreabench.report.drawing.style import LIGHT, MARKERS, SERIES, Layout, drawable, keys
from kreabench.report.figure_data import Panel, Point, Scatter

LOGARITHMIC_FROM = 20
"""Ratio of the largest to the smallest cost of a panel above which its axis is logarithmic."""

_PANEL_INCH, _LEGEND_INCH = 2.75, 0.24


def draw_scatter(data: Scatter, layout: Layout) -> Canvas:
    """Panels in rows, as many beside each other as `layout` has room for."""
    points = [point for row in data.rows for panel in row for point in panel.points]
    colours = keys((point.colour for point in points), SERIES)
    markers = keys((point.marker for point in points), MARKERS)
    most = max(len(row) for row in data.rows)
    columns = math.ceil(most / math.ceil(most / layout.panels))  # four panels are two and two, not three and one
    lines = [row[start : start + columns] for row in data.rows for start in range(0, len(row), columns)]
    handles = _legend(colours, markers, any(point.reference for point in points))
    height = _PANEL_INCH * len(lines) + _LEGEND_INCH * math.ceil(len(handles) / layout.legend) + 0.1
    canvas = Canvas(figsize=(layout.width, height), layout="constrained")
    grid = canvas.add_gridspec(len(lines), columns)
    for line, panels in enumerate(lines):
        for column, panel in enumerate(panels):
            _panel(canvas.add_subplot(grid[line, column]), panel, data.x_label, colours, markers)
    canvas.legend(handles=handles, loc="outside upper left", ncols=layout.legend)
    return canvas


def _legend(colours: Mapping[str, str], markers: Mapping[str, str], reference: bool) -> list[Line2D]:
    def ring(marker: str, label: str, size: float) -> Line2D:
        return Line2D(
            [], [], linestyle="", marker=marker, markersize=size, markerfacecolor="none", color=LIGHT.ink, label=label
        )

    handles = [ring(marker, drawable(name), 6) for name, marker in markers.items()]
    handles += [Line2D([], [], color=colour, linewidth=3, label=drawable(name)) for name, colour in colours.items()]
    return [*handles, ring("o", "reference", 10)] if reference else handles


def _panel(axes: Axes, panel: Panel, x_label: str, colours: Mapping[str, str], markers: Mapping[str, str]) -> None:
    axes.set_title(drawable(panel.title))
    axes.set_xlabel(x_label)
    axes.set_ylabel("\n".join(drawable(text) for text in (panel.y_label, panel.brand) if text))
    series: dict[str, list[Point]] = {}
    for point in panel.points:
        series.setdefault(point.series, []).append(point)
    for points in series.values():
        points.sort(key=lambda point: point.steps or 0)
        draw_series = _series if len(panel.points) <= MAX_LABELLED else _crowded_series
        draw_series(axes, points, colours[points[0].colour], markers[points[0].marker])
    _scale(axes, [point.x.value for point in panel.points])
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _series(axes: Axes, points: Sequence[Point], colour: str, marker: str) -> None:
    x, y = [point.x.value for point in points], [point.y.value for point in points]
    xerr, yerr = whiskers([point.x for point in points]), whiskers([point.y for point in points])
    axes.errorbar(x, y, xerr=xerr, yerr=yerr, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.6, zorder=2)
    axes.plot(x, y, color=colour, alpha=0.45, zorder=2)
    edge = LIGHT.background
    axes.plot(x, y, linestyle="", marker=marker, color=colour, markeredgecolor=edge, markeredgewidth=0.8, zorder=3)
    for point in points:
        at = (point.x.value, point.y.value)
        if point.reference:
            axes.plot(*at, marker="o", markerfacecolor="none", markeredgecolor=LIGHT.ink, markersize=10, zorder=4)
        axes.annotate(
            "" if point.steps is None else str(point.steps),
            at,
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7,
            color=LIGHT.muted,
            zorder=4,
        ).set_in_layout(False)  # it stands inside the axes: to measure each takes as long as to draw them all


def _crowded_series(axes: Axes, points: Sequence[Point], colour: str, marker: str) -> None:
    """Lines and points alone, as pixels inside the drawing."""
    x, y = [point.x.value for point in points], [point.y.value for point in points]
    axes.plot(x, y, color=colour, alpha=0.3, zorder=2, rasterized=True)
    axes.plot(x, y, linestyle="", marker=marker, markersize=4, color=colour, zorder=3, rasterized=True)
    for point in points:
        if point.reference:
            at = (point.x.value, point.y.value)
            axes.plot(*at, marker="o", markerfacecolor="none", markeredgecolor=LIGHT.ink, markersize=10, zorder=4)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """From zero; logarithmic where costs differ so much that the small ones would fall together."""
    if min(values) > 0 and max(values) / min(values) > LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10f}".rstrip("0").rstrip(".")))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.xaxis.set_major_locator(MaxNLocator(5))


def whiskers(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths below and above each value; NaN, which matplotlib leaves out, where there is no interval."""
    ends = [estimate.interval or (math.nan, math.nan) for estimate in estimates]
    below = [abs(estimate.value - low) for estimate, (low, _) in zip(estimates, ends, strict=True)]
    above = [abs(high - estimate.value) for estimate, (_, high) in zip(estimates, ends, strict=True)]
    return [below, above]
