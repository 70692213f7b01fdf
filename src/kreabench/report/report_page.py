"""The report of a run as a page: what comes first, and what stands under which heading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kreabench.report.document import Document
from kreabench.report.page import Page, Section
from kreabench.report.parts import Table


def report_page(document: Document) -> Page:
    """The whole page."""
    files: tuple[tuple[str, Sequence[object]], ...] = (
        ("shifts.csv", document.shifts),
        ("categories.csv", document.categories),
        ("set_scores.csv", document.set_scores),
    )
    return Page(
        kind="report",
        title=document.title,
        description=document.description,
        subtitle=document.subtitle,
        notices=document.notices,
        facts=document.facts,
        sections=tuple(_sections(document)),
        files=("samples.csv", *(name for name, rows in files if rows), "settings.csv"),
    )


def _sections(document: Document) -> Iterator[Section]:
    yield Section(
        id="settings", title="Settings", tables=_there(("", document.settings), ("Skipped", document.skipped))
    )
    if document.measurements:
        yield Section(id="measurements", title="Measurements", tables=document.measurements)
    yield Section(id="figures", title="Figures", text=document.figures_note, figures=document.figures)
    pictures = document.pictures
    yield Section(
        id="pictures", title="Pictures", text=pictures.caption, sentences=pictures.notes, grids=pictures.grids
    )
    if document.failures:
        yield Section(id="failures", title="Failures", tables=(("", document.failures),))
    yield Section(
        id="method",
        title="Method",
        sentences=document.method,
        tables=_there(("Metrics", document.metrics), ("Prices", document.prices)),
    )
    yield Section(
        id="environment",
        title="Environment",
        tables=_there(
            ("Targets", document.targets), ("Model loads", document.loads), ("Versions", document.environment)
        ),
    )


def _there(*tables: tuple[str, Table | None]) -> tuple[tuple[str, Table], ...]:
    return tuple((title, table) for title, table in tables if table is not None)
