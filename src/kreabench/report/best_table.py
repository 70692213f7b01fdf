"""The settings that a reader of a summary wants to see: the recommended, the reference, and those on a front."""

from __future__ import annotations

from collections.abc import Iterator

from kreabench.analysis.estimates import Estimate
from kreabench.report.explorer.data import QuantityData, ReportData, SettingData
from kreabench.report.format import ABSENT, estimate, scaled, usd
from kreabench.report.parts import Cell, Column, Row, Table

MAX_ROWS = 12
MAX_COSTS, MAX_QUALITIES = 3, 3

_SIGNS = {"lower": "↓\u00a0better", "higher": "↑\u00a0better", "neither": ""}


def best_table(data: ReportData) -> Table | None:
    """At most `MAX_ROWS` settings, the cheapest first, with their main numbers; None where no setting has a number."""
    quantities = _main(data)
    if not quantities:
        return None
    chosen = _chosen(data, quantities[0])
    rows = tuple(
        Row(
            cells=(Cell(text=_name(data, setting)), *(_cell(quantity, setting) for quantity in quantities)),
            mark=", ".join(_marks(data, setting)),
            setting=setting.id,
        )
        for setting in chosen
    )
    return Table(
        columns=(Column(title="Setting"), *map(_column, quantities)),
        rows=rows,
        caption=_caption(data, len(chosen), quantities[0]),
    )


def _main(data: ReportData) -> list[QuantityData]:
    there = {name for setting in data.settings for name in setting.values}
    costs = [one for one in data.quantities if one.kind == "cost" and one.name in there]
    qualities = [
        one for one in data.quantities if one.kind in ("quality", "fidelity") and one.name in there and one not in costs
    ]
    return [*costs[:MAX_COSTS], *qualities[:MAX_QUALITIES]]


def _chosen(data: ReportData, first: QuantityData) -> list[SettingData]:
    """The recommended setting and the references come before those on a front, and these before all others."""
    fronts = {id for front in data.fronts for id in front.on}

    def cost(setting: SettingData) -> float:
        found = setting.values.get(first.name)
        return float("inf") if found is None else found.value

    def rank(setting: SettingData) -> tuple[int, float]:
        leads = setting.id == data.verdict.setting or setting.reference == setting.id
        return (0 if leads else 1 if setting.id in fronts else 2, cost(setting))

    return sorted(sorted(data.settings, key=rank)[:MAX_ROWS], key=cost)


def _marks(data: ReportData, setting: SettingData) -> Iterator[str]:
    if setting.id == data.verdict.setting:
        yield "recommended"
    if setting.reference == setting.id:
        yield "reference"


def _name(data: ReportData, setting: SettingData) -> str:
    return f"{setting.run.upper()}: {setting.short}" if len(data.runs) > 1 else setting.short


def _column(quantity: QuantityData) -> Column:
    unit = " · ".join(part for part in (quantity.unit, _SIGNS[quantity.better]) if part)
    return Column(title=quantity.label, unit=unit, numeric=True, brand=quantity.brand)


def _cell(quantity: QuantityData, setting: SettingData) -> Cell:
    found = setting.values.get(quantity.name)
    if found is None:
        return Cell(text=ABSENT, detail=setting.absent.get(quantity.name, ""), absent=True)
    value = scaled(Estimate(value=found.value, low=found.low, high=found.high, n=found.n), quantity.scale)
    text, interval = estimate(value)
    if quantity.unit == "$" and interval is None:
        text = usd(value.value).removeprefix("$")
    return Cell(text=text, detail=interval or "", remark=found.remark)


def _caption(data: ReportData, shown: int, first: QuantityData) -> str:
    which = "All" if shown == len(data.settings) else f"{shown} of {len(data.settings):,}"
    order = f"sorted by {first.label[:1].lower()}{first.label[1:]}"
    fronts = "; those on a front come before others" if shown < len(data.settings) and data.fronts else ""
    return f"{which} settings, {order}{fronts}. Below the numbers: 95 % intervals."
