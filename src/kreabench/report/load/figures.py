"""What the figures of a load run show: what a service carries, and how long it takes, over the load."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.decisions.load_levels import LoadCurve
from kreabench.report.figure_data import Figure, LoadPlot, LoadPoint
from kreabench.report.text import message

MAX_FIGURES = 12


def load_figures(curves: Sequence[LoadCurve], brand: str = "") -> tuple[Figure, ...]:
    """One a setting, of the first few that have two levels with an answer."""
    drawn = [curve for curve in curves if sum(level.summary.latency is not None for level in curve.levels) > 1]
    return tuple(_figure(curve, f"load-{number}", brand) for number, curve in enumerate(drawn[:MAX_FIGURES], 1))


def _figure(curve: LoadCurve, name: str, brand: str) -> Figure:
    opened, knee = curve.traffic.is_open, curve.saturation.knee
    load = "requests a second that arrive" if opened else "requests in flight"
    points = tuple(
        LoadPoint(
            load=level.load,
            throughput=level.summary.throughput,
            goodput=level.summary.goodput,
            median=level.summary.latency,
            tail=level.summary.percentiles.get(0.9),
            grows=level.summary.grows,
        )
        for level in curve.levels
    )
    shown = "Its knee is marked." if knee is not None else "No level shows a knee."
    growing = " Rings: the queue grew." if any(point.grows for point in points) else ""
    return Figure(
        name=name,
        title=f"Under load: {message(curve.name, 120)}",
        caption=f"Left: requests carried a second, with 95 % intervals. Right: seconds from the intended start, median "
        f"and 90th percentile. {shown}{growing}",
        alt=f"Throughput and latency over {load} at {len(points)} levels; the numbers are in the table of loads.",
        brand=brand,
        data=LoadPlot(x_label=load, points=points, knee=knee, objective_s=curve.traffic.objective_s, follows=opened),
    )
