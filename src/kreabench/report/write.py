"""The files of the report of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.planned import Plan
from kreabench.report.build import build_document
from kreabench.report.document import Document
from kreabench.report.files import page_files, write_files
from kreabench.report.report_page import report_page
from kreabench.report.sets import set_scores_csv
from kreabench.report.tables import categories_csv, samples_csv, settings_csv, shifts_csv
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table

if TYPE_CHECKING:
    from pandas import DataFrame


def write_report(run: RunDirectory, plan: Plan, out: Path, table: DataFrame | None = None) -> Path:
    """Write the report of `run` into the folder `out` and return the path of its index.html.

    `table` holds the run's samples; None: as they were last rebuilt (`rundir.table.rebuild_table`). Files of an
    earlier report are replaced, others in `out` are left alone; index.html comes last.

    Raises RunDirectoryError where the run has no table or its journal is damaged, StorageError when `out` cannot be
    written.
    """
    table = read_table(run) if table is None else table
    document = build_document(run, plan, table)
    return write_files(out, {"samples.csv": samples_csv(table, document.brand).encode(), **dict(render(document))})


def render(document: Document) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file that follows from the document alone, index.html last."""
    yield "settings.csv", settings_csv(document.summaries, document.brand).encode()
    if document.set_scores:
        labels = {summary.setting.id: summary.setting.label for summary in document.summaries}
        yield "set_scores.csv", set_scores_csv(document.set_scores, labels, document.brand).encode()
    if document.shifts:
        yield "shifts.csv", shifts_csv(document.shifts, document.brand).encode()
    if document.categories:
        yield "categories.csv", categories_csv(document.categories, document.brand).encode()
    yield from page_files(report_page(document), markdown="report.md")
