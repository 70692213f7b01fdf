"""Fidelity beside its noise floor: how far each setting's pictures are from the reference's, and what that means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.scores import delivered_images
from kreabench.core.errors import ConfigError
from kreabench.core.planned import Plan, Setting
from kreabench.core.specs import ExperimentSpec
from kreabench.decisions.compare import compare_with_reference
from kreabench.decisions.comparison import Fidelity, FidelityComparison, FloorKind, SettingComparison
from kreabench.decisions.fidelity import LEVEL, MARGIN
from kreabench.decisions.floors import ReferenceFloor, is_fidelity, reference_floors
from kreabench.decisions.sides import Side, side_of
from kreabench.metrics.table import row_of
from kreabench.report.format import ABSENT, count, estimate, shown_unit, significant
from kreabench.report.labels import differing_axes, setting_cell
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.text import message, visible
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.samples import samples_of

FLOOR_NAMES: dict[FloorKind, str] = {
    "itself": "drawn again",
    "another_seed": "another seed",
    "compiled": "compiled",
}

FLOOR_METHOD = (
    "Fidelity is seen beside its noise floor: the reference against itself, drawn again, with another seed, and "
    "compiled where it was. Within noise: all pictures are equal, or shown to be at least as close to the reference as "
    f"it is to itself drawn again or compiled, less {MARGIN:g} standard deviations of that floor over prompts. Else "
    "the metrics that see a picture alone decide: worse where a loss is established (Holm over all of them and all "
    f"settings), another picture, not worse, where for each of them a loss of {MARGIN:g} standard deviations from seed "
    "to seed is ruled out, undecided otherwise; one-sided tests over prompts (the less sure of Student's and Hall's), "
    f"level {LEVEL:g}."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityReport:
    """What is told of settings beside their references."""

    settings: tuple[SettingComparison, ...]
    """All that have one, also where no fidelity was measured."""
    floors: tuple[ReferenceFloor, ...]
    experiment: ExperimentSpec


def side_from(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> Side:
    """`run`, whose plan and table of samples (`rundir.table`) are given, as a side of comparisons."""
    return side_of(run, plan, samples_of(run, table), run.info.experiment.name)


def fidelity_report(side: Side, experiment: ExperimentSpec) -> FidelityReport:
    """Of a run that is compared with itself."""
    if delivered_images(side.table).empty:
        return FidelityReport(settings=(), floors=(), experiment=experiment)
    try:
        settings = compare_with_reference(side).settings
    except ConfigError:  # no setting beside a reference
        settings = ()
    floors = reference_floors(side) if any(map(is_fidelity, experiment.metrics)) else ()
    return FidelityReport(settings=settings, floors=floors, experiment=experiment)


def floors_table(report: FidelityReport) -> Table | None:
    """For each reference and fidelity metric its floors, then the settings with their verdicts."""
    known = [setting for setting in report.settings if any(map(_was_measured, setting.fidelity))]
    if not known and not report.floors:
        return None
    axes = differing_axes([*(one.candidate for one in known), *(one.reference for one in report.floors)])
    return Table(
        columns=(
            Column(title="Metric"),
            Column(title="Setting", note="Or what the reference was compared with: its noise floor."),
            Column(title="To the reference", note="Mean over prompts.", numeric=True),
            Column(title="Pictures", note="Pairs behind the mean.", numeric=True),
            Column(title="Verdict"),
            Column(title="Why", prose=True),
        ),
        rows=tuple(_rows(known, report.floors, axes)),
        caption="How close each setting's pictures are to the reference's, beside how close the reference's own are to "
        "each other, with 95 % intervals over prompts below the numbers.",
        notes=tuple(_notes(report)),
        aside=True,
    )


def _was_measured(fidelity: FidelityComparison) -> bool:
    return bool(fidelity.to_reference.pairs or fidelity.floors)


def _rows(known: Sequence[SettingComparison], floors: Sequence[ReferenceFloor], axes: Sequence[str]) -> Iterator[Row]:
    references = {one.base.id: one.base for one in known} | {one.reference.id: one.reference for one in floors}
    drawn = {(one.reference.id, one.spec.name): one.floors for one in floors}
    specs = {one.spec.name: one.spec for one in floors}
    specs |= {one.spec.name: one.spec for setting in known for one in setting.fidelity}
    for reference in references.values():
        members = [setting for setting in known if setting.base.id == reference.id]
        for name, spec in specs.items():
            said = [(setting, one) for setting in members for one in setting.fidelity if one.spec.name == name]
            row = row_of(spec)
            head = Cell(text=visible(name), detail=shown_unit(row.unit) if row else "")
            shown = dict(said[0][1].floors) if said else dict(drawn.get((reference.id, name), {}))
            for kind, floor in shown.items():
                yield _floor_row(head, reference, kind, floor)
            for setting, one in said:
                yield _setting_row(head, setting.candidate, one, axes)


def _floor_row(head: Cell, reference: Setting, kind: FloorKind, floor: Fidelity) -> Row:
    where = f"{visible(reference.target)} {visible(reference.acceleration)}, {reference.width} × {reference.height}"
    same = kind == "itself" and floor.pairs > 0 and floor.identical == floor.pairs
    return Row(
        cells=(
            head,
            Cell(text=FLOOR_NAMES[kind], detail=where),
            _mean_cell(floor),
            _pairs_cell(floor),
            Cell(text=ABSENT, absent=True, detail="the floor"),
            Cell(text="drawn again it is the same picture every time" if same else ""),
        ),
        mark="noise floor",
    )


def _setting_row(head: Cell, setting: Setting, one: FidelityComparison, axes: Sequence[str]) -> Row:
    return Row(
        cells=(
            head,
            setting_cell(setting, axes),
            _mean_cell(one.to_reference),
            _pairs_cell(one.to_reference),
            Cell(text=one.verdict, strong=one.verdict == "worse"),
            Cell(text=message(one.reason, 600)),
        )
    )


def _mean_cell(fidelity: Fidelity) -> Cell:
    if fidelity.mean is None:
        if fidelity.pairs:
            return Cell(text="∞", detail="every pair is equal")
        return Cell(text=ABSENT, detail="no score", absent=True)
    text, interval = estimate(fidelity.mean)
    return Cell(text=text, detail=interval or f"{count(fidelity.mean.n, 'prompt')}, no interval")


def _pairs_cell(fidelity: Fidelity) -> Cell:
    parts = [f"{fidelity.identical:,} identical"] if fidelity.identical else []
    parts += [f"{fidelity.infinite:,} not in the mean"] if fidelity.infinite and fidelity.mean is not None else []
    left = f"{fidelity.left_out:,} without a score" if fidelity.left_out else ""
    return Cell(text=f"{fidelity.pairs:,}", detail=", ".join(parts), remark=left)


def _notes(report: FidelityReport) -> list[str]:
    experiment, notes = report.experiment, []
    if len(experiment.seeds) < 2:
        notes.append("Drawn with one seed alone: how far another seed's picture is away is not known.")
    if experiment.repeats * experiment.passes < 2:
        notes.append("Nothing was drawn twice (repeats, passes): whether the reference repeats itself is not known.")
    if not report.floors and len(notes) < 2:
        notes.append("There are no scores of the noise floor yet: `kreabench score` makes them.")
    return notes


def floors_sentence(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> str:
    """The noise floor of each fidelity metric in one line; empty where none was scored."""
    if next(run.floor_score_lines(), None) is None:
        return ""
    return floors_words(reference_floors(side_from(run, plan, table)))


def floors_words(floors: Sequence[ReferenceFloor]) -> str:
    """The same, of floors that were read already."""
    by_metric: dict[str, list[ReferenceFloor]] = {}
    for floor in floors:
        by_metric.setdefault(floor.spec.name, []).append(floor)
    parts = []
    for name, found in by_metric.items():
        row = row_of(found[0].spec)
        unit = f" {shown_unit(row.unit)}".rstrip() if row else ""
        kinds = [kind for kind in FLOOR_NAMES if any(kind in floor.floors for floor in found)]
        said = [
            _in_words(kind, [floor.floors[kind] for floor in found if kind in floor.floors], unit) for kind in kinds
        ]
        parts.append(f"{name} {', '.join(said)}")
    return f"noise floor of the reference: {'; '.join(parts)}" if parts else ""


def _in_words(kind: FloorKind, floors: Sequence[Fidelity], unit: str) -> str:
    """`another seed 11.3 dB (9.38 – 13.2, n = 6)`; of several references the least and the greatest mean."""
    name = FLOOR_NAMES[kind]
    pairs = sum(floor.pairs for floor in floors)
    if not pairs:
        return f"{name} not known"
    if sum(floor.identical for floor in floors) == pairs:
        return f"{name} the same picture ({count(pairs, 'pair')})"
    means: list[Estimate] = [floor.mean for floor in floors if floor.mean is not None]
    if len(means) == 1:
        text, interval = estimate(means[0])
        return f"{name} {text}{unit} ({f'{interval}, ' if interval else ''}n = {means[0].n})"
    low, high = min(mean.value for mean in means), max(mean.value for mean in means)
    return f"{name} {significant(low)} – {significant(high)}{unit} ({len(means)} references)"
