"""Cost against quality: a point a setting, a line a target and acceleration over its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import offset_copy

from kreabench.analysis.estimates import Estimate
from kreabench.report.charts import MAX_LABELLED
from kreabench.report.drawing.room import Room, plots
from kreabench.report.drawing.style import LIGHT, MARKERS, SERIES, Layout, drawable, keys
from kreabench.report.figure_data import Panel, Point, Scatter

LOGARITHMIC_FROM = 20
"""Ratio of the largest to the smallest cost of a panel above which its axis is logarithmic."""

_PANEL_INCH, _LEFT_INCH = 1.95, 0.92
"""Height of a plot, and the room of its y axis, whose label may have two lines."""


def draw_scatter(data: Scatter, layout: Layout, brand: str) -> Canvas:
    """Panels in rows, as many beside each other as `layout` has room for; room for `brand` below."""
    points = [point for row in data.rows for panel in row for point in panel.points]
    colours = keys((point.colour for point in points), SERIES)
    markers = keys((point.marker for point in points), MARKERS)
    most = max(len(row) for row in data.rows)
    columns = math.ceil(most / math.ceil(most / layout.panels))  # four panels are two and two, not three and one
    lines = [row[start : start + columns] for row in data.rows for start in range(0, len(row), columns)]
    handles = _legend(colours, markers, any(point.reference for point in points))
    legend = math.ceil(len(handles) / layout.legend)
    room = Room(heights=[_PANEL_INCH] * len(lines), columns=columns, left=_LEFT_INCH, legend=legend, brand=brand)
    canvas, axes = plots(layout, room)
    for line, panels in zip(axes, lines, strict=True):
        for one, panel in zip(line, panels, strict=False):
            _panel(one, panel, data.x_label, colours, markers)
        for empty in line[len(panels) :]:
            empty.remove()
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
    """Few artists, each of many points: matplotlib takes longer to make one than to draw it."""
    axes.set_title(drawable(panel.title))
    axes.set_xlabel(x_label)
    axes.set_ylabel("\n".join(drawable(text) for text in (panel.y_label, panel.brand) if text))
    crowded = len(panel.points) > MAX_LABELLED
    _lines(axes, panel.points, colours, crowded)
    if not crowded:
        _whiskers(axes, panel.points, colours)
        _steps(axes, panel.points)
    _marks(axes, panel.points, colours, markers, crowded)
    _scale(axes, [point.x.value for point in panel.points])
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _lines(axes: Axes, points: Sequence[Point], colours: Mapping[str, str], crowded: bool) -> None:
    series: dict[str, list[Point]] = {}
    for point in points:
        series.setdefault(point.series, []).append(point)
    paths = [[_at(point) for point in sorted(one, key=lambda point: point.steps or 0)] for one in series.values()]
    hues = [colours[one[0].colour] for one in series.values()]
    alpha, width = (0.3 if crowded else 0.45), rcParams["lines.linewidth"]
    axes.add_collection(LineCollection(paths, colors=hues, alpha=alpha, linewidths=width, zorder=2, rasterized=crowded))


def _whiskers(axes: Axes, points: Sequence[Point], colours: Mapping[str, str]) -> None:
    ends = [((low, y), (high, y)) for point in points for low, high, y in _ends(point.x, point.y.value)]
    hues = [colours[point.colour] for point in points if point.x.interval]
    ends += [((x, low), (x, high)) for point in points for low, high, x in _ends(point.y, point.x.value)]
    hues += [colours[point.colour] for point in points if point.y.interval]
    axes.add_collection(LineCollection(ends, colors=hues, linewidths=0.8, alpha=0.6, zorder=2))


def _ends(estimate: Estimate, across: float) -> list[tuple[float, float, float]]:
    """Of its whisker, and where that stands; empty where there is no interval."""
    return [(*estimate.interval, across)] if estimate.interval else []


def _steps(axes: Axes, points: Sequence[Point]) -> None:
    """The number beside each point."""
    beside = offset_copy(axes.transData, axes.get_figure(root=True), 5, 4, units="points")
    for point in points:
        if point.steps is not None:
            axes.text(*_at(point), str(point.steps), transform=beside, fontsize=7, color=LIGHT.muted, zorder=4)


def _marks(
    axes: Axes, points: Sequence[Point], colours: Mapping[str, str], markers: Mapping[str, str], crowded: bool
) -> None:
    """In a crowd they are pixels inside the drawing."""
    kinds: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        kinds.setdefault((colours[point.colour], markers[point.marker]), []).append(point)
    edged: dict[str, Any] = {"markersize": 4, "rasterized": True}
    if not crowded:
        edged = {"markeredgecolor": LIGHT.background, "markeredgewidth": 0.8}
    for (colour, marker), members in kinds.items():
        axes.plot(*zip(*map(_at, members), strict=True), linestyle="", marker=marker, color=colour, zorder=3, **edged)
    if rings := [_at(point) for point in points if point.reference]:
        axes.plot(
            *zip(*rings, strict=True), linestyle="", marker="o", markerfacecolor="none", markeredgecolor=LIGHT.ink,
            markersize=10, zorder=4,
        )  # fmt: skip


def _at(point: Point) -> tuple[float, float]:
    return point.x.value, point.y.value


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
