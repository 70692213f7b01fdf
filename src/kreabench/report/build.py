"""From a run to its document: reads the run directory, summarises, and says in words what the numbers cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from kreabench.analysis.settings import SettingSummary
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.metrics.table import per_set
from kreabench.report import details
from kreabench.report.charts import build_figures
from kreabench.report.document import Document
from kreabench.report.evidence import Evidence, gather
from kreabench.report.explorer.data import VerdictData
from kreabench.report.explorer.sources import sources_of
from kreabench.report.explorer.verdict import verdict_of
from kreabench.report.facts import headline_facts
from kreabench.report.figure_data import Figure
from kreabench.report.floors import floors_table
from kreabench.report.hosted import hosted_table, money_table
from kreabench.report.measurements import (
    device_table,
    first_calls_table,
    repeatability_table,
    work_table,
)
from kreabench.report.method import method_of
from kreabench.report.notices import notices_of
from kreabench.report.parts import Table
from kreabench.report.pictures import MAX_THUMBNAILS, build_pictures
from kreabench.report.race import race_table
from kreabench.report.sets import set_table
from kreabench.report.settings_table import settings_table
from kreabench.report.text import message, visible
from kreabench.report.thumbnails import Thumbnail
from kreabench.report.votes import votes_tables
from kreabench.rundir.directory import RunDirectory


def build_document(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> Document:
    """The report of `run`, whose plan and table of samples (`rundir.table`) are given.

    Raises RunDirectoryError for a damaged journal.
    """
    return document_of(gather(run, plan, table))


def document_of(
    evidence: Evidence,
    today: date | None = None,
    thumbnails: Mapping[str, Thumbnail] | None = None,
    most: int = MAX_THUMBNAILS,
    beside: Sequence[SettingSummary] = (),
    verdict: VerdictData | None = None,
) -> Document:
    """What is said of a run, in order, with at most about `most` pictures. `today` as in `notices_of`.

    `thumbnails`: those made already, by the SHA-256 of their picture. `beside` as in `settings_table`.
    `verdict`: of several runs together; None: of this one alone.
    """
    one, experiment, journal, info = evidence, evidence.experiment, evidence.journal, evidence.run.info
    directed = one.directed
    figures = build_figures(directed, one.brand)
    return Document(
        title=visible(experiment.name),
        description=message(experiment.description, 600),
        subtitle=f"Run of {info.created_utc[:16].replace('T', ' ')} UTC",
        verdict=verdict or verdict_of(sources_of([evidence])),
        notices=notices_of(evidence, today),
        facts=headline_facts(journal, experiment, one.plan, one.summaries, len(one.dropped)),
        targets=details.targets_table(experiment.targets),
        settings=settings_table(directed, one.targets, beside),
        skipped=details.skipped_table(one.plan),
        figures=figures,
        figures_note=figures_note(figures, one.summaries),
        pictures=build_pictures(one.run.path, experiment, one.plan, one.table, one.brand, thumbnails, most),
        failures=details.failures_table(journal.samples.values(), journal.failures, one.whole.settings),
        loads=details.loads_table(journal.loads),
        metrics=details.metrics_table(experiment.metrics),
        prices=details.prices_table(experiment.targets),
        method=method_of(one.plan.settings),
        environment=details.environment_table(info.plan_hash, info.git_revision, info.versions, info.environment),
        summaries=one.summaries,
        measurements=(*_measurements(evidence), *_race(one.whole, one.dropped)),
        votes=votes_tables(one.votes),
        brand=one.brand,
        set_scores=journal.set_scores,
        shifts=one.quality.shifts,
        categories=one.quality.categories,
        load=one.load,
    )


def _measurements(evidence: Evidence) -> tuple[tuple[str, Table], ...]:
    one, journal, summaries, settings = evidence, evidence.journal, evidence.summaries, evidence.plan.settings
    sets = set_table(journal.set_scores, settings, per_set(one.experiment.metrics))
    tables = (
        ("Fidelity beside its noise floor", floors_table(one.fidelity)),
        *one.quality.tables,
        ("Sets of pictures", sets),
        ("Money", money_table(journal.money)),
        ("Hosted service", hosted_table(one.hosted)),
        ("Work and floor", work_table(summaries, journal.loads)),
        ("Device", device_table(summaries)),
        ("First calls", first_calls_table(journal.warmups, journal.samples.values(), summaries)),
        ("Repeatability", repeatability_table(one.repeats, settings)),
    )
    return tuple((title, table) for title, table in tables if table is not None)


def _race(plan: Plan, dropped: Mapping[str, DropRecord]) -> tuple[tuple[str, Table], ...]:
    table = race_table(plan, dropped)
    return () if table is None else (("Dropped by the race", table),)


def figures_note(figures: Sequence[Figure], summaries: Sequence[SettingSummary]) -> str:
    """Why the figures are fewer than expected; empty where they are not."""
    if any(figure.name == "cost-quality" for figure in figures):
        return ""
    if not any(summary.latency for summary in summaries):
        return "There is nothing to draw: no sample is fit for timing."
    return "Cost is not drawn against quality: that needs two settings with a timing and a score."
