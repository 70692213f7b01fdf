"""What scores say beside their means: shifts from the reference, categories of prompts, and what limits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from kreabench.analysis.categories import CategoryMean, CategorySummary, by_category
from kreabench.analysis.estimates import Bounds, Estimate
from kreabench.analysis.look import Softening, find_softening
from kreabench.analysis.settings import SettingSummary
from kreabench.analysis.shifts import Shift, paired_shifts
from kreabench.core.planned import Setting
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import has_direction, row_of
from kreabench.report.format import ABSENT, count, difference, estimate
from kreabench.report.labels import differing_axes, reference_mark, setting_cell
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.settings_table import DIRECTIONS, UNTRAINED
from kreabench.report.text import message, visible

MAX_ROWS = 240
"""Of the table of categories on the page; categories.csv has all."""
MAX_NOTICES = 8
ROUNDING = 1e-12
"""In the unit of any metric: differences up to it are errors of floating point."""

SHIFT_METHOD = (
    "A shift from the reference is the mean over prompts of the differences between a setting's pictures and the "
    "reference's of the same prompt, seed and repeat, with Student's 95 % interval over prompts, uncorrected for their "
    "number. Only pictures of equal size are paired: detail and noise change with size alone. Colours, blur and noise "
    "have no better side; what counts is how far a setting moves them."
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
    return Quality(
        shifts=shifts_of(table, settings, metrics),
        categories=by_category(table, settings, metrics, bounds=_bounds(metrics)),
    )


def shifts_of(table: pd.DataFrame, settings: Sequence[Setting], metrics: Sequence[MetricSpec]) -> tuple[Shift, ...]:
    """Of the metrics that look at a picture alone; arguments as for `assess`."""
    alone = [spec for spec in metrics if (row := row_of(spec)) is not None and not row.needs_reference]
    return paired_shifts(table, settings, alone, bounds=_bounds(alone))


def _bounds(metrics: Sequence[MetricSpec]) -> dict[str, Bounds]:
    return {spec.name: row.range for spec in metrics if (row := row_of(spec)) is not None}


def shifts_table(shifts: Sequence[Shift]) -> Table | None:
    """One row a setting, one column a metric that moves at all."""
    if not shifts:
        return None
    found: dict[str, dict[str, Shift]] = {}
    for shift in shifts:
        found.setdefault(shift.setting.id, {})[shift.spec.name] = shift
    settings = {shift.setting.id: shift.setting for shift in shifts}
    specs = {shift.spec.name: shift.spec for shift in shifts}
    brands = {shift.spec.name for shift in shifts if shift.untrained}
    moving = {shift.spec.name for shift in shifts if _moves(shift)} or set(specs)
    shown = [spec for name, spec in specs.items() if name in moving]
    axes = differing_axes(list(settings.values()))
    single = all(shift.mean.n == 1 for shift in shifts)
    return Table(
        columns=(Column(title="Setting"), *(_column(spec, spec.name in brands) for spec in shown)),
        rows=tuple(
            Row(
                cells=(
                    setting_cell(settings[id_], axes),
                    *(_shift_cell(row.get(spec.name), say_alone=not single) for spec in shown),
                )
            )
            for id_, row in found.items()
        ),
        caption="How far each metric moves from the reference's picture of the same prompt and seed"
        + (": one prompt, so no intervals." if single else ", with 95 % intervals below the numbers."),
        notes=tuple(_shift_notes(shifts, [name for name in specs if name not in moving])),
    )


def _moves(shift: Shift) -> bool:
    """Whether any prompt's difference is more than the rounding of floating point."""
    return any(abs(value) > ROUNDING for value in (shift.mean.value, *(shift.mean.interval or ())))


def _excludes_0(shift: Shift) -> bool:
    interval = shift.mean.interval
    return interval is not None and _moves(shift) and interval[0] * interval[1] > 0


def _shift_notes(shifts: Sequence[Shift], still: Sequence[str]) -> list[str]:
    notes = []
    intervals = sum(shift.mean.interval is not None and _moves(shift) for shift in shifts)
    if sure := sum(map(_excludes_0, shifts)):
        notes.append(
            f"* The interval leaves 0 out, as {sure:,} of {intervals:,} do; by chance alone about 1 in 20 would."
        )
    if still:
        notes.append(f"0 in every prompt of every setting, and not shown: {', '.join(map(visible, still))}.")
    return notes


def categories_table(categories: Sequence[CategorySummary]) -> Table | None:
    """One row a category and setting, one column a metric of which more, or less, is better."""
    kept = [index for index, mean in enumerate(categories[0].means if categories else ()) if has_direction(mean.spec)]
    if not any(summary.means[index].mean for summary in categories for index in kept):
        return None
    specs = [categories[0].means[index].spec for index in kept]
    brands = {mean.spec.name for summary in categories for mean in summary.means if mean.untrained}
    axes = differing_axes([summary.setting for summary in categories])
    sizes = {summary.prompts for summary in categories}
    left_out = len(categories) - MAX_ROWS
    return Table(
        columns=(
            Column(title="Category"),
            Column(title="Setting"),
            *([Column(title="Prompts", note="With a delivered picture.", numeric=True)] if sizes != {1} else []),
            *(_column(spec, spec.name in brands) for spec in specs),
        ),
        rows=tuple(Row(cells=_category_cells(summary, kept, axes, sizes)) for summary in categories[:MAX_ROWS]),
        caption="Mean scores by category of prompt"
        + (": one prompt a category, so no intervals." if sizes == {1} else ", with 95 % intervals over its prompts.")
        + " Unrounded, and with the metrics that have no better side, in categories.csv.",
        notes=(
            *(["A category of one prompt has no interval."] if 1 in sizes and len(sizes) > 1 else []),
            *([f"{left_out:,} more rows are in categories.csv."] if left_out > 0 else []),
        ),
        aside=True,
    )


