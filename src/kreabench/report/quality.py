"""What scores say beside their means: shifts from the reference, categories of prompts, and what limits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kreabench.analysis.categories import CategoryMean, CategorySummary, by_category
from kreabench.analysis.estimates import Estimate
from kreabench.analysis.look import Softening, find_softening
from kreabench.analysis.settings import SettingSummary
from kreabench.analysis.shifts import Shift, paired_shifts
from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import row_of
from kreabench.report.document import Cell, Column, Notice, Row, Table
from kreabench.report.format import ABSENT, count, estimate
from kreabench.report.text import message

MAX_ROWS = 240
"""Of the table of categories on the page; categories.csv has all."""
MAX_NOTICES = 8
UNTRAINED = "untrained weights"

SHIFT_METHOD = (
    "A shift from the reference is the mean over prompts of the differences between a setting's pictures and the "
    "reference's of the same prompt, seed and repeat, with Student's 95 % interval over prompts. Only pictures of "
    "equal size are paired: detail and noise change with size alone. Colours, blur and noise have no better side; what "
    "counts is how far a setting moves them."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """Scores compared within pairs and within categories."""

    shifts: tuple[Shift, ...]
    categories: tuple[CategorySummary, ...]

    @property
    def tables(self) -> tuple[tuple[str, Table | None], ...]:
        """Heading and table, None where there is nothing to show."""
        return (
            ("Shift from the reference", shifts_table(self.shifts)),
            ("By category", categories_table(self.categories)),
        )


def assess(table: pd.DataFrame, settings: Sequence[Setting], metrics: Sequence[MetricSpec]) -> Quality:
    """`table` is the table of samples (`rundir.table`), `metrics` are those with a score a picture."""
    rows = {spec.name: row for spec in metrics if (row := row_of(spec)) is not None}
    bounds = {name: row.range for name, row in rows.items()}
    alone = [spec for spec in metrics if spec.name in rows and not rows[spec.name].needs_reference]
    return Quality(
        shifts=paired_shifts(table, settings, alone, bounds=bounds),
        categories=by_category(table, settings, metrics, bounds=bounds),
    )


def shifts_table(shifts: Sequence[Shift]) -> Table | None:
    """One row a setting, one column a metric."""
    if not shifts:
        return None
    specs = {shift.spec.name: shift.spec for shift in shifts}
    brands = {shift.spec.name for shift in shifts if shift.untrained}
    rows: dict[str, dict[str, Shift]] = {}
    for shift in shifts:
        rows.setdefault(shift.setting.label, {})[shift.spec.name] = shift
    return Table(
        columns=(Column(title="Setting", prose=True), *(_column(spec, spec.name in brands) for spec in specs.values())),
        rows=tuple(
            Row(cells=(Cell(text=label), *(_shift_cell(found.get(name)) for name in specs)))
            for label, found in rows.items()
        ),
        caption="How far each metric moves from the reference's picture of the same prompt and seed, with 95 % "
        "intervals below the numbers.",
    )


def categories_table(categories: Sequence[CategorySummary]) -> Table | None:
    """One row a category and setting."""
    if not categories:
        return None
    specs = [mean.spec for mean in categories[0].means]
    brands = {mean.spec.name for summary in categories for mean in summary.means if mean.untrained}
    left_out = len(categories) - MAX_ROWS
    return Table(
        columns=(
            Column(title="Category"),
            Column(title="Setting", prose=True),
            Column(title="Prompts", note="With a delivered picture.", numeric=True),
            *(_column(spec, spec.name in brands) for spec in specs),
        ),
        rows=tuple(Row(cells=_category_cells(summary)) for summary in categories[:MAX_ROWS]),
        caption="Mean scores by category of prompt, with 95 % intervals over its prompts below the numbers.",
        notes=(f"{left_out:,} more rows are in categories.csv.",) if left_out > 0 else (),
    )


def _column(spec: MetricSpec, untrained: bool) -> Column:
    row = row_of(spec)
    return Column(
        title=spec.name,
        unit="" if row is None or row.unit == "1" else row.unit,
        note="" if row is None else row.summary,
        numeric=True,
        brand=UNTRAINED if untrained else "",
    )


def _shift_cell(shift: Shift | None) -> Cell:
    if shift is None:
        return Cell(text=ABSENT, detail="no pair", absent=True)
    text, interval = estimate(shift.mean)
    return Cell(
        text=_signed(shift.mean, text),
        detail=interval or f"{count(shift.mean.n, 'prompt')}, no interval",
        remark=f"{count(shift.left_out, 'picture')} without a pair" if shift.left_out else "",
    )


def _signed(mean: Estimate, text: str) -> str:
    return f"+{text}" if mean.value > 0 else text


def _category_cells(summary: CategorySummary) -> tuple[Cell, ...]:
    return (
        Cell(text=message(summary.category, 80)) if summary.category else Cell(text=ABSENT, detail="none", absent=True),
        Cell(text=summary.setting.label),
        Cell(text=f"{summary.prompts:,}"),
        *(_mean_cell(mean, summary.images) for mean in summary.means),
    )


def _mean_cell(mean: CategoryMean, images: int) -> Cell:
    if mean.mean is None:
        return Cell(text=ABSENT, detail="no score", absent=True)
    text, interval = estimate(mean.mean)
    remark = f"{mean.scored:,} of {count(images, 'picture')}" if mean.scored != images else ""
    return Cell(text=text, detail=interval or f"{count(mean.mean.n, 'prompt')}, no interval", remark=remark)


def look_notices(shifts: Sequence[Shift]) -> list[Notice]:
    """A warning for each setting whose pictures please a model of beauty more because they are softer."""
    return [Notice(level="warning", text=_softening(found)) for found in find_softening(shifts)[:MAX_NOTICES]]


def _softening(found: Softening) -> str:
    beauty, blur = (f"{shift.spec.name} {_with_interval(shift.mean)}" for shift in (found.beauty, found.blur))
    return (
        f"{message(found.setting.label)} looks better to the aesthetic model than its reference ({beauty}) and is more "
        f"blurred ({blur}): that model is biased towards blurry, soft pictures; look at the pictures."
    )


def _with_interval(mean: Estimate) -> str:
    text, interval = estimate(mean)
    return f"{_signed(mean, text)}, {interval}" if interval else _signed(mean, text)


def score_notices(summaries: Sequence[SettingSummary]) -> list[Notice]:
    """What limits the scores: missing ones, untrained metrics, cut prompts, and what metrics say of pictures."""
    metrics = [metric for summary in summaries for metric in summary.metrics]
    images = sum(summary.images for summary in summaries)
    found = []
    if images and metrics:
        unscored, due = sum(metric.unscored for metric in metrics), images * len(summaries[0].metrics)
        if unscored == due:
            found.append(Notice(level="info", text="There are no scores yet: `kreabench score` makes them."))
        elif unscored:
            text = f"{unscored:,} of {count(due, 'score')} are missing: `kreabench score` makes what is missing."
            found.append(Notice(level="info", text=text))
    untrained = dict.fromkeys(metric.name for metric in metrics if metric.untrained)
    if untrained:
        text = f"Scored with untrained weights: {', '.join(untrained)}. These values show plumbing only."
        found.append(Notice(level="warning", text=text))
    truncated: Counter[str] = Counter()
    notes: Counter[tuple[str, str]] = Counter()
    for metric in metrics:
        truncated[metric.name] += metric.truncated
        notes.update({(metric.name, note): number for note, number in metric.notes})
    for name, number in (+truncated).items():
        text = f"{name}: the prompts of {count(number, 'picture')} were too long for its text encoder and were cut."
        found.append(Notice(level="info", text=text))
    for (name, note), number in notes.most_common(MAX_NOTICES):
        found.append(Notice(level="info", text=f"{name}: {message(note, 200)} ({count(number, 'picture')})."))
    return found
