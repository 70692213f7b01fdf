"""Where the time goes: a stacked bar a setting, in groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from kreabench.report.drawing.room import Room, plots
from kreabench.report.drawing.style import LIGHT, STAGES, UNEXPLAINED, Layout, drawable, keys
from kreabench.report.figure_data import Bar, Bars

_BAR_INCH, _LEFT_INCH = 0.36, 0.18
_BOX = 0.42
"""Height of a bar, of the room that it has."""


def draw_bars(data: Bars, layout: Layout, brand: str) -> Canvas:
    """One plot a group; those beside each other have room for equally many bars. There is room for `brand` below."""
    stages = [name for _, bars in data.groups for bar in bars for name, _ in bar.stages]
    colours = keys((name for name in stages if name != "unexplained"), STAGES)
    if "unexplained" in stages:
        colours["unexplained"] = UNEXPLAINED
    columns = min(2, layout.panels, len(data.groups))
    lines = [data.groups[start : start + columns] for start in range(0, len(data.groups), columns)]
    most = [max(len(bars) for _, bars in line) for line in lines]
    heights, legend = [_BAR_INCH * number for number in most], math.ceil(len(colours) / (layout.legend + 1))
    room = Room(heights=heights, columns=columns, left=_LEFT_INCH, legend=legend, brand=brand)
    canvas, axes = plots(layout, room)
    for number, line in enumerate(lines):
        for one, (title, bars) in zip(axes[number], line, strict=False):
            one.set_title(drawable(title))
            one.set_xlabel(data.x_label)
            _group(one, bars, most[number], colours)
        for empty in axes[number][len(line) :]:
            empty.remove()
    handles = [Patch(color=colour, label=drawable(name)) for name, colour in colours.items()]
    canvas.legend(handles=handles, loc="outside upper left", ncols=layout.legend + 1, handlelength=1.0)
    return canvas


def _group(axes: Axes, bars: Sequence[Bar], lines: int, colours: Mapping[str, str]) -> None:
    boxes, hues = [], []
    above = offset_copy(axes.transData, axes.get_figure(root=True), 0, 7.5, units="points")
    for position, bar in enumerate(bars):
        left = 0.0
        for name, seconds in bar.stages:
            boxes.append(_box(left, left + seconds, position))
            hues.append(colours[name])
            left += seconds
        label = f"{bar.label} (reference)" if bar.reference else bar.label
        axes.text(0, position, drawable(label), transform=above, va="bottom", fontsize=7.5)
    axes.add_collection(PolyCollection(boxes, facecolors=hues, linewidths=0))  # one: see scatter.py
    ends = [
        [(bar.total.interval[0], y), (bar.total.interval[1], y)] for y, bar in enumerate(bars) if bar.total.interval
    ]
    axes.add_collection(LineCollection(ends, colors=LIGHT.ink, linewidths=1.0, zorder=3))
    medians = [bar.total.value for bar in bars]
    axes.plot(
        medians, range(len(bars)), linestyle="", marker="|", color=LIGHT.ink, markersize=11, markeredgewidth=1.6,
        zorder=3,
    )  # fmt: skip
    axes.set_ylim(lines - 0.5, -0.85)
    axes.set_xlim(left=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _box(left: float, right: float, y: float) -> list[tuple[float, float]]:
    low, high = y - _BOX / 2, y + _BOX / 2
    return [(left, low), (right, low), (right, high), (left, high)]
