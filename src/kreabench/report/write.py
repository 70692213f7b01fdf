"""The files of a report, of one run or of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.planned import Plan
from kreabench.report.build import document_of
from kreabench.report.dictionary import DICTIONARY, data_dictionary
from kreabench.report.document import Document
from kreabench.report.evidence import Evidence, gather
from kreabench.report.explorer.build import build_data
from kreabench.report.explorer.data import ReportData
from kreabench.report.explorer.pictures import pictured
from kreabench.report.explorer.quantities import quantities_of
from kreabench.report.explorer.sources import sources_of
from kreabench.report.files import page_files, write_files
from kreabench.report.load.tables import load_csv
from kreabench.report.options import ReportOptions
from kreabench.report.parquet import samples_parquet, settings_parquet
from kreabench.report.report_page import report_page
from kreabench.report.sets import set_scores_csv
from kreabench.report.several.document import several_document
from kreabench.report.several.files import joined
from kreabench.report.tables import categories_csv, samples_csv, settings_csv, shifts_csv
from kreabench.report.thumbnails import Thumbnail
from kreabench.report.votes import votes_csv
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Told:
    """A run to report on."""

    run: RunDirectory
    plan: Plan
    table: DataFrame
    """Its samples, see `rundir.table`."""


def write_report(
    run: RunDirectory, plan: Plan, out: Path, table: DataFrame | None = None, options: ReportOptions | None = None
) -> Path:
    """Write the report of `run` into the folder `out` and return the path of its index.html.

    `table` holds the run's samples; None: as they were last rebuilt (`rundir.table.rebuild_table`). Files of an
    earlier report are replaced, others in `out` are left alone; index.html comes last.

    Raises RunDirectoryError where the run has no table or its journal is damaged, StorageError when `out` cannot be
    written.
    """
    told = Told(run=run, plan=plan, table=read_table(run) if table is None else table)
    return write_reports([told], out, options or ReportOptions())


def write_reports(runs: Sequence[Told], out: Path, options: ReportOptions) -> Path:
    """As `write_report`, of one run or of several in one report; the first is what the others are compared with."""
    evidences = [gather(told.run, told.plan, told.table) for told in runs]
    sources = sources_of(evidences)
    chosen = pictured(
        sources,
        quantities_of(sources),
        most=options.max_pictures,
        images=options.images,
        known=(lambda name: _is_there(out / name)) if options.images == "link" else None,
    )
    document = _document(evidences, options, chosen.thumbnails)
    explorer = build_data(sources, document, chosen)
    linked = chosen.files if options.images == "link" else {}
    held = chosen.files if options.images == "embed" else {}
    tables, rendered = _samples(evidences, document), dict(render(document, explorer, held))
    metrics = [spec for evidence in evidences for spec in evidence.experiment.metrics]
    dictionary = {DICTIONARY: data_dictionary({**tables, **rendered}, metrics).encode()}
    return write_files(out, {**linked, **tables, **dictionary, **rendered})


def _is_there(picture: Path) -> bool:
    """Whether an earlier report has left it, whole: one of no bytes is what a power cut leaves."""
    return picture.is_file() and picture.stat().st_size > 0


def _document(evidences: Sequence[Evidence], options: ReportOptions, thumbnails: Mapping[str, Thumbnail]) -> Document:
    if len(evidences) == 1:
        return document_of(evidences[0], options.today, thumbnails)
    return several_document(evidences, options.today, thumbnails)


def _samples(evidences: Sequence[Evidence], document: Document) -> dict[str, bytes]:
    if not document.runs:
        return dict(_samples_of(evidences[0], document.brand))
    told = zip(document.runs, evidences, strict=True)
    return joined({id_: dict(_samples_of(one, own.brand)) for (id_, own), one in told})


def _samples_of(evidence: Evidence, brand: str) -> Iterator[tuple[str, bytes]]:
    yield "samples.csv", samples_csv(evidence.table, brand).encode()
    yield "samples.parquet", samples_parquet(evidence.table, brand)
    if evidence.votes is not None:
        yield "votes.csv", votes_csv(evidence.votes, brand).encode()


def render(
    document: Document, explorer: ReportData | None = None, held: Mapping[str, bytes] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file that follows from the document alone, index.html last."""
    runs = {id_: dict(_tables(one)) for id_, one in document.runs}
    yield from joined(runs).items() if runs else _tables(document)
    yield from page_files(report_page(document, explorer, held), markdown="report.md")


def _tables(document: Document) -> Iterator[tuple[str, bytes]]:
    """Of one run."""
    yield "settings.csv", settings_csv(document.summaries, document.brand).encode()
    yield "settings.parquet", settings_parquet(document.summaries, document.brand)
    if document.set_scores:
        labels = {summary.setting.id: summary.setting.label for summary in document.summaries}
        yield "set_scores.csv", set_scores_csv(document.set_scores, labels, document.brand).encode()
    if document.shifts:
        yield "shifts.csv", shifts_csv(document.shifts, document.brand).encode()
    if document.load:
        yield "load.csv", load_csv(document.load, document.brand).encode()
    if document.categories:
        yield "categories.csv", categories_csv(document.categories, document.brand).encode()
