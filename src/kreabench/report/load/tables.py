"""The table of a load run, and the same numbers for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kreabench.analysis.estimates import Estimate, least_n
from kreabench.analysis.traffic import PERCENTILES
from kreabench.decisions.load_levels import LoadCurve, LoadLevel
from kreabench.report.csv_text import csv_text, estimate_cells
from kreabench.report.format import ABSENT, difference, estimate, scaled, significant
from kreabench.report.load.words import load_name, load_sentences
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.text import message

_PROMISES = {"kept": "kept", "broken": "not kept", "undecided": "undecided"}


def load_table(curves: Sequence[LoadCurve]) -> Table | None:
    """A row a level; None where nothing was put under load."""
    if not curves:
        return None
    several, promised = len(curves) > 1, any(curve.traffic.objective_s is not None for curve in curves)
    local = any(level.service is not None for curve in curves for level in curve.levels)
    rows = tuple(
        Row(
            cells=tuple(_cells(curve, number, several, promised, local)),
            setting=level.setting.id,
        )
        for curve in curves
        for number, level in enumerate(curve.levels)
    )
    return Table(
        columns=(
            *((Column(title="Setting"),) if several else ()),
            Column(title="Load"),
            Column(title="Sent", note="Requests, of those planned.", numeric=True),
            Column(title="Carried", unit="1/s", note="Delivered within the time of the arrivals.", numeric=True),
            Column(title="Good", unit="1/s", note="The same, of those within the objective.", numeric=True),
            *((Column(title="Good share", unit="%", note="Of all sent.", numeric=True),) if promised else ()),
            Column(title="Errors", unit="%", note="Failed or unanswered, of all sent.", numeric=True),
            Column(title="Median", unit="s", note="From the intended start to the last byte.", numeric=True),
            *(Column(title=f"p{round(100 * p)}", unit="s", numeric=True) for p in PERCENTILES),
            Column(title="Queue", unit="1/s", note="By how much it grew in the second half.", numeric=True),
            Column(title="At once", note="Requests sent and unanswered, at most.", numeric=True),
            *(_SERVICE if local else ()),
            Column(title="Same files", note="As under the lightest load, of the same prompt and seed.", numeric=True),
            *((Column(title="Objective"),) if promised else ()),
        ),
        rows=rows,
        caption="Requests are timed from the instant they were meant to start. Below the numbers: 95 % intervals, "
        "reckoned with as many as are independent.",
        notes=tuple(load_sentences(curves)),
    )


_SERVICE = (
    Column(title="Batch", note="Requests a call of the pipeline, the mean.", numeric=True),
    Column(title="Waited", unit="s", note="For a worker, the median.", numeric=True),
    Column(title="Service", unit="s", note="That a worker was busy with its call, the median.", numeric=True),
)


def _service(level: LoadLevel) -> list[Cell]:
    if level.service is None:
        return [Cell(text=ABSENT, detail="of local targets alone", absent=True) for _ in _SERVICE]
    numbers = (level.service.batch, level.service.queue_s, level.service.service_s)
    return [Cell(text=significant(number), sort=number) for number in numbers]


def _cells(curve: LoadCurve, number: int, several: bool, promised: bool, local: bool) -> list[Cell]:
    level = curve.levels[number]
    one, objective_s = level.summary, curve.traffic.objective_s
    return [
        *([Cell(text=message(curve.name, 200))] if several else []),
        Cell(text=load_name(level), sort=level.load),
        Cell(text=f"{one.sent:,}", detail=f"of {level.planned:,}" if one.sent < level.planned else ""),
        _cell(one.throughput),
        _cell(one.goodput, "no load.objective_s"),
        *([_cell(None if one.good is None or objective_s is None else scaled(one.good, 0.01))] if promised else []),
        _cell(None if one.error_share is None else scaled(one.error_share, 0.01)),
        _cell(one.latency, "none was delivered"),
        *(_cell(one.percentiles.get(p), f"fewer than {least_n(p)} delivered") for p in PERCENTILES),
        _growth(level),
        Cell(text=f"{one.most_in_system:,}"),
        *(_service(level) if local else []),
        Cell(text=f"{level.same:,} of {level.pairs:,}") if level.pairs else Cell(text=ABSENT, absent=True),
        *([Cell(text=_PROMISES[curve.saturation.promises[number]])] if promised else []),
    ]


def _cell(value: Estimate | None, why: str = "nothing was sent") -> Cell:
    if value is None:
        return Cell(text=ABSENT, detail=why, absent=True)
    text, interval = estimate(value)
    return Cell(text=text, detail=interval or "", sort=value.value)


def _growth(level: LoadLevel) -> Cell:
    growth = level.summary.growth
    if growth is None:
        why = "load.duration_s is too short" if level.summary.too_short else "a closed loop has none"
        return Cell(text=ABSENT, detail=why, absent=True)
    text, interval = difference(growth)
    grows = level.summary.grows
    return Cell(text=f"{text} grows" if grows else text, detail=interval or "", strong=grows, sort=growth.value)


def load_csv(curves: Sequence[LoadCurve], brand: str = "") -> str:
    """One row a level, unrounded; absent values are empty."""
    rows = (_csv_row(curve, number) for curve in curves for number in range(len(curve.levels)))
    return csv_text(rows, ("setting_id",), brand)


def _csv_row(curve: LoadCurve, number: int) -> dict[str, Any]:
    level = curve.levels[number]
    one = level.summary
    return {
        "setting_id": level.setting.id,
        "setting": level.setting.label,
        "arrivals": curve.traffic.arrivals,
        "load": level.load,
        "window_s": one.window_s,
        "planned": level.planned,
        "sent": one.sent,
        "ok": one.ok,
        "failed": one.failed,
        "unanswered": one.unanswered,
        "cut_short": level.cut_short,
        "objective_s": curve.traffic.objective_s,
        "objective": curve.saturation.promises[number],
        **estimate_cells("throughput_per_s", one.throughput),
        **estimate_cells("goodput_per_s", one.goodput),
        **estimate_cells("good_share", None if curve.traffic.objective_s is None else one.good),
        **estimate_cells("error_share", one.error_share),
        **estimate_cells("latency_s", one.latency),
        **{
            name: value
            for p in PERCENTILES
            for name, value in estimate_cells(f"p{round(100 * p)}_s", one.percentiles.get(p)).items()
        },
        "independent": one.independent,
        **estimate_cells("growth_per_s", one.growth),
        "grows": one.grows,
        "overloaded": one.overloaded,
        "batch_size": level.setting.batch_size,
        "replicas": level.setting.replicas,
        "mean_batch": None if level.service is None else level.service.batch,
        "median_waited_s": None if level.service is None else level.service.queue_s,
        "median_service_s": None if level.service is None else level.service.service_s,
        "most_in_system": one.most_in_system,
        "left_in_system": one.left_in_system,
        "lag_s": one.lag_s,
        "pairs": level.pairs,
        "same_files": level.same,
        **estimate_cells("knee", curve.saturation.knee),
    }
