"""What happened in a run, as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from kreabench.analysis.drift import find_drifts
from kreabench.analysis.hosted import summarise_hosted
from kreabench.analysis.money import summarise_money, with_scores
from kreabench.analysis.settings import SettingSummary, requested_by_setting, summarise
from kreabench.cli.setting_tables import score_columns, setting_tables
from kreabench.cli.terminal import SHOWN_SETTINGS, make_table, print_skipped, say
from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord, LoadRecord, SampleRecord
from kreabench.core.score_records import SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.drops import Standing, drops_in, samples_in, sent_in, told_of
from kreabench.metrics.table import has_direction, per_image, per_set
from kreabench.pricing import list_prices
from kreabench.report.floors import floors_sentence
from kreabench.report.format import ABSENT, count, usd
from kreabench.report.hosted import hosted_notices, money_lines, money_notices
from kreabench.report.labels import differing_axes
from kreabench.report.measurements import measuring_notices, repeatability_sentence
from kreabench.report.notices import failed_score_notices
from kreabench.report.quality import look_notices, shifts_of
from kreabench.report.repeats import repeats_of
from kreabench.report.sets import set_notices, set_scores_of
from kreabench.rundir.directory import RunDirectory
from kreabench.scoring.summary import ScoringSummary

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN_FAILURES = 10
"""Kinds of failure that are printed; the report has all."""


def print_settings(out: Console, run: RunDirectory, plan: Plan, table: DataFrame) -> None:
    """What happened by the table of samples, a table for each target and size and a line for each setting.

    Settings that a race dropped are in none of it: they are listed below, with the reason.
    """
    whole, records = plan, tuple(run.records())
    dropped = drops_in(records)
    plan = told_of(plan, samples_in(records), dropped, sent_in(records))
    table = table[~table["setting_id"].isin(list(dropped))]
    metrics, of_sets = per_image(run.info.experiment.metrics), per_set(run.info.experiment.metrics)
    summaries = summarise(table, plan.settings, metrics, requested=requested_by_setting(plan))
    set_scores = set_scores_of(run, plan)
    loads = [record for record in records if isinstance(record, LoadRecord)]
    print_tables(out, summaries, set_scores, run.info.experiment.metrics)
    hosted = summarise_hosted(table, [target.name for target in run.info.experiment.targets if target.hosted])
    for found in (
        *failed_score_notices(summaries),
        *look_notices(shifts_of(table, plan.settings, metrics)),
        *set_notices(set_scores, plan.settings, of_sets),
        *hosted_notices(hosted),
        # Under load latencies shall move.
        *measuring_notices(summaries, () if run.info.experiment.traffic is not None else find_drifts(table, loads)),
    ):
        say(out, f"! {found.text}", "yellow")
    for sentence in (repeatability_sentence(repeats_of(run, table)), floors_sentence(run, plan, table)):
        if sentence:
            say(out, sentence, "bold")
    print_left_out(out, whole, dropped)


def standing_in_words(standing: Standing) -> list[str]:
    """What became of a run's requests, without those that are left."""
    parts = [f"{standing.delivered} of {standing.requests} samples delivered", f"{standing.failed} failed"]
    if standing.unanswered:
        parts.append(f"{standing.unanswered} unanswered when their level was ended")
    if standing.cut_off:
        parts.append(f"{standing.cut_off} not drawn as their level was cut short")
    if standing.dropped:
        parts.append(f"{standing.spared} spared as racing dropped {count(standing.dropped, 'setting')}")
    return parts


def print_tables(
    out: Console,
    summaries: Sequence[SettingSummary],
    set_scores: Sequence[SetScoreRecord],
    metrics: Sequence[MetricSpec],
) -> None:
    """The settings and their scores, and what the signs mean. `metrics`: all of the run."""
    of_pictures, of_sets = per_image(metrics), per_set(metrics)
    shown = summaries[:SHOWN_SETTINGS]
    axes = differing_axes([summary.setting for summary in summaries])
    columns = score_columns(shown, [spec for spec in of_pictures if has_direction(spec)], set_scores, of_sets)
    groups: dict[str, list[SettingSummary]] = {}
    for summary in shown:
        setting = summary.setting
        groups.setdefault(f"{setting.target}, {setting.width} × {setting.height} px", []).append(summary)
    for heading, members in groups.items():
        say(out, heading, "bold")
        for fitted in setting_tables(out, members, axes, columns):
            out.print(fitted)
    if len(summaries) > len(shown):
        say(out, f"… {len(summaries) - len(shown)} more settings in the report")
    _print_legend(out, shown, set_scores, of_pictures)


def print_left_out(out: Console, plan: Plan, dropped: Mapping[str, DropRecord]) -> None:
    """Points of the matrix that are none, and settings that a race dropped, each with its reason, and when."""
    print_skipped(out, plan.skipped)
    for setting in plan.settings:
        drop = dropped.get(setting.id)
        if drop is not None:
            say(out, f"dropped at look {drop.look} of {drop.looks}: {setting.label}: {drop.reason}")


