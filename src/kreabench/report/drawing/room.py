"""Where the plots of a figure stand, in inches. matplotlib's own layout measures every text, twice, for as long again
as it takes to draw; here titles, numbers and labels have sizes that are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from kreabench.report.drawing.style import Layout

LEGEND_INCH = 0.24
"""A line of a legend."""

_TITLE, _BELOW, _RIGHT, _EDGE = 0.34, 0.46, 0.22, 0.04
_X_LABEL, _Y_LABEL = 0.25, 0.6
"""From the axis to its label: numbers of eight characters have room between."""
_BRAND_LINE, _BRAND_CHARACTER = 0.15, 0.062


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """Plots in lines, each with a title above and an axis below."""

    heights: Sequence[float]
    """Of the plots of each line, without title and axis."""
    columns: int
    left: float
    """Of each plot: for the numbers and the label of its y axis."""
    legend: int
    """Lines of the legend above."""
    brand: str
    """Below everything; may be empty."""


def plots(layout: Layout, room: Room) -> tuple[Canvas, list[list[Axes]]]:
    """A figure of that width with all its plots, line by line."""
    head = _EDGE + LEGEND_INCH * room.legend + _TITLE
    lines_below = math.ceil(len(room.brand) * _BRAND_CHARACTER / layout.width)
    foot = _BELOW + _BRAND_LINE * lines_below + (_EDGE if lines_below else 0.0)
    gap = _TITLE + _BELOW
    height = head + sum(room.heights) + gap * (len(room.heights) - 1) + foot
    width = layout.width / room.columns - room.left - _RIGHT
    canvas, lines, top = Canvas(figsize=(layout.width, height)), [], height - head
    for tall in room.heights:
        lefts = [column * layout.width / room.columns + room.left for column in range(room.columns)]
        lines.append([_plot(canvas, left, top - tall, width, tall) for left in lefts])
        top -= tall + gap
    return canvas, lines


def _plot(canvas: Canvas, left: float, bottom: float, width: float, height: float) -> Axes:
    whole_width, whole_height = canvas.get_size_inches()
    axes = canvas.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    axes.xaxis.set_label_coords(0.5, -_X_LABEL / height)
    axes.yaxis.set_label_coords(-_Y_LABEL / width, 0.5)
    return axes
