"""The report of a run as a page: what comes first, and what stands under which heading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kreabench.report.commands_table import commands_table
from kreabench.report.document import Document
from kreabench.report.explorer.data import ReportData, VerdictData
from kreabench.report.load.figures import load_figures
from kreabench.report.load.tables import load_table
from kreabench.report.page import Page, Section
from kreabench.report.parts import Table

SHOWN_REGRESSIONS = 24
"""Of the page; report.json has all."""


def report_page(
    document: Document, explorer: ReportData | None = None, held: Mapping[str, bytes] | None = None
) -> Page:
    """The whole page; with `explorer` it is one to explore, with the pictures `held` inside."""
    files: tuple[tuple[str, Sequence[object]], ...] = (
        ("shifts.csv", document.shifts),
        ("categories.csv", document.categories),
        ("set_scores.csv", document.set_scores),
        ("load.csv", document.load),
    )
    return Page(
        kind="report",
        title=document.title,
        description=document.description,
        subtitle=document.subtitle,
        notices=document.notices,
        answer=tuple(filter(None, (document.verdict.sentence, document.verdict.sureness))),
        answer_rests_on=document.verdict.assumed,
        command=document.verdict.command,
        command_note=_command_note(document),
        facts=document.facts,
        sections=(
            *_regressions(document.verdict),
            *document.comparisons,
            *_load(document),
            *_explored(document),
            *_details(document, explorer),
        ),
        files=("samples.csv", *(name for name, rows in files if rows), "settings.csv"),
        explorer=explorer,
        held=dict(held or {}),
    )


def _command_note(document: Document) -> str:
    if not document.verdict.command:
        return ""
    return "Shows every test in full." if document.runs else "Asks again, with your own limits and margins."


def _regressions(verdict: VerdictData) -> Iterator[Section]:
    """What got worse."""
    if verdict.regressions or verdict.regressions_note:
        listed = tuple(one.sentence for one in verdict.regressions[:SHOWN_REGRESSIONS])
        more = len(verdict.regressions) - len(listed)
        yield Section(
            id="regressions",
            title="Regressions",
            text=verdict.regressions_note,
            sentences=(*listed, *([f"And {more:,} more, in report.json."] if more else [])),
        )


def _load(document: Document) -> Iterator[Section]:
    """How the targets bore each load."""
    table = load_table(document.load)
    if table is not None:
        yield Section(
            id="load",
            title="Under load",
            name="Load",
            opens=True,
            figures=load_figures(document.load, document.brand),
            tables=(("", table),),
        )


def _explored(document: Document) -> Iterator[Section]:
    """What the page's script draws, and the figures that stand for it without one."""
    figures = {figure.name: figure for figure in document.figures}
    time = figures.pop("latency", None)
    yield Section(
        id="trade-off",
        title="Cost against quality",
        name="Trade-off",
        text=document.figures_note,
        figures=tuple(figures.values()),
        part="scatter",
    )
    yield Section(id="across", title="Across settings", name="Heat maps", part="heat")
    yield Section(id="steps", title="Over steps", name="Steps", part="lines")
    pictures = document.pictures
    yield Section(
        id="pictures",
        title="Pictures",
        grid_notes=(pictures.caption, *pictures.notes),
        grids=pictures.grids,
        part="pictures",
    )
    yield Section(
        id="time", title="Where the time goes", name="Time", figures=() if time is None else (time,), part="time"
    )
    yield Section(id="own-or-api", title="Own GPU or API", name="GPU or API", part="break_even")
    if document.votes:
        yield Section(id="votes", title="Blind votes", name="Votes", tables=document.votes, part="votes")


def _details(document: Document, explorer: ReportData | None) -> Iterator[Section]:
    commands = None if explorer is None else commands_table(explorer)
    yield Section(
        id="settings",
        title="Settings",
        tables=_there(("", document.settings), ("Skipped", document.skipped)),
    )
    if document.measurements:
        yield Section(id="measurements", title="Measurements", tables=document.measurements)
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
            ("To draw a setting again", commands),
            ("Targets", document.targets),
            ("Model loads", document.loads),
            ("Versions", document.environment),
        ),
    )


def _there(*tables: tuple[str, Table | None]) -> tuple[tuple[str, Table], ...]:
    return tuple((title, table) for title, table in tables if table is not None)
