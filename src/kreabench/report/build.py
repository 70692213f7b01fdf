"""From a run to its document: reads the run directory, summarises, and says in words what the numbers cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from kreabench.analysis.notices import notice
from kreabench.analysis.repeatability import Repeatability
from kreabench.analysis.settings import SettingSummary
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.drops import spared
from kreabench.metrics.table import per_set
from kreabench.report import details
from kreabench.report.charts import build_figures
from kreabench.report.document import Document
from kreabench.report.evidence import Evidence, gather
from kreabench.report.facts import headline_facts
from kreabench.report.figure_data import Figure
from kreabench.report.floors import floors_table
from kreabench.report.format import count
from kreabench.report.hosted import hosted_notices, hosted_table, money_notices, money_table
from kreabench.report.measurements import (
    device_table,
    first_calls_table,
    measuring_notices,
    repeatability_sentence,
    repeatability_table,
    work_table,
)
from kreabench.report.method import METHOD
from kreabench.report.parts import Notice, Table
from kreabench.report.pictures import build_pictures
from kreabench.report.quality import look_notices, score_notices, untrained_notice
from kreabench.report.race import race_notices, race_table
from kreabench.report.sets import set_notices, set_table
from kreabench.report.settings_table import settings_table
from kreabench.report.text import message, visible
from kreabench.report.votes import votes_tables
from kreabench.rundir.directory import RunDirectory


def build_document(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> Document:
    """The report of `run`, whose plan and table of samples (`rundir.table`) are given.

    Raises RunDirectoryError for a damaged journal.
    """
    return document_of(gather(run, plan, table))


def document_of(evidence: Evidence) -> Document:
    """What is said of a run, in order."""
    one, experiment, journal, info = evidence, evidence.experiment, evidence.journal, evidence.run.info
    directed = one.directed
    figures = build_figures(directed, one.brand)
    return Document(
        title=visible(experiment.name),
        description=message(experiment.description, 600),
        subtitle=f"Run of {info.created_utc[:16].replace('T', ' ')} UTC",
        notices=notices_of(evidence),
        facts=headline_facts(journal, experiment, one.plan, one.summaries, len(one.dropped)),
        targets=details.targets_table(experiment.targets),
        settings=settings_table(directed, one.targets),
        skipped=details.skipped_table(one.plan),
        figures=figures,
        figures_note=_figures_note(figures, one.summaries),
        pictures=build_pictures(one.run.path, experiment, one.plan, one.table, one.brand),
        failures=details.failures_table(journal.samples.values(), journal.failures, one.whole.settings),
        loads=details.loads_table(journal.loads),
        metrics=details.metrics_table(experiment.metrics),
        prices=details.prices_table(experiment.targets),
        method=METHOD,
        environment=details.environment_table(info.plan_hash, info.git_revision, info.versions, info.environment),
        summaries=one.summaries,
        measurements=(*_measurements(evidence), *_race(one.whole, one.dropped)),
        votes=votes_tables(one.votes),
        brand=one.brand,
        set_scores=journal.set_scores,
        shifts=one.quality.shifts,
        categories=one.quality.categories,
    )


def notices_of(evidence: Evidence) -> tuple[Notice, ...]:
    """What limits the report, gravest first."""
    one, experiment, journal, plan = evidence, evidence.experiment, evidence.journal, evidence.plan
    return _gravest_first(
        *_notices(experiment, plan, one.summaries),
        *race_notices(one.dropped, len(one.whole.settings), spared(one.whole, journal.samples, one.dropped)),
        *score_notices(one.summaries),
        *untrained_notice(one.summaries, journal.set_scores),
        *look_notices(one.quality.shifts),
        *set_notices(journal.set_scores, plan.settings, per_set(experiment.metrics)),
        *money_notices(journal.money),
        *hosted_notices(one.hosted),
        *measuring_notices(one.summaries, one.drifts),
        *_repeat_notices(one.repeats),
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


def _repeat_notices(repeats: Sequence[Repeatability]) -> list[Notice]:
    sentence = repeatability_sentence(repeats)
    return [Notice(level="info", text=sentence)] if sentence else []


def _notices(experiment: ExperimentSpec, plan: Plan, summaries: Sequence[SettingSummary]) -> tuple[Notice, ...]:
    """What limits the whole report, gravest first."""
    found: list[Notice] = []
    brand = notice(experiment.targets)
    if brand is not None:
        found.append(Notice(level="warning", text=brand))
    ok, failed = sum(s.ok for s in summaries), sum(s.failed for s in summaries)
    waiting = plan.request_count - ok - failed
    if failed and not ok:
        found.append(Notice(level="warning", text="Every sample that ran has failed: there is nothing to compare."))
    elif failed:
        share = f"{failed:,} of {count(ok + failed, 'sample')} failed; the reasons are listed under Failures."
        found.append(Notice(level="warning", text=share))
    if waiting > 0:
        text = f"Not finished: {waiting:,} of {count(plan.request_count, 'request')} have not run yet."
        found.append(Notice(level="warning", text=text))
    return tuple(found)


def _gravest_first(*found: Notice) -> tuple[Notice, ...]:
    """Warnings before what is only good to know, each in the order given."""
    return tuple(sorted(found, key=lambda one: one.level != "warning"))


def _figures_note(figures: Sequence[Figure], summaries: Sequence[SettingSummary]) -> str:
    if any(figure.name == "cost-quality" for figure in figures):
        return ""
    if not any(summary.latency for summary in summaries):
        return "There is nothing to draw: no sample is fit for timing."
    return "Cost is not drawn against quality: that needs two settings with a timing and a score."
