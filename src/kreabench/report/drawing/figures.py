"""One figure of a page → its files."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from kreabench.report.drawing.bars import draw_bars
from kreabench.report.drawing.curves import draw_curves
from kreabench.report.drawing.front import draw_front
from kreabench.report.drawing.lines import draw_lines
from kreabench.report.drawing.load import draw_load
from kreabench.report.drawing.scatter import draw_scatter
from kreabench.report.drawing.style import LIGHT, NARROW, WIDE, Layout, style
from kreabench.report.figure_data import Curves, Figure, FrontPlot, Lines, LoadPlot, Scatter

Format = Literal["png", "svg"]
_UNDATED: dict[Format, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """All files of a figure, in the light theme."""

    png: bytes
    wide: bytes
    """SVG."""
    narrow: bytes
    """SVG, laid out for a narrow screen; empty where nobody asked for it."""


def draw_all(figure: Figure, *, narrow: bool = True) -> Drawn:
    """`figure` in every format that a page and its folder need; without `narrow`, not for a phone."""
    png, wide = _files(figure, ("png", "svg"), WIDE)
    return Drawn(png=png, wide=wide, narrow=draw(figure, format="svg", layout=NARROW) if narrow else b"")


def draw(figure: Figure, *, format: Format, layout: Layout = WIDE) -> bytes:
    """`figure` as a file, in the light theme. The same figure gives the same bytes with the same matplotlib."""
    return _files(figure, (format,), layout)[0]


def _files(figure: Figure, formats: tuple[Format, ...], layout: Layout) -> list[bytes]:
    """Laid out once, for the first of `formats`: that takes longer than to write a file."""
    found = []
    with style():
        canvas = _canvas(figure, layout)
        if figure.brand:
            canvas.supxlabel(figure.brand, x=0.01, ha="left", fontsize=7.5, color=LIGHT.muted, wrap=True)
        for format in formats:
            found.append(_write(canvas, format))
            canvas.set_layout_engine("none")
    return found


def _write(canvas: Canvas, format: Format) -> bytes:
    """`canvas` as a file. Its backends are asked themselves: `savefig` draws once more beforehand, for nothing."""
    buffer, metadata = io.BytesIO(), _UNDATED[format]
    canvas.set_dpi(mpl.rcParams["savefig.dpi"])
    with warnings.catch_warnings():
        # Long labels can leave an axis no room: then it is drawn without the layout, which can be read too.
        warnings.filterwarnings("ignore", message="constrained_layout not applied", category=UserWarning)
        backend: Any = FigureCanvasAgg(canvas) if format == "png" else FigureCanvasSVG(canvas)
        (backend.print_png if format == "png" else backend.print_svg)(buffer, metadata=metadata)
    return buffer.getvalue()


def _canvas(figure: Figure, layout: Layout) -> Canvas:
    data = figure.data
    if isinstance(data, FrontPlot):
        return draw_front(data, layout)
    if isinstance(data, Curves):
        return draw_curves(data, layout)
    if isinstance(data, Lines):
        return draw_lines(data, layout)
    if isinstance(data, LoadPlot):
        return draw_load(data, layout)
    if isinstance(data, Scatter):
        return draw_scatter(data, layout, figure.brand)
    return draw_bars(data, layout, figure.brand)
