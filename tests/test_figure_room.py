"""Plots stand where nothing of one covers another, or the words below."""

from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from kreabench.report.drawing.room import Room, plots
from kreabench.report.drawing.style import NARROW, WIDE, Layout, style


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("brand", ["", "untrained weights, emulated service: numbers show the tool, not the model"])
def test_nothing_of_a_plot_covers_another_or_the_brand(layout: Layout, brand: str) -> None:
    with style():
        room = Room(heights=[1.95, 1.95], columns=min(2, layout.panels), left=0.92, legend=1, brand=brand)
        canvas, lines = plots(layout, room)
        for axes in (one for line in lines for one in line):
            axes.plot([0, 0.16], [-0.0001234, 0.0001234])
            axes.set(title="256 × 256 px", xlabel="seconds", ylabel="aesthetic\nuntrained weights")
        written = canvas.supxlabel(brand, x=0.01, ha="left", fontsize=7.5, wrap=True) if brand else None
        FigureCanvasAgg(canvas).draw()  # type: ignore[no-untyped-call]
        boxes = [box for line in lines for one in line if (box := one.get_tightbbox()) is not None]
        assert len(boxes) == 2 * room.columns
        boxes += [written.get_window_extent()] if written else []
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
        assert all(box.x0 >= 0 and box.y0 >= 0 and box.y1 <= canvas.bbox.y1 for box in boxes)
