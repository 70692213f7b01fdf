"""Knees: from how many steps on more of them buy little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kreabench.analysis.knees import MIN_POINTS, sure_knee
from kreabench.report.explorer.data import AxisValue, KneeData, QuantityData
from kreabench.report.explorer.quantities import values_of
from kreabench.report.explorer.resamples import Resamples
from kreabench.report.explorer.sources import Source, axes_of_setting
from kreabench.report.format import count

DRAWS = 200
"""Resamples of the prompts: a share of one half is then known to ± 0.07."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    """A setting on a line."""

    column: int
    """Its place among all settings of the report."""
    setting: str
    steps: int
    values: dict[str, float]


def knees_of(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[KneeData, ...]:
    """One for each metric with a better side and each line of settings that differ in steps alone.

    None for a line of fewer than four points, or where no knee is sure.
    """
    metrics = [one for one in quantities if one.kind != "cost" and one.better != "neither"]
    lines = _lines(sources)
    if not metrics or not lines:
        return ()
    resamples = Resamples(sources, DRAWS)
    if resamples.prompts < 2:
        return ()
    return tuple(knee for metric in metrics for knee in _knees(metric, lines, resamples))


def _lines(sources: Sequence[Source]) -> list[tuple[dict[str, AxisValue], list[_Point]]]:
    """What the settings of each line share, and its settings by their steps."""
    found: dict[tuple[AxisValue, ...], tuple[dict[str, AxisValue], list[_Point]]] = {}
    column = 0
    for source in sources:
        for summary in source.evidence.summaries:
            axes = axes_of_setting(source, summary.setting)
            axes.pop("steps")
            if summary.setting.steps is not None:
                values = {name: one.value for name, one in values_of(summary).items()}
                point = _Point(
                    column=column,
                    setting=source.setting_id(summary.setting.id),
                    steps=summary.setting.steps,
                    values=values,
                )
                found.setdefault(tuple(axes.values()), (axes, []))[1].append(point)
            column += 1
    return [(axes, sorted(line, key=lambda one: one.steps)) for axes, line in found.values() if len(line) >= MIN_POINTS]


def _knees(
    metric: QuantityData, lines: Sequence[tuple[dict[str, AxisValue], list[_Point]]], resamples: Resamples
) -> Iterator[KneeData]:
    sign = 1.0 if metric.better == "higher" else -1.0
    drawn = resamples.of(metric.name) * sign
    for axes, line in lines:
        points = [point for point in line if metric.name in point.values]
        if len(points) < MIN_POINTS:
            continue
        steps = np.array([point.steps for point in points], dtype=float)
        level = np.array([point.values[metric.name] for point in points]) * sign
        knee = sure_knee(steps, level, drawn[:, [point.column for point in points]])
        if knee is None:
            continue
        here, last = points[knee.index], points[-1].steps
        note = (
            f"Kneedle finds the knee here in {knee.share:.0%} of {len(drawn)} resamples of "
            f"{count(resamples.prompts, 'prompt')}; {knee.gain_share:.0%} of the gain from {points[0].steps} to {last} "
            "steps is made by then."
        ).replace("%", " %")
        yield KneeData(quantity=metric.name, axes=axes, setting=here.setting, steps=here.steps, note=note)
