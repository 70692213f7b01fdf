"""What is said of a setting's pictures together: distances from the reference's, and how different they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kreabench.analysis.sets import find_collapses
from kreabench.core.per_prompt import is_of_prompt
from kreabench.core.planned import Plan, Setting
from kreabench.core.redaction import redact
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import per_set, row_of
from kreabench.report.csv_text import csv_text
from kreabench.report.format import ABSENT, count, decimals, fixed, significant
from kreabench.report.labels import differing_axes, reference_mark, setting_cell
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import message, visible
from kreabench.rundir.directory import RunDirectory

MAX_NOTICES = 8

_MISSING = "not scored yet"


def set_scores_of(run: RunDirectory, plan: Plan) -> tuple[SetScoreRecord, ...]:
    """Those of the run's metrics and settings: the file keeps what was once asked for. Raises RunDirectoryError."""
    names = {spec.name for spec in per_set(run.info.experiment.metrics)}
    settings = {setting.id for setting in plan.settings}
    return tuple(score for score in run.set_scores() if score.metric in names and score.setting_id in settings)


def set_table(
    scores: Sequence[SetScoreRecord], settings: Sequence[Setting], metrics: Sequence[MetricSpec]
) -> Table | None:
    """A line a setting and metric of sets (`metrics`); None where no such metric was asked for."""
    held = {(score.setting_id, score.metric): score for score in scores}
    axes = differing_axes(settings)
    rows = [
        Row(
            cells=(setting_cell(setting, axes), _metric_cell(spec), *_cells(held.get((setting.id, spec.name)))),
            mark=reference_mark(setting),
        )
        for setting in settings
        for spec in metrics
    ]
    if not rows:
        return None
    return Table(
        columns=(
            Column(title="Setting"),
            Column(title="Metric", note="And the unit of its value."),
            Column(title="Value", note="And its standard error, where there is one.", numeric=True),
            Column(title="Pictures", note="In the set, and how many delivered ones are not.", numeric=True),
            Column(title="Of the reference", unit="pictures", numeric=True),
            Column(title="Remark", prose=True),
        ),
        rows=tuple(rows),
        caption="Each value is of all pictures of a setting together; it is no mean of pictures.",
        notes=tuple(_notes(metrics, scores)),
    )


def _notes(metrics: Sequence[MetricSpec], scores: Sequence[SetScoreRecord]) -> list[str]:
    rows = {spec.name: row for spec in metrics if (row := row_of(spec)) is not None}
    directions = {"lower": "nearer to the reference is lower", "higher": "more is better"}
    notes = [
        f"{visible(name)}: {row.summary}; {directions[row.better]}."
        for name, row in rows.items()
        if row.better in directions
    ]
    if any("standard_error" in score.details for score in scores):
        notes.append(
            "A standard error is a jackknife that leaves out one prompt of both sets at a time; where the sets do not "
            "differ it is too large by about √2, never too small."
        )
    return notes


def _metric_cell(spec: MetricSpec) -> Cell:
    row = row_of(spec)
    return Cell(text=visible(spec.name), detail="" if row is None else row.unit)


def _cells(score: SetScoreRecord | None) -> tuple[Cell, ...]:
    if score is None:
        nothing = Cell(text=ABSENT, absent=True)
        return (Cell(text=ABSENT, detail=_MISSING, absent=True), nothing, nothing, Cell(text=""))
    reference = score.reference_pictures
    return (
        _value_cell(score),
        Cell(text=f"{score.pictures:,}", detail=f"{score.left_out:,} left out" if score.left_out else ""),
        Cell(text=ABSENT if reference is None else f"{reference:,}", absent=reference is None),
        Cell(text=_remark(score)),
    )


def _value_cell(score: SetScoreRecord) -> Cell:
    brand = "untrained weights" if score.untrained else ""
    if score.value is None:
        return Cell(text=ABSENT, detail=score.status.replace("_", " "), remark=brand, absent=True)
    value, error = set_value(score)
    return Cell(text=value, detail=f"± {error}" if error else "", remark=brand)


def set_value(score: SetScoreRecord) -> tuple[str, str]:
    """The value of a score and its standard error in as many decimals; the latter may be empty."""
    if score.value is None:
        return ABSENT, ""
    error = score.details.get("standard_error")
    if error is None:
        return significant(score.value), ""
    places = decimals(max(abs(score.value), error))
    return fixed(score.value, places), fixed(error, max(places, decimals(error, 1)))


def _remark(score: SetScoreRecord) -> str:
    parts = [message(score.reason)] if score.reason else []
    parts += [message(note) for note in score.notes]
    if "seeds_per_prompt" in score.details:
        prompts, seeds = score.details.get("prompts", 0.0), score.details["seeds_per_prompt"]
        smallest = score.details.get("smallest")
        least = "" if smallest is None else f"; the least of a prompt is {significant(smallest)}"
        parts.append(f"{count(int(prompts), 'prompt')} of {seeds:.3g} pictures{least}")
    return "; ".join(parts)


def set_notices(
    scores: Sequence[SetScoreRecord], settings: Sequence[Setting], metrics: Sequence[MetricSpec]
) -> list[Notice]:
    """Where diversity collapsed."""
    collapses = find_collapses(scores, settings, metrics)
    labels = {setting.id: setting.label for setting in settings}
    found = [
        Notice(level="warning", text=f"{message(labels.get(one.setting_id, one.setting_id), 200)}: {one.text}.")
        for one in collapses[:MAX_NOTICES]
    ]
    if len(collapses) > MAX_NOTICES:
        found.append(Notice(level="warning", text=f"So it is in {len(collapses) - MAX_NOTICES} more settings."))
    return found


def set_scores_csv(scores: Sequence[SetScoreRecord], labels: Mapping[str, str], brand: str = "") -> str:
    """One row a setting and metric, unrounded; absent values are empty. `brand` as in `tables.samples_csv`.

    `labels`: id of a setting → what people call it.
    """
    rows = (_csv_row(score, labels.get(score.setting_id, "")) for score in scores)
    return csv_text(rows, ("setting_id",), brand)


def _csv_row(score: SetScoreRecord, label: str) -> dict[str, str | float | int | bool | None]:
    return {
        "setting_id": score.setting_id,
        "setting": label,
        "metric": score.metric,
        "status": score.status,
        "value": score.value,
        "pictures": score.pictures,
        "reference_pictures": score.reference_pictures,
        "left_out": score.left_out,
        "untrained": score.untrained,
        "reason": redact(score.reason),
        "notes": redact("; ".join(score.notes)),
        **{name: value for name, value in score.details.items() if not is_of_prompt(name)},
    }
