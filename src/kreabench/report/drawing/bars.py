"""Where the time goes: a stacked bar a setting, in groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kreabench.report.drawing.scatter import whiskers
from kreabench.report.drawing.style import LIGHT, STAGES, UNEXPLAINED, Layout, drawable, keys
from kreabench.report.figure_data import Bar, Bars

_BAR_INCH, _HEAD_INCH, _LEGEND_INCH = 0.36, 0.75, 0.24


def draw_bars(data: Bars, layout: Layout) -> Canvas:
    """One plot a group; those beside each other have room for equally many bars."""
    stages = [name for _, bars in data.groups for bar in bars for name, _ in bar.stages]
    colours = keys((name for name in stages if name != "unexplained"), STAGES)
    if "unexplained" in stages:
        colours["unexplained"] = UNEXPLAINED
    columns = min(2, layout.panels, len(data.groups))
    lines = [data.groups[start : start + columns] for start in range(0, len(data.groups), columns)]
    most = [max(len(bars) for _, bars in line) for line in lines]
    inches = [_BAR_INCH * number + _HEAD_INCH for number in most]
    legend = _LEGEND_INCH * math.ceil(len(colours) / (layout.legend + 1))
    canvas = Canvas(figsize=(layout.width, sum(inches) + legend + 0.1), layout="constrained")
    grid = canvas.add_gridspec(len(lines), columns, height_ratios=inches)
    for number, line in enumerate(lines):
        for column, (title, bars) in enumerate(line):
            axes = canvas.add_subplot(grid[number, column])
            axes.set_title(drawable(title))
            axes.set_xlabel(data.x_label)
            _group(axes, bars, most[number], colours)
    handles = [Patch(color=colour, label=drawable(name)) for name, colour in colours.items()]
    canvas.legend(handles=handles, loc="outside upper left", ncols=layout.legend + 1, handlelength=1.0)
    return canvas


def _group(axes: Axes, bars: Sequence[Bar], lines: int, colours: Mapping[str, str]) -> None:
    for position, bar in enumerate(bars):
        left = 0.0
        for name, seconds in bar.stages:
            axes.barh(position, seconds, left=left, height=0.42, color=colours[name], linewidth=0)
            left += seconds
        label = f"{bar.label} (reference)" if bar.reference else bar.label
        axes.annotate(
            drawable(label), (0, position), xytext=(0, 7.5), textcoords="offset points", va="bottom", fontsize=7.5
        ).set_in_layout(False)  # as in scatter.py
    totals = [bar.total for bar in bars]
    axes.errorbar(
        [total.value for total in totals],
        range(len(totals)),
        xerr=whiskers(totals),
        fmt="|",
        color=LIGHT.ink,
        markersize=11,
        markeredgewidth=1.6,
        elinewidth=1.0,
        zorder=3,
    )
    axes.set_ylim(lines - 0.5, -0.85)
    axes.set_xlim(left=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
