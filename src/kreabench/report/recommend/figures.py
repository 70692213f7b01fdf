"""Figures of a recommendation: the front, and dollars an image over images a day."""

from __future__ import annotations

import itertools

import numpy as np

from kreabench.analysis.break_even import day_counts
from kreabench.decisions.recommend_front import FrontPoint
from kreabench.decisions.recommend_hosting import Hosting
from kreabench.report.figure_data import Curve, Curves, Figure, FrontPanel, FrontPlot, Point
from kreabench.report.format import count, general
from kreabench.report.recommend.content import OWNERSHIP, RecommendReport, axis_title, axis_value


def front_figure(report: RecommendReport) -> Figure | None:
    """A panel a pair of axes; None without two settings to draw."""
    front = report.front
    if len(front.points) < 2:
        return None
    panels = []
    for x, y in itertools.combinations(range(len(front.axes)), 2):
        (x_name, x_unit), (y_name, y_unit) = (axis_title(report, front.axes[axis]) for axis in (x, y))
        panels.append(
            FrontPanel(
                x_label=f"{x_name} ({x_unit})" if x_unit else x_name,
                y_label=f"{y_name} ({y_unit})" if y_unit else y_name,
                points=tuple(_point(report, point, x, y) for point in front.points),
                front=tuple(point.on_front for point in front.points),
                shares=tuple(point.probability for point in front.points),
                joined=len(front.axes) == 2,
            )
        )
    answer = report.recommendation.answer
    on = [point for point in front.points if point.on_front]
    caption = (
        "A point is a setting, the number beside it its steps. Filled: no other setting is at least as good in every "
        "axis and better in one; the less often that is so in resamples of the prompts, the paler. Whiskers are 95 % "
        "intervals of medians."
    )
    if len(front.axes) > 2:
        caption += " The front is that over all three axes; a panel shows two of them."
    return Figure(
        name="front",
        title="Front",
        caption=caption,
        alt=f"{count(len(front.points), 'setting')}, of which {len(on)} are on the front; the table has the numbers.",
        brand=report.notice or "",
        data=FrontPlot(panels=tuple(panels), answer=None if answer is None else answer.entrant.setting.id),
    )


def _point(report: RecommendReport, point: FrontPoint, x: int, y: int) -> Point:
    setting, axes = point.entrant.setting, report.front.axes
    others = (setting.target, setting.acceleration, general(setting.guidance), setting.num_images)
    return Point(
        series=" ".join(map(str, others)),
        colour=setting.acceleration,
        marker=setting.target,
        label=setting.id,
        steps=setting.steps,
        x=axis_value(axes[x], point.values[x]),
        y=axis_value(axes[y], point.values[y]),
        reference=point.entrant.is_reference,
    )


def curve_points(hosting: Hosting) -> list[tuple[str, float, float]]:
    """Name of the curve, images a day, dollars an image."""
    days = day_counts(hosting.gpu.capacity)
    rows = []
    for result in hosting.results:
        usd = hosting.gpu.usd_per_image(result.ownership, days)
        rows += [
            (OWNERSHIP[result.ownership], float(n), float(d)) for n, d in zip(days, usd, strict=True) if np.isfinite(d)
        ]
    rows += [("hosted", float(n), hosting.api_usd_per_image) for n in days]
    return rows


def hosting_figure(report: RecommendReport) -> Figure | None:
    """Dollars an image over images a day; None where there is no comparison."""
    hosting = report.hosting
    if isinstance(hosting, str) or hosting.gpu.capacity < 1:
        return None
    points = curve_points(hosting)
    names = list(dict.fromkeys(name for name, _, _ in points))
    crossings = tuple(
        (result.images_per_day.value, hosting.api_usd_per_image)
        for result in hosting.results
        if result.images_per_day is not None and result.images_per_day.value >= 1
    )
    return Figure(
        name="local-or-hosted",
        title="Local or hosted",
        caption="Dollars an image over images a day, both logarithmic, up to what one device can draw. Marks: where "
        "the own GPU begins to cost less.",
        alt="Curves of dollars an image over images a day; the sentences and the table have the numbers.",
        brand=" ".join(filter(None, (report.notice, *hosting.warnings))),
        data=Curves(
            x_label="images a day",
            y_label="dollars an image",
            curves=tuple(
                Curve(name=name, points=tuple((x, y) for other, x, y in points if other == name)) for name in names
            ),
            crossings=crossings,
            limit=hosting.gpu.capacity,
            limit_label="capacity of one device",
        ),
    )
