"""Fronts: settings in two respects, those that nothing dominates filled and joined by a stair."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kreabench.report.charts import MAX_LABELLED
from kreabench.report.drawing.scatter import whiskers
from kreabench.report.drawing.style import LIGHT, MARKERS, SERIES, Layout, drawable, keys
from kreabench.report.figure_data import FrontPanel, FrontPlot

_PANEL_INCH, _LEGEND_INCH = 3.4, 0.24
_PALEST = 0.25


def draw_front(data: FrontPlot, layout: Layout) -> Canvas:
    """Panels beside each other as far as `layout` has room."""
    points = [point for panel in data.panels for point in panel.points]
    colours = keys((point.colour for point in points), SERIES)
    markers = keys((point.marker for point in points), MARKERS)
    columns = min(layout.panels, len(data.panels))
    lines = math.ceil(len(data.panels) / columns)
    handles = [
        *(_ring(marker, drawable(name), 6) for name, marker in markers.items()),
        *(Line2D([], [], color=colour, linewidth=3, label=drawable(name)) for name, colour in colours.items()),
        _ring("o", "reference", 10),
        *([_ring("*", "the answer", 13)] if data.answer else []),
    ]
    height = _PANEL_INCH * lines + _LEGEND_INCH * math.ceil(len(handles) / layout.legend) + 0.1
    canvas = Canvas(figsize=(layout.width, height), layout="constrained")
    grid = canvas.add_gridspec(lines, columns)
    for number, panel in enumerate(data.panels):
        axes = canvas.add_subplot(grid[number // columns, number % columns])
        _panel(axes, panel, data.answer, colours, markers)
    canvas.legend(handles=handles, loc="outside upper left", ncols=layout.legend)
    return canvas


def _ring(marker: str, label: str, size: float) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker=marker, markersize=size, markerfacecolor="none", color=LIGHT.ink, label=label
    )


def _panel(axes: Axes, panel: FrontPanel, answer: str | None, colours: dict[str, str], markers: dict[str, str]) -> None:
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(drawable(panel.y_label))
    if panel.joined:
        stair = sorted((p.x.value, p.y.value) for p, on in zip(panel.points, panel.front, strict=True) if on)
        if stair:
            axes.step(*zip(*stair, strict=True), where="post", color=LIGHT.muted, linewidth=0.9, zorder=1)
    crowded = len(panel.points) > MAX_LABELLED
    for point, on, share in zip(panel.points, panel.front, panel.shares, strict=True):
        colour, at = colours[point.colour], (point.x.value, point.y.value)
        if not crowded:
            xerr, yerr = whiskers([point.x]), whiskers([point.y])
            axes.errorbar(*at, xerr=xerr, yerr=yerr, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.6, zorder=2)
            note = "" if point.steps is None else str(point.steps)
            text = axes.annotate(note, at, xytext=(5, 4), textcoords="offset points", fontsize=7, zorder=4)
            text.set(color=LIGHT.muted, in_layout=False)  # as in scatter.py
        axes.plot(
            *at,
            linestyle="",
            marker=markers[point.marker],
            color=colour,
            markerfacecolor=(colour, max(share, _PALEST)) if on else LIGHT.background,
            markeredgecolor=colour,
            markeredgewidth=1.0,
            zorder=3,
        )
        if point.reference:
            axes.plot(*at, marker="o", markerfacecolor="none", markeredgecolor=LIGHT.ink, markersize=10, zorder=4)
        if point.label == answer:
            axes.plot(*at, marker="*", markerfacecolor="none", markeredgecolor=LIGHT.ink, markersize=15, zorder=5)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
