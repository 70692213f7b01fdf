"""Everything a report says of one run, read and computed once; what it is told in, and how it looks, is others'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from kreabench.analysis.drift import Drift, find_drifts
from kreabench.analysis.hosted import HostedSummary, summarise_hosted
from kreabench.analysis.notices import notice
from kreabench.analysis.repeatability import Repeatability
from kreabench.analysis.settings import SettingSummary, requested_by_setting, summarise
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.core.specs import ExperimentSpec, MetricSpec, TargetSpec
from kreabench.decisions.load_levels import LoadCurve, load_curves
from kreabench.decisions.sides import Side, side_of
from kreabench.drops import Standing, drops_in, sent_in, standing, told_of, without
from kreabench.metrics.table import has_direction, per_image, row_of
from kreabench.report.floors import FidelityReport, fidelity_report
from kreabench.report.journal import Journal, read_journal
from kreabench.report.quality import Quality, assess
from kreabench.report.race import in_race
from kreabench.report.repeats import repeats_of
from kreabench.report.text import visible
from kreabench.report.votes import Votes, votes_on
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.samples import Samples
from kreabench.rundir.votes import read_votes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """One run, as it is on disk now."""

    run: RunDirectory
    whole: Plan
    """With the settings that a race dropped, and the requests that a closed loop did not come to."""
    plan: Plan
    """Without them: what results are about."""
    table: pd.DataFrame
    """Samples of `plan`, see `rundir.table`."""
    dropped: Mapping[str, DropRecord]
    journal: Journal
    standing: Standing
    side: Side
    """The same, to be compared."""
    metrics: tuple[MetricSpec, ...]
    """With a score a picture."""
    summaries: tuple[SettingSummary, ...]
    quality: Quality
    fidelity: FidelityReport
    hosted: tuple[HostedSummary, ...]
    repeats: tuple[Repeatability, ...]
    drifts: tuple[Drift, ...]
    votes: Votes | None
    """None where nobody voted."""
    brand: str
    """What keeps the numbers from being real; or empty."""
    load: tuple[LoadCurve, ...] = ()
    """Of a load run."""

    @property
    def experiment(self) -> ExperimentSpec:
        return self.run.info.experiment

    @property
    def targets(self) -> dict[str, TargetSpec]:
        """By name."""
        return {target.name: target for target in self.experiment.targets}

    @property
    def directed(self) -> tuple[SettingSummary, ...]:
        """Without the metrics that mean nothing but beside the reference: these have a table of shifts."""
        return tuple(
            replace(summary, metrics=tuple(metric for metric in summary.metrics if has_direction(metric.spec)))
            for summary in self.summaries
        )


def gather(run: RunDirectory, plan: Plan, table: pd.DataFrame) -> Evidence:
    """Of `run`, whose plan and table of samples (`rundir.table`) are given.

    Raises RunDirectoryError for a damaged journal, of votes too.
    """
    experiment = run.info.experiment
    records = tuple(run.records())
    dropped = drops_in(records)
    raced = shown = without(plan, dropped)
    journal, is_drawn = read_journal(run, records, plan, shown), run.is_drawn
    samples, sent = journal.samples, sent_in(records)
    if not is_drawn:  # a level that goes on may come to all of its requests
        shown = told_of(plan, samples, dropped, sent)
    side = side_of(run, shown, _samples(run, table, journal, dropped), experiment.name)
    table = in_race(table, dropped)
    metrics = per_image(experiment.metrics)
    return Evidence(
        run=run,
        whole=plan,
        plan=shown,
        table=table,
        dropped=dropped,
        journal=journal,
        standing=standing(plan, samples, dropped, sent, is_drawn=is_drawn),
        side=side,
        metrics=metrics,
        summaries=summarise(
            table,
            shown.settings,
            metrics,
            requested=requested_by_setting(shown),
            bounds={spec.name: row.range for spec in metrics if (row := row_of(spec)) is not None},
        ),
        quality=assess(table, shown.settings, metrics),
        fidelity=fidelity_report(side, experiment),
        hosted=summarise_hosted(table, [target.name for target in experiment.targets if target.hosted]),
        repeats=tuple(repeats_of(run, table, journal.samples)),
        # Under load latencies shall move.
        drifts=() if experiment.traffic is not None else find_drifts(table, journal.loads),
        votes=votes_on(read_votes(run.path), shown.settings, table, metrics),
        brand=visible(notice(experiment.targets) or ""),
        # Of all that was planned: what a closed loop did not come to says whether it was cut short.
        load=load_curves(raced, records, table, [spec for spec in metrics if has_direction(spec)], is_drawn=is_drawn),
    )


def _samples(run: RunDirectory, table: pd.DataFrame, journal: Journal, dropped: Mapping[str, DropRecord]) -> Samples:
    """As `rundir.samples.samples_of`, of journals that were read already."""
    return Samples(
        frame=table,
        identities=journal.identities,
        loads=journal.loads,
        drops=tuple(dropped.values()),
        floor_scores=tuple(run.floor_scores()),
    )
