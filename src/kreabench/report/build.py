"""From a run to its document: reads the run directory, summarises, and says in words what the numbers cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from kreabench.analysis.drift import find_drifts
from kreabench.analysis.hosted import HostedSummary, summarise_hosted
from kreabench.analysis.notices import notice
from kreabench.analysis.repeatability import Repeatability
from kreabench.analysis.settings import SettingSummary, requested_by_setting, summarise
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.drops import drops_of, spared, without
from kreabench.metrics.table import has_direction, per_image, per_set, row_of
from kreabench.report import details
from kreabench.report.charts import build_figures
from kreabench.report.document import Document
from kreabench.report.facts import headline_facts
from kreabench.report.figure_data import Figure
from kreabench.report.floors import fidelity_report, floors_table
from kreabench.report.format import count
from kreabench.report.hosted import hosted_notices, hosted_table, money_notices, money_table
from kreabench.report.journal import Journal, read_journal
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
from kreabench.report.quality import Quality, assess, look_notices, score_notices, untrained_notice
from kreabench.report.race import in_race, race_notices, race_table
from kreabench.report.repeats import repeats_of
from kreabench.report.sets import set_notices, set_table
from kreabench.report.settings_table import settings_table
from kreabench.report.text import message, visible
from kreabench.rundir.directory import RunDirectory


def build_document(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> Document:
    """The report of `run`, whose plan and table of samples (`rundir.table`) are given.

    Raises RunDirectoryError for a damaged journal.
    """
    experiment = run.info.experiment
    dropped = drops_of(run)
    whole, plan, table = plan, without(plan, dropped), in_race(table, dropped)
    journal = read_journal(run, whole, plan)
    hosted = summarise_hosted(table, [target.name for target in experiment.targets if target.hosted])
    metrics = per_image(experiment.metrics)
    summaries = summarise(
        table,
        plan.settings,
        metrics,
        requested=requested_by_setting(plan),
        bounds={spec.name: row.range for spec in metrics if (row := row_of(spec)) is not None},
    )
    targets = {target.name: target for target in experiment.targets}
    brand = notice(experiment.targets) or ""
    directed = tuple(map(_with_direction, summaries))
    figures = build_figures(directed, brand)
    repeats = repeats_of(run, table)
    quality = assess(table, plan.settings, metrics)
    floors = floors_table(fidelity_report(run, plan, table))
    info = run.info
    return Document(
        title=visible(experiment.name),
        description=message(experiment.description, 600),
        subtitle=f"Run of {info.created_utc[:16].replace('T', ' ')} UTC",
        notices=_gravest_first(
            *_notices(experiment, plan, summaries),
            *race_notices(dropped, len(whole.settings), spared(whole, journal.samples, dropped)),
            *score_notices(summaries),
            *untrained_notice(summaries, journal.set_scores),
            *look_notices(quality.shifts),
            *set_notices(journal.set_scores, plan.settings, per_set(experiment.metrics)),
            *money_notices(journal.money),
            *hosted_notices(hosted),
            *measuring_notices(summaries, find_drifts(table)),
            *_repeat_notices(repeats),
        ),
        facts=headline_facts(journal, experiment, plan, summaries, len(dropped)),
        targets=details.targets_table(experiment.targets),
        settings=settings_table(directed, targets),
        skipped=details.skipped_table(plan),
        figures=figures,
        figures_note=_figures_note(figures, summaries),
        pictures=build_pictures(run.path, experiment, plan, table, brand),
        failures=details.failures_table(journal.samples.values(), journal.failures, whole.settings),
        loads=details.loads_table(journal.loads),
        metrics=details.metrics_table(experiment.metrics),
        prices=details.prices_table(experiment.targets),
        method=METHOD,
        environment=details.environment_table(info.plan_hash, info.git_revision, info.versions, info.environment),
        summaries=summaries,
        measurements=(
            *_measurements(experiment, plan, journal, summaries, quality, repeats, hosted, floors),
            *_race(whole, dropped),
        ),
        brand=brand,
        set_scores=journal.set_scores,
        shifts=quality.shifts,
        categories=quality.categories,
    )


def _with_direction(summary: SettingSummary) -> SettingSummary:
    """Without the metrics that mean nothing but beside the reference: these have a table of shifts."""
    return replace(summary, metrics=tuple(metric for metric in summary.metrics if has_direction(metric.spec)))


def _measurements(
    experiment: ExperimentSpec,
    plan: Plan,
    journal: Journal,
    summaries: Sequence[SettingSummary],
    quality: Quality,
    repeats: Sequence[Repeatability],
    hosted: Sequence[HostedSummary],
    floors: Table | None,
) -> tuple[tuple[str, Table], ...]:
    tables = (
        ("Fidelity beside its noise floor", floors),
        *quality.tables,
        ("Sets of pictures", set_table(journal.set_scores, plan.settings, per_set(experiment.metrics))),
        ("Money", money_table(journal.money)),
        ("Hosted service", hosted_table(hosted)),
        ("Work and floor", work_table(summaries, journal.loads)),
        ("Device", device_table(summaries)),
        ("First calls", first_calls_table(journal.warmups, journal.samples.values(), summaries)),
        ("Repeatability", repeatability_table(repeats, plan.settings)),
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
