"""Quantities over the runs of a history: a panel a quantity, all over the same runs."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kreabench.report.drawing.scatter import whiskers
from kreabench.report.drawing.style import LIGHT, SERIES, Layout, drawable
from kreabench.report.figure_data import Line, Lines

_PANEL_INCH, _LEGEND_INCH, _LABEL_INCH = 1.5, 0.3, 1.7
_RUN_INCH = 0.16
"""Room that the label of a run needs."""

_BLUE, _RED, _YELLOW = SERIES[0], SERIES[1], SERIES[3]


def draw_lines(data: Lines, layout: Layout) -> Canvas:
    """One panel below the other; the labels of the runs stand under the last."""
    height = _PANEL_INCH * len(data.panels) + _LEGEND_INCH * (2 if layout.legend < 5 else 1) + _LABEL_INCH
    canvas = Canvas(figsize=(layout.width, height), layout="constrained")
    axes = canvas.subplots(len(data.panels), 1, sharex=True, squeeze=False)[:, 0]
    for one, panel in zip(axes, data.panels, strict=True):
        _panel(one, panel)
    runs = len(data.labels)
    every = max(1, math.ceil(runs * _RUN_INCH / layout.width))
    marked = {step for panel in data.panels for step in panel.steps}
    shown = [
        number
        for number in range(runs)
        if number in marked or (number % every == 0 and not (marked & set(range(number - every + 1, number + every))))
    ]
    axes[-1].set_xlim(-0.6, runs - 0.4)
    axes[-1].set_xticks(shown, [drawable(data.labels[number]) for number in shown], rotation=90, fontsize=7)
    canvas.legend(handles=_legend(data), loc="outside upper left", ncols=layout.legend)
    return canvas


def _panel(axes: Axes, panel: Line) -> None:
    axes.set_title(drawable(panel.title), fontsize=9)
    axes.set_ylabel(drawable(panel.y_label), fontsize=7.5)
    there = [number for number, value in enumerate(panel.values) if value is not None]
    values = [value for value in panel.values if value is not None]
    height = dict(zip(there, (value.value for value in values), strict=True))
    joined = [(x, height[x]) for x in there]
    for at in reversed(panel.breaks):
        joined.insert(there.index(at), (at, math.nan))
    axes.plot(*zip(*joined, strict=True), color=_BLUE, alpha=0.5, linewidth=1.0, zorder=2)
    axes.errorbar(
        there, list(height.values()), yerr=whiskers(values), fmt="o", color=_BLUE, markersize=3.5, elinewidth=0.8,
        ecolor=_BLUE, zorder=3,
    )  # fmt: skip
    for at in panel.breaks:
        axes.axvline(at - 0.5, color=LIGHT.muted, linestyle=":", linewidth=1.2, zorder=1)
    for at in panel.steps:
        axes.axvline(at - 0.5, color=_RED, linestyle="--", linewidth=1.2, zorder=1)
    for first, last, mean in panel.levels:
        axes.plot([first - 0.4, last + 0.4], [mean, mean], color=_RED, linewidth=1.4, zorder=2)
    for numbers, marker, colour, size in ((panel.odd, "s", LIGHT.ink, 8), (panel.changed, "D", _YELLOW, 8)):
        axes.plot(
            numbers, [height[number] for number in numbers], linestyle="", marker=marker, markersize=size,
            markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.2, zorder=4,
        )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelbottom=axes.get_subplotspec().is_last_row())  # type: ignore[union-attr]


def _legend(data: Lines) -> list[Line2D]:
    def ring(marker: str, colour: str, label: str) -> Line2D:
        return Line2D(
            [], [], linestyle="", marker=marker, markersize=7, markerfacecolor="none", color=colour, label=label
        )

    handles = [Line2D([], [], color=_BLUE, marker="o", markersize=3.5, label="a run, 95 % interval")]
    if any(panel.steps for panel in data.panels):
        handles.append(Line2D([], [], color=_RED, linestyle="--", label="step, and means between steps"))
    if any(panel.changed for panel in data.panels):
        handles.append(ring("D", _YELLOW, "differs from the run before"))
    if any(panel.odd for panel in data.panels):
        handles.append(ring("s", LIGHT.ink, "odd run"))
    if any(panel.breaks for panel in data.panels):
        handles.append(Line2D([], [], color=LIGHT.muted, linestyle=":", label="not comparable across"))
    return handles
