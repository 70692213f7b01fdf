"""Curves over two logarithmic axes, with marks where they cross."""

from __future__ import annotations

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kreabench.report.drawing.style import LIGHT, SERIES, Layout, drawable, keys
from kreabench.report.figure_data import Curves

_HEIGHT_INCH = 3.6


def draw_curves(data: Curves, layout: Layout) -> Canvas:
    """One plot."""
    colours = keys((curve.name for curve in data.curves), SERIES)
    canvas = Canvas(figsize=(layout.width, _HEIGHT_INCH), layout="constrained")
    axes = canvas.add_subplot()
    for curve in data.curves:
        axes.plot(*zip(*curve.points, strict=True), color=colours[curve.name], linewidth=1.6)
    for x, y in data.crossings:
        axes.plot(x, y, marker="o", markerfacecolor=LIGHT.background, markeredgecolor=LIGHT.ink, markersize=7, zorder=4)
        axes.annotate(
            f"{x:,.0f}", (x, y), xytext=(6, 6), textcoords="offset points", fontsize=8, color=LIGHT.ink, zorder=4
        )
    axes.axvline(data.limit, color=LIGHT.muted, linewidth=0.9, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10f}".rstrip("0").rstrip(".")))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel(data.x_label)
    axes.set_ylabel(data.y_label)
    handles = [Line2D([], [], color=colour, linewidth=3, label=drawable(name)) for name, colour in colours.items()]
    handles.append(Line2D([], [], color=LIGHT.muted, linewidth=0.9, linestyle=":", label=data.limit_label))
    canvas.legend(handles=handles, loc="outside upper left", ncols=min(layout.legend, 4))
    return canvas
