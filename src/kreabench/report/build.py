"""From a run to its document: reads the run directory, summarises, and says in words what the numbers cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from kreabench.analysis.drift import find_drifts
from kreabench.analysis.hosted import HostedSummary, summarise_hosted
from kreabench.analysis.money import SCORES, MoneySummary, summarise_money, with_scores
from kreabench.analysis.notices import nothing_was_paid, notice
from kreabench.analysis.repeatability import Repeatability
from kreabench.analysis.settings import SettingSummary, requested_by_setting, summarise
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, FailureRecord, LoadRecord, SampleRecord, WarmupRecord
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import ExperimentSpec
from kreabench.drops import drops_of, spared, without
from kreabench.metrics.table import has_direction, per_image, per_set, row_of
from kreabench.pricing import list_prices
from kreabench.report import details
from kreabench.report.charts import build_figures
from kreabench.report.document import Document, Fact, Figure, Notice, Table
from kreabench.report.floors import FLOOR_METHOD, fidelity_report, floors_table
from kreabench.report.format import ABSENT, count, duration, usd
from kreabench.report.hosted import hosted_notices, hosted_table, money_notices, money_table
from kreabench.report.measurements import (
    device_table,
    first_calls_table,
    measuring_notices,
    repeatability_sentence,
    repeatability_table,
    work_table,
)
from kreabench.report.pictures import build_pictures
from kreabench.report.quality import SHIFT_METHOD, Quality, assess, look_notices, score_notices, untrained_notice
from kreabench.report.race import in_race, race_notices, race_table
from kreabench.report.repeats import repeats_of
from kreabench.report.sets import set_notices, set_scores_of, set_table
from kreabench.report.settings_table import settings_table
from kreabench.report.text import message, visible
from kreabench.rundir.directory import RunDirectory

METHOD = (
    "Latency is the time from the start of a request until its pictures are there, one value a request, on a monotonic "
    "clock: of a local target until they are decoded in memory, of a hosted one from when it was meant to be sent "
    "until the last byte of the last file is downloaded. Warm-ups, loads, first calls after a load, and requests that "
    "were repeated, rerouted or fetched by a later session are never in it.",
    "The interval of a median latency is exact and free of assumptions on the distribution: two order statistics "
    "that enclose the median with at least 95 % (binomial). Percentiles are given only where their upper bound "
    "exists (p90 from 29 timings, p95 from 59, p99 from 299), in settings.csv; their intervals are exact likewise.",
    "Within a load of the model the settings take turns, prompt by prompt, in a seeded random order, so that drift "
    "of the machine hits all alike.",
    "The unit of inference of a score is the prompt: a mean over prompts of each prompt's mean over its pictures, with "
    "Student's 95 % interval over prompts, cut where the metric's range ends. Intervals that overlap do not show that "
    "two settings are equal; settings share prompts and seeds, so differences are better compared prompt by prompt.",
    SHIFT_METHOD,
    FLOOR_METHOD,
    "Fidelity compares with the reference setting's picture of the same prompt and seed. A low value can mean another, "
    "equally good picture.",
    "Dollars are those of delivered samples over their pictures: as billed by the service, from the price list over "
    "delivered pixels, or the device's price an hour over the seconds of the requests fit for timing (of all, where "
    "none is). Idle time is not in them.",
    "The floor of a request is its arithmetic at the rates of a large matrix product that the device reached at load, "
    "or the reading of its weights where that takes longer, model by model. A stage of a GPU faster than its floor is "
    "flagged as a measuring error. Caches are credited with the work they did, not with what they left out.",
    "Drift is Kendall's rank correlation with time of each value against the median of its setting, within one load of "
    "a model, corrected for the number of trends looked for (Benjamini and Yekutieli); reported from p < 0.01 and 1 % "
    "(5 °C) up.",
    "A failed, missing or unscored picture is counted as such. It is never a zero, and never dropped unsaid.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Journal:
    """The journal, sorted by what the report needs of it."""

    samples: dict[str, SampleRecord]
    replaced: tuple[SampleRecord, ...]
    """Final states that a resume has overtaken; what they cost was spent all the same."""
    failures: tuple[FailureRecord, ...]
    loads: tuple[LoadRecord, ...]
    warmups: tuple[WarmupRecord, ...]
    money: MoneySummary
    set_scores: tuple[SetScoreRecord, ...]


def build_document(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> Document:
    """The report of `run`, whose plan and table of samples (`rundir.table`) are given.

    Raises RunDirectoryError for a damaged journal.
    """
    experiment = run.info.experiment
    dropped = drops_of(run)
    whole, plan, table = plan, without(plan, dropped), in_race(table, dropped)
    journal = _read(run, whole, plan)
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
        facts=_facts(journal, experiment, plan, summaries, len(dropped)),
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
    journal: _Journal,
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


def _read(run: RunDirectory, plan: Plan, shown: Plan) -> _Journal:
    """`plan` is the whole one, as what was dropped was paid for too; `shown` is what results are about."""
    records = list(run.records())
    samples: dict[str, SampleRecord] = {}
    replaced: list[SampleRecord] = []
    failures: list[FailureRecord] = []
    loads: list[LoadRecord] = []
    warmups: list[WarmupRecord] = []
    for record in records:
        if isinstance(record, SampleRecord):
            if record.request_id in samples:
                replaced.append(samples[record.request_id])
            samples[record.request_id] = record
        elif isinstance(record, FailureRecord):
            failures.append(record)
        elif isinstance(record, LoadRecord):
            loads.append(record)
        elif isinstance(record, WarmupRecord):
            warmups.append(record)
    return _Journal(
        samples=samples,
        replaced=tuple(replaced),
        failures=tuple(failures),
        loads=tuple(loads),
        warmups=tuple(warmups),
        set_scores=set_scores_of(run, shown),
        money=with_scores(summarise_money(records, list_prices(plan)), run.score_lines()),
    )


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


def _facts(
    journal: _Journal, experiment: ExperimentSpec, plan: Plan, summaries: Sequence[SettingSummary], dropped: int
) -> tuple[Fact, ...]:
    ok, failed = sum(s.ok for s in summaries), sum(s.failed for s in summaries)
    images = sum(summary.images for summary in summaries)
    left_out = [f"{len(plan.skipped)} skipped"] if plan.skipped else []
    left_out += [f"{plan.excluded} excluded"] if plan.excluded else []
    left_out += [f"{dropped} dropped by the race"] if dropped else []
    prompts, seeds, repeats = len(experiment.prompts), len(experiment.seeds), experiment.repeats
    asked = [count(prompts, "prompt"), count(seeds, "seed")] + ([count(repeats, "repeat")] if repeats > 1 else [])
    asked += [f"{experiment.passes} passes"] if experiment.passes > 1 else []
    return (
        Fact(label="Settings", value=f"{len(plan.settings):,}", detail=", ".join(left_out) or "none skipped"),
        Fact(label="Samples", value=f"{ok:,} of {plan.request_count:,}", detail=" × ".join(asked)),
        Fact(label="Pictures", value=f"{images:,}", detail="delivered"),
        Fact(label="Failed", value=f"{failed:,}", detail=_attempts(journal)),
        _spent(journal, plan),
        _time(journal),
    )


def _attempts(journal: _Journal) -> str:
    others = len(journal.failures)
    return f"samples, and {count(others, 'attempt')}" if others else "samples"


def _spent(journal: _Journal, plan: Plan) -> Fact:
    """All dollars journalled, with what bought no picture said apart, and what may be on the bill besides."""
    samples = (*journal.samples.values(), *journal.replaced)
    delivered = [s.cost.usd for s in samples if s.status == "ok" and s.cost.usd is not None]
    unsuccessful: tuple[SampleRecord | FailureRecord, ...] = (
        *(s for s in samples if s.status == "failed"),
        *journal.failures,
    )
    lost = [one.cost.usd for one in unsuccessful if one.cost.usd is not None]
    warmups = [warmup.cost.usd for warmup in journal.warmups if warmup.cost.usd is not None]
    money = journal.money
    doubt = (
        f"{count(money.unknown, 'request')} of unknown cost besides, {usd(money.unknown_usd)} by the price list"
        if money.unknown
        else ""
    )
    scores = [total.usd for total in money.totals if total.basis == SCORES]
    everything = delivered + lost + warmups + scores
    if not everything:
        return Fact(label="Spent", value=ABSENT, detail=doubt or ("nothing" if list_prices(plan) else "no price known"))
    parts = [f"warm-ups {usd(sum(warmups))}"] if warmups else []
    parts += [f"failures {usd(sum(lost))}"] if sum(lost) else []
    parts += [f"scores {usd(sum(scores))}"] if scores else []
    detail = f"of it {', '.join(parts)}" if parts else "delivered samples"
    unpaid = "nothing was paid: emulated" if nothing_was_paid(group.target for group in plan.groups) else ""
    return Fact(label="Spent", value=usd(sum(everything)), detail="; ".join(filter(None, (detail, doubt, unpaid))))


def _time(journal: _Journal) -> Fact:
    timed = [s.timings.end_to_end_s for s in journal.samples.values() if s.timings is not None]
    if not timed:
        return Fact(label="Time in requests", value=ABSENT, detail="nothing delivered")
    loads = sum(load.load_s for load in journal.loads)
    detail = f"and {duration(loads)} in {count(len(journal.loads), 'load')}" if journal.loads else ""
    return Fact(label="Time in requests", value=duration(sum(timed)), detail=detail)


def _figures_note(figures: Sequence[Figure], summaries: Sequence[SettingSummary]) -> str:
    if any(figure.name == "cost-quality" for figure in figures):
        return ""
    if not any(summary.latency for summary in summaries):
        return "There is nothing to draw: no sample is fit for timing."
    return "Cost is not drawn against quality: that needs two settings with a timing and a score."