def _print_legend(
    out: Console,
    shown: Sequence[SettingSummary],
    set_scores: Sequence[SetScoreRecord],
    metrics: Sequence[MetricSpec],
) -> None:
    """What the signs in the tables mean, and what is not in them."""
    if any(summary.is_reference for summary in shown):
        say(out, "(ref) fidelity is measured against this setting; ∞ pictures identical to it; — not there", wrap=True)
    untrained = any(metric.untrained for summary in shown for metric in summary.metrics)
    if untrained or any(score.untrained for score in set_scores):
        say(out, "† untrained metric: the value shows plumbing only", wrap=True)
    undirected = [spec.name for spec in metrics if not has_direction(spec)]
    if undirected:
        say(out, f"in the report, as shifts from the reference: {', '.join(undirected)}", wrap=True)


def print_money(out: Console, run: RunDirectory, plan: Plan) -> None:
    """What was spent, on which basis, and where the bill differs from the price list."""
    money = with_scores(summarise_money(run.records(), list_prices(plan)), run.score_lines())
    for line in money_lines(money):
        say(out, line)
    for found in money_notices(money):
        say(out, f"! {found.text}", "yellow")


def print_failures(
    out: Console,
    run_path: Path,
    failed: Sequence[SampleRecord],
    dropped: Collection[str] = (),
    *,
    loaded: bool = False,
) -> None:
    """Failed samples, gathered by what went wrong, and which command tries them again: none of `dropped` settings, and
    none of a load run (`loaded`), where a failure is a result."""
    errors = [sample.error for sample in failed if sample.error]
    counts = Counter((error.type, error.stage, error.message, error.remedy) for error in errors)
    for (type_, stage, message, remedy), number in counts.most_common(SHOWN_FAILURES):
        say(out, f"failed {number}: {type_} in {stage}: {message}" + (f" ({remedy})" if remedy else ""))
    if len(counts) > SHOWN_FAILURES:
        say(out, f"… {len(counts) - SHOWN_FAILURES} more kinds of failure in the report")
    # Of these only what a service may have drawn is still fetched.
    left = [s.error for s in failed if s.error and (s.error.fetch_again or not (loaded or s.setting_id in dropped))]
    again = sum(error.transient or error.fetch_again for error in left)
    if again:
        say(out, f"{again} of these are tried again, or fetched, by: kreabench resume {run_path}")
    if len(left) > again:
        say(out, f"{len(left) - again} are tried again only by: kreabench resume {run_path} --retry-failed")
    if len(errors) > len(left) and not loaded:
        say(out, f"{len(errors) - len(left)} are of settings that racing dropped, and are not tried again")


def print_scoring(out: Console, run_path: Path, summary: ScoringSummary) -> None:
    """What a scoring did: a row a metric, over pictures, the settings' sets of pictures, or pairs of a noise floor."""
    heads = ("scored", "reused", "identical", "not applicable", "failed", "left", "paid", "of")
    table = make_table(("metric", "l"), *((head, "l" if head == "of" else "r") for head in heads))
    over = {"image": "pictures", "set": "settings", "floor": "pairs"}
    for counts in (*summary.metrics, *summary.floors):
        numbers = (counts.scored, counts.reused, counts.infinite, counts.not_applicable, counts.failed, counts.left)
        paid = usd(counts.usd) if counts.usd else ABSENT
        name = f"{counts.metric}, noise floor" if counts.per == "floor" else counts.metric
        table.add_row(name, *map(str, numbers), paid, over[counts.per])
    out.print(table)
    for counts in summary.metrics:
        for note, number in counts.notes:
            say(out, f"{counts.metric}: {note} ({number})")
    say_failures(out, summary)
    if summary.budget_message is not None:
        say(out, scoring_stopped(run_path, summary.budget_message))


def say_failures(out: Console, summary: ScoringSummary) -> None:
    """Why metrics could not be opened, and of the others the first failure; what several say of one, once."""
    unopened = {problem.key.split(".")[1] for problem in summary.problems if problem.key.startswith("metrics.")}
    alike: dict[tuple[int, str], list[str]] = {}
    for counts in (*summary.metrics, *summary.floors):
        if counts.first_failure and counts.metric not in unopened:
            alike.setdefault((counts.failed, counts.first_failure), []).append(counts.metric)
    for (failed, first), names in alike.items():
        say(out, f"{', '.join(names)}: {failed} failed, the first: {first}")
    for problem in summary.problems:
        say(out, f"not scored: {problem}")


def scoring_stopped(run_path: Path, message: str) -> str:
    """That a metric has stopped at the budget, and how to go on."""
    return f"scoring stopped at the budget: {message}. Go on with: kreabench score {run_path} --budget-usd MORE"
