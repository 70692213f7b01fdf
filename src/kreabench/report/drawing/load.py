"""A service under load: what it carries, and how long it takes, over the load."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kreabench.analysis.estimates import Estimate
from kreabench.report.drawing.scatter import whiskers
from kreabench.report.drawing.style import LIGHT, SERIES, Layout
from kreabench.report.figure_data import LoadPlot, LoadPoint

_HEIGHT_INCH, _LEGEND_INCH = 2.9, 0.5
_BLUE, _RED, _GREEN, _YELLOW = SERIES[:4]

Quantity = Callable[[LoadPoint], Estimate | None]


def draw_load(data: LoadPlot, layout: Layout) -> Canvas:
    """Two plots, side by side where there is room."""
    columns = 2 if layout.panels > 1 else 1
    height = _HEIGHT_INCH * (2 // columns) + _LEGEND_INCH * (1 if columns == 2 else 2)
    canvas = Canvas(figsize=(layout.width, height), layout="constrained")
    carried, taken = canvas.subplots(2 // columns, columns, squeeze=False).flat
    _line(carried, data, lambda point: point.throughput, _BLUE)
    _line(carried, data, lambda point: point.goodput, _GREEN)
    carried.set_ylabel("requests a second carried")
    carried.set_ylim(bottom=0)
    if data.follows:
        most = max(point.load for point in data.points)
        carried.plot([0, most], [0, most], color=LIGHT.muted, linewidth=0.9, linestyle=":", zorder=1)
    grown = [(point.load, point.throughput.value) for point in data.points if point.grows]
    if grown:
        carried.plot(
            *zip(*grown, strict=True), linestyle="", marker="o", markersize=10, markerfacecolor="none",
            markeredgecolor=_RED, markeredgewidth=1.2, zorder=4,
        )  # fmt: skip
    _line(taken, data, lambda point: point.median, _BLUE)
    _line(taken, data, lambda point: point.tail, _YELLOW)
    taken.set_ylabel("seconds a request")
    taken.set_yscale("log")
    taken.yaxis.set_major_locator(LogLocator(numticks=7, subs=(1.0, 2.0, 5.0)))
    taken.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    taken.yaxis.set_minor_locator(NullLocator())
    if data.objective_s is not None:
        taken.axhline(data.objective_s, color=_GREEN, linewidth=1.2, linestyle="--", zorder=1)
    for axes in (carried, taken):
        axes.set_xlabel(data.x_label)
        axes.set_xlim(left=0)
        if data.knee is not None:
            axes.axvline(data.knee.value, color=_RED, linewidth=1.2, linestyle="--", zorder=1)
            if data.knee.interval is not None:
                axes.axvspan(*data.knee.interval, color=_RED, alpha=0.12, linewidth=0, zorder=0)
    canvas.legend(handles=_legend(data, grown=bool(grown)), loc="outside upper left", ncols=layout.legend)
    return canvas


def _line(axes: Axes, data: LoadPlot, quantity: Quantity, colour: str) -> None:
    there = [(point.load, value) for point in data.points if (value := quantity(point)) is not None]
    if there:
        loads, values = [load for load, _ in there], [value for _, value in there]
        axes.errorbar(
            loads, [value.value for value in values], yerr=whiskers(values), fmt="o-", color=colour, markersize=4,
            linewidth=1.4, elinewidth=0.9, capsize=2, zorder=3,
        )  # fmt: skip


def _legend(data: LoadPlot, *, grown: bool) -> list[Line2D]:
    def entry(label: str, colour: str, **look: str) -> Line2D:
        return Line2D([], [], color=colour, label=label, **look)  # type: ignore[arg-type]

    handles = [entry("carried; median", _BLUE, marker="o")]
    if any(point.goodput is not None for point in data.points):
        handles.append(entry("within the objective", _GREEN, marker="o"))
    if any(point.tail is not None for point in data.points):
        handles.append(entry("90th percentile", _YELLOW, marker="o"))
    if data.follows:
        handles.append(entry("all that arrives", LIGHT.muted, linestyle=":"))
    if data.objective_s is not None:
        handles.append(entry("objective", _GREEN, linestyle="--"))
    if data.knee is not None:
        handles.append(entry("knee", _RED, linestyle="--"))
    if grown:
        handles.append(entry("queue grew", _RED, linestyle="", marker="o", fillstyle="none"))
    return handles
