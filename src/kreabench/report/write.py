"""Writes a report: every file is made first, beside the place where it goes, and only then moved there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kreabench.core.planned import Plan
from kreabench.report.build import build_document
from kreabench.report.document import Document
from kreabench.report.drawing.figures import draw
from kreabench.report.drawing.sheet import draw_sheet
from kreabench.report.html_page import render_html
from kreabench.report.markdown_page import render_markdown
from kreabench.report.sets import set_scores_csv
from kreabench.report.tables import categories_csv, samples_csv, settings_csv, shifts_csv
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.files import storage_error
from kreabench.rundir.table import read_table

if TYPE_CHECKING:
    from pandas import DataFrame

INDEX = "index.html"


def write_report(run: RunDirectory, plan: Plan, out: Path, table: DataFrame | None = None) -> Path:
    """Write the report of `run` into the folder `out` and return the path of its index.html.

    `table` holds the run's samples; None: as they were last rebuilt (`rundir.table.rebuild_table`). Files of an
    earlier report are replaced, others in `out` are left alone; index.html comes last.

    Raises RunDirectoryError where the run has no table or its journal is damaged, StorageError when `out` cannot be
    written.
    """
    table = read_table(run) if table is None else table
    document = build_document(run, plan, table)
    files = {"samples.csv": samples_csv(table, document.brand).encode(), **dict(render(document))}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=out) as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            for name in files:
                (out / name).parent.mkdir(exist_ok=True)
                Path(folder, name).replace(out / name)
    except OSError as error:
        raise storage_error(out, error) from error
    return out / INDEX


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
    for figure in document.figures:
        yield f"figures/{figure.name}.png", draw(figure, format="png")
    for grid in document.pictures.grids:
        if not grid.is_empty:
            yield f"figures/{grid.name}.png", draw_sheet(grid)
    yield "report.md", render_markdown(document).encode()
    yield INDEX, render_html(document).encode()