def _column(spec: MetricSpec, untrained: bool) -> Column:
    row = row_of(spec)
    side = DIRECTIONS[row.better] if row is not None and has_direction(spec) else ""
    said = ("" if row is None or row.unit == "1" else row.unit, side)
    return Column(
        title=spec.name,
        unit=" · ".join(filter(None, said)),
        note="" if row is None else row.summary,
        numeric=True,
        brand=UNTRAINED if untrained else "",
    )


def _shift_cell(shift: Shift | None, *, say_alone: bool) -> Cell:
    """`say_alone`: whether a cell of one prompt says why it has no interval; else the caption does."""
    if shift is None:
        return Cell(text=ABSENT, detail="no pair", absent=True)
    text, interval = difference(shift.mean) if _moves(shift) else ("0", None)
    detail = interval or (f"{count(shift.mean.n, 'prompt')}, no interval" if say_alone else "")
    if shift.mean.interval is not None and (not _moves(shift) or shift.mean.low == shift.mean.high):
        detail = "in every prompt"
    sure = _excludes_0(shift)
    return Cell(
        text=f"{text} *" if sure else text,
        detail=detail,
        remark=f"{count(shift.left_out, 'picture')} without a pair" if shift.left_out else "",
        strong=sure,
    )


def _category_cells(
    summary: CategorySummary, kept: Sequence[int], axes: Sequence[str], sizes: Collection[int]
) -> tuple[Cell, ...]:
    name = message(summary.category, 80) if summary.category else ""
    return (
        Cell(text=name) if name else Cell(text=ABSENT, detail="none", absent=True),
        setting_cell(summary.setting, axes, mark=True),
        *([Cell(text=f"{summary.prompts:,}")] if sizes != {1} else []),
        *(_mean_cell(summary.means[index], summary) for index in kept),
    )


def _mean_cell(mean: CategoryMean, summary: CategorySummary) -> Cell:
    if mean.mean is None:
        itself = bool(reference_mark(summary.setting)) and _needs_reference(mean.spec)
        return Cell(text=ABSENT, detail="the reference" if itself else "no score", absent=True)
    text, interval = estimate(mean.mean)
    alone = f"{count(mean.mean.n, 'prompt')}, no interval" if mean.mean.n != summary.prompts else ""
    remark = f"{mean.scored:,} of {count(summary.images, 'picture')}" if mean.scored != summary.images else ""
    return Cell(text=text, detail=interval or alone, remark=remark)


def _needs_reference(spec: MetricSpec) -> bool:
    row = row_of(spec)
    return row is not None and row.needs_reference


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
    text, interval = difference(mean)
    return f"{text}, {interval}" if interval else text


def score_notices(summaries: Sequence[SettingSummary]) -> list[Notice]:
    """What limits the scores: missing ones, cut prompts, and what metrics say of pictures."""
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
    truncated: Counter[str] = Counter()
    notes: Counter[tuple[str, str]] = Counter()
    for metric in metrics:
        truncated[metric.name] += metric.truncated
        notes.update({(metric.name, note): number for note, number in metric.notes})
    for names, number in _alike((+truncated).items()):
        text = f"{names}: the prompts of {count(number, 'picture')} were too long for its text encoder and were cut."
        found.append(Notice(level="warning", text=text))
    said: dict[str, list[tuple[str, int]]] = {}
    for (name, note), number in notes.most_common():
        said.setdefault(note, []).append((name, number))
    lines = [(names, note, number) for note, each in said.items() for names, number in _alike(each)]
    for names, note, number in lines[:MAX_NOTICES]:
        found.append(Notice(level="info", text=f"{names}: {message(note, 200)} ({count(number, 'picture')})."))
    return found


def _alike(numbers: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Names with one number together: what several metrics say of the same pictures is one sentence."""
    names: dict[int, list[str]] = {}
    for name, number in numbers:
        names.setdefault(number, []).append(visible(name))
    return [(", ".join(each), number) for number, each in names.items()]


def untrained_notice(summaries: Sequence[SettingSummary], scores: Sequence[SetScoreRecord]) -> list[Notice]:
    """A warning that names every metric with random weights, of pictures and of sets of pictures."""
    names = [metric.name for summary in summaries for metric in summary.metrics if metric.untrained]
    names += [score.metric for score in scores if score.untrained]
    if not names:
        return []
    text = f"Scored with untrained weights: {', '.join(map(visible, dict.fromkeys(names)))}. These values show "
    return [Notice(level="warning", text=text + "plumbing only.")]
