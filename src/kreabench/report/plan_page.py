"""A plan as a page: what it takes, its settings, and what it skips."""

from __future__ import annotations

from kreabench.analysis.notices import notice
from kreabench.core.planned import Plan
from kreabench.core.specs import ExperimentSpec
from kreabench.estimate import PlanEstimate
from kreabench.report.details import skipped_table
from kreabench.report.format import ABSENT, count, duration, usd
from kreabench.report.labels import differing_axes, reference_mark, setting_cell
from kreabench.report.page import Page, Section
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import message, visible
from kreabench.report.trained import not_trained_for


def plan_page(experiment: ExperimentSpec, plan: Plan, estimate: PlanEstimate) -> Page:
    """The whole page; nothing of it was run."""
    warnings = (*filter(None, [notice(experiment.targets)]), *not_trained_for(experiment.targets, plan.settings))
    skipped = skipped_table(plan)
    return Page(
        kind="plan",
        title=f"Plan of {visible(experiment.name)}",
        subtitle=message(experiment.description),
        answer=(_extent(plan, estimate),),
        notices=tuple(Notice(level="warning", text=text) for text in warnings),
        sections=(
            Section(id="loads", title="Model loads", tables=(("", _loads_table(estimate)),)),
            Section(id="settings", title="Settings", tables=(("", _settings_table(plan)),)),
            *(() if skipped is None else (Section(id="skipped", title="Skipped", tables=(("", skipped),)),)),
        ),
        files=(),
    )


def _extent(plan: Plan, estimate: PlanEstimate) -> str:
    images = sum(group.images for group in estimate.groups)
    hours = "unknown time" if estimate.hours is None else f"about {duration(estimate.hours * 3600)}"
    dollars = f", {usd(estimate.usd)} by the price list" if estimate.usd else ""
    settings, loads = count(len(plan.settings), "setting"), count(len(plan.groups), "model load")
    return f"{settings}, {count(images, 'image')}, {loads}{dollars}, {hours}."


def _loads_table(estimate: PlanEstimate) -> Table:
    rows = []
    for group in estimate.groups:
        names = ", ".join(acceleration.name for acceleration in group.group.accelerations)
        cells = (
            Cell(text=visible(group.group.target.name), detail=visible(names)),
            *(Cell(text=f"{number:,}") for number in (len(group.group.settings), group.requests, group.images)),
            Cell(text=ABSENT if group.usd is None else usd(group.usd)),
            Cell(text=ABSENT if group.hours is None else duration(group.hours * 3600)),
        )
        rows.append(Row(cells=cells))
    numbers = (Column(title=title, numeric=True) for title in ("Settings", "Requests", "Images", "Dollars", "Expected"))
    return Table(
        columns=(Column(title="Model load"), *numbers),
        rows=tuple(rows),
        caption="What is loaded, in order. Times are guesses from the target's own words.",
    )


def _settings_table(plan: Plan) -> Table:
    axes = differing_axes(plan.settings)
    rows = tuple(
        Row(cells=(setting_cell(setting, axes), Cell(text=setting.id[:8])), mark=reference_mark(setting))
        for setting in plan.settings
    )
    return Table(
        columns=(Column(title="Setting"), Column(title="Id")), rows=rows, caption="Every setting that would be drawn."
    )
