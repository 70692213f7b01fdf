"""One figure of the document → one file."""

from __future__ import annotations

import io
import warnings
from typing import Any, Literal

from matplotlib.figure import Figure as Canvas

from kreabench.report.document import Curves, Figure, FrontPlot, Lines, Scatter
from kreabench.report.drawing.bars import draw_bars
from kreabench.report.drawing.curves import draw_curves
from kreabench.report.drawing.front import draw_front
from kreabench.report.drawing.lines import draw_lines
from kreabench.report.drawing.scatter import draw_scatter
from kreabench.report.drawing.style import LIGHT, WIDE, Layout, style


def draw(figure: Figure, *, format: Literal["png", "svg"], layout: Layout = WIDE) -> bytes:
    """`figure` as a file, in the light theme. The same figure gives the same bytes with the same matplotlib."""
    undated: dict[str, Any] = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with style():
        canvas = _canvas(figure, layout)
        if figure.brand:
            canvas.supxlabel(figure.brand, x=0.01, ha="left", fontsize=7.5, color=LIGHT.muted, wrap=True)
        with warnings.catch_warnings():
            # Long labels can leave an axis no room: then the figure is drawn without the layout, which can be read too.
            warnings.filterwarnings("ignore", message="constrained_layout not applied", category=UserWarning)
            canvas.savefig(buffer, format=format, metadata=undated)
    return buffer.getvalue()


def _canvas(figure: Figure, layout: Layout) -> Canvas:
    data = figure.data
    if isinstance(data, FrontPlot):
        return draw_front(data, layout)
    if isinstance(data, Curves):
        return draw_curves(data, layout)
    if isinstance(data, Lines):
        return draw_lines(data, layout)
    return draw_scatter(data, layout) if isinstance(data, Scatter) else draw_bars(data, layout)
