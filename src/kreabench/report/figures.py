"""Draws the document's figures with matplotlib, without pyplot's global state.

Colours: Paul Tol's bright and light schemes, distinguishable with the common kinds of colour blindness
(https://personal.sron.nl/~pault/).
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.font_manager import findfont as find_font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from kreabench.analysis.estimates import Estimate
from kreabench.report.document import Bar, Bars, Figure, Panel, Point, Scatter

STYLE = Path(__file__).with_name("kreabench.mplstyle")

SERIES = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB")
STAGES = ("#77AADD", "#EE8866", "#BBCC33", "#EEDD88", "#99DDFF", "#FFAABB", "#44BB99", "#AAAA00")
UNEXPLAINED = "#BBBBBB"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

LOGARITHMIC_FROM = 20
"""Ratio of the largest to the smallest cost above which the axis is logarithmic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """What differs between light and dark."""

    background: str
    ink: str
    muted: str
    grid: str


LIGHT = Theme(background="#ffffff", ink="#1c2127", muted="#59626d", grid="#e4e7eb")
DARK = Theme(background="#15191e", ink="#e8ebee", muted="#a5afba", grid="#2b323a")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How wide a figure may be, in inches at 96 CSS pixels each."""

    width: float
    columns: int
    """Panels beside each other at most."""


WIDE = Layout(width=10.6, columns=3)
NARROW = Layout(width=3.7, columns=1)


def draw(figure: Figure, *, format: Literal["png", "svg"], theme: Theme = LIGHT, layout: Layout = WIDE) -> bytes:
    """`figure` as a file. The same document gives the same bytes with the same matplotlib."""
    with mpl.rc_context():
        mpl.rcdefaults()  # nobody's own matplotlibrc decides what a report looks like
        mpl.rc_file(STYLE, use_default_template=False)
        mpl.rcParams.update(_colours(theme))
        data = figure.data
        canvas = _scatter(data, theme, layout) if isinstance(data, Scatter) else _bars(data, theme, layout)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
        canvas.savefig(buffer, format=format, metadata=metadata)
    return buffer.getvalue()


def drawable(text: str) -> str:
    """`text` with characters that the figures' font lacks as question marks, cut to a label's length."""
    known = _characters()
    shown = "".join(char if ord(char) in known else "?" for char in text)
    return shown if len(shown) <= 48 else f"{shown[:47]}…"


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(find_font(FontProperties(family="DejaVu Sans"))).get_charmap())


def _colours(theme: Theme) -> Any:
    return {
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "text.color": theme.ink,
        "axes.labelcolor": theme.muted,
        "axes.edgecolor": theme.muted,
        "axes.titlecolor": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "grid.color": theme.grid,
    }


def _keys(names: Iterable[str], values: Sequence[str]) -> dict[str, str]:
    """Name → colour or marker, in order of appearance; they repeat when there are more names than values."""
    return {name: values[number % len(values)] for number, name in enumerate(dict.fromkeys(names))}


def _scatter(data: Scatter, theme: Theme, layout: Layout) -> Canvas:
    panels = [panel for row in data.rows for panel in row]
    points = [point for panel in panels for point in panel.points]
    colours = _keys((point.colour for point in points), SERIES)
    markers = _keys((point.marker for point in points), MARKERS)
    columns = max(1, min(layout.columns, max(len(row) for row in data.rows)))
    per_row = [row[start : start + columns] for row in data.rows for start in range(0, len(row), columns)]
    handles = _legend_handles(colours, markers, theme)
    legend_rows = math.ceil(len(handles) / (6 if layout is WIDE else 2))
    canvas = Canvas(figsize=(layout.width, 2.75 * len(per_row) + 0.1 + 0.24 * legend_rows), layout="constrained")
    grid = canvas.add_gridspec(len(per_row), columns)
    for line, row in enumerate(per_row):
        for column, panel in enumerate(row):
            _panel(canvas.add_subplot(grid[line, column]), panel, data.x_label, colours, markers, theme)
    canvas.legend(
        handles=handles,
        loc="outside upper left",
        ncols=6 if layout is WIDE else 2,
        labelcolor=theme.ink,
        handletextpad=0.4,
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    return canvas


def _legend_handles(colours: dict[str, str], markers: dict[str, str], theme: Theme) -> list[Line2D]:
    targets = [
        Line2D([], [], linestyle="", marker=marker, markerfacecolor="none", color=theme.ink, label=drawable(name))
        for name, marker in markers.items()
    ]
    accelerations = [
        Line2D([], [], color=colour, linewidth=3, label=drawable(name)) for name, colour in colours.items()
    ]
    return targets + accelerations


def _panel(
    axes: Axes, panel: Panel, x_label: str, colours: dict[str, str], markers: dict[str, str], theme: Theme
) -> None:
    axes.set_title(drawable(panel.title))
    axes.set_xlabel(x_label)
    axes.set_ylabel(drawable(panel.y_label))
    series: dict[str, list[Point]] = {}
    for point in panel.points:
        series.setdefault(point.series, []).append(point)
    for members in series.values():
        members.sort(key=lambda point: point.steps)
        _draw_series(axes, members, colours[members[0].colour], markers[members[0].marker], theme)
    _scale(axes, [point.x.value for point in panel.points])
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_series(axes: Axes, points: Sequence[Point], colour: str, marker: str, theme: Theme) -> None:
    x, y = [point.x.value for point in points], [point.y.value for point in points]
    whiskers = {"xerr": _whiskers([point.x for point in points]), "yerr": _whiskers([point.y for point in points])}
    axes.errorbar(x, y, **whiskers, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.6, zorder=2)
    edges = {"markeredgecolor": theme.background, "markeredgewidth": 0.8}
    axes.plot(x, y, color=colour, alpha=0.45, zorder=2)
    axes.plot(x, y, linestyle="", marker=marker, color=colour, zorder=3, **edges)
    for point in points:
        at = (point.x.value, point.y.value)
        if point.reference:
            axes.plot(*at, marker=marker, markerfacecolor="none", markeredgecolor=theme.ink, markersize=9, zorder=4)
        label = {"fontsize": 7, "color": theme.muted, "zorder": 4}
        axes.annotate(str(point.steps), at, xytext=(5, 4), textcoords="offset points", **label)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """From zero; logarithmic where costs differ so much that the small ones would fall together."""
    if min(values) > 0 and max(values) / min(values) > LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1e-4 else f"{value:.0e}"))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.xaxis.set_major_locator(MaxNLocator(5))


def _whiskers(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths below and above; NaN, which matplotlib leaves out, where there is no interval."""
    ends = [estimate.interval or (math.nan, math.nan) for estimate in estimates]
    below = [abs(estimate.value - low) for estimate, (low, _) in zip(estimates, ends, strict=True)]
    return [below, [abs(high - estimate.value) for estimate, (_, high) in zip(estimates, ends, strict=True)]]


BAR_INCH = 0.36
"""Height of a bar with its label above."""


def _bars(data: Bars, theme: Theme, layout: Layout) -> Canvas:
    bars = [bar for _, members in data.groups for bar in members]
    stages = [name for bar in bars for name, _ in bar.stages]
    colours = _keys((name for name in stages if name != "unexplained"), STAGES)
    if "unexplained" in stages:
        colours["unexplained"] = UNEXPLAINED
    columns = 1 if layout is NARROW or len(data.groups) == 1 else 2
    lines = [data.groups[start : start + columns] for start in range(0, len(data.groups), columns)]
    heights = [max(len(members) for _, members in line) for line in lines]
    ncols = 8 if layout is WIDE else 3
    legend = 0.24 * math.ceil(len(colours) / ncols)
    canvas = Canvas(
        figsize=(layout.width, sum(BAR_INCH * height + 0.75 for height in heights) + legend + 0.1), layout="constrained"
    )
    grid = canvas.add_gridspec(len(lines), columns, height_ratios=[height + 1.6 for height in heights])
    for number, line in enumerate(lines):
        for column, (title, members) in enumerate(line):
            axes = canvas.add_subplot(grid[number, column])
            axes.set_title(drawable(title))
            _bar_group(axes, members, heights[number], data.x_label, colours, theme)
    handles = [Patch(color=colour, label=drawable(name)) for name, colour in colours.items()]
    canvas.legend(
        handles=handles,
        loc="outside upper left",
        ncols=ncols,
        labelcolor=theme.ink,
        handlelength=1.0,
        handletextpad=0.5,
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    return canvas


def _bar_group(
    axes: Axes, members: Sequence[Bar], lines: int, x_label: str, colours: dict[str, str], theme: Theme
) -> None:
    for position, bar in enumerate(members):
        left = 0.0
        for name, seconds in bar.stages:
            axes.barh(position, seconds, left=left, height=0.42, color=colours[name], linewidth=0)
            left += seconds
        total = bar.total
        axes.errorbar(
            total.value,
            position,
            xerr=_whiskers([total]),
            fmt="|",
            color=theme.ink,
            markersize=11,
            markeredgewidth=1.6,
            elinewidth=1.0,
            zorder=3,
        )
        label = f"{bar.label} (reference)" if bar.reference else bar.label
        axes.annotate(
            drawable(label),
            (0, position),
            xytext=(0, 7.5),
            textcoords="offset points",
            va="bottom",
            fontsize=7.5,
            color=theme.ink,
        )
    axes.set_ylim(lines - 0.5, -0.85)
    axes.set_xlim(left=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_locator(MaxNLocator(6))
