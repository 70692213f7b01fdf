"""What happened in a run, as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from kreabench.analysis.drift import find_drifts
from kreabench.analysis.hosted import summarise_hosted
from kreabench.analysis.money import summarise_money, with_scores
from kreabench.analysis.notices import notice
from kreabench.analysis.settings import MetricSummary, SettingSummary, requested_by_setting, summarise
from kreabench.cli.terminal import SHOWN_SETTINGS, make_table, print_skipped, say
from kreabench.core.planned import Plan, Setting
from kreabench.core.records import SampleRecord, SetScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import per_image, per_set
from kreabench.pricing import list_prices
from kreabench.report.format import ABSENT, MIB, general, significant, usd
from kreabench.report.hosted import hosted_notices, money_lines, money_notices
from kreabench.report.measurements import measuring_notices, repeatability_sentence
from kreabench.report.quality import assess, look_notices
from kreabench.report.repeats import repeats_of
from kreabench.report.sets import set_notices, set_scores_of, set_value
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from kreabench.scoring.summary import ScoringSummary

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN_FAILURES = 10
"""Kinds of failure that are printed; the report has all."""
METRICS_ACROSS = 4
"""Columns of scores that fit a terminal; more of them get tables of their own."""


def print_settings(out: Console, run: RunDirectory, plan: Plan, table: DataFrame) -> None:
    """What happened by the table of samples, a table for each target and size and a line for each setting."""
    metrics = per_image(run.info.experiment.metrics)
    summaries = summarise(table, plan.settings, metrics, requested=requested_by_setting(plan))
    shown = summaries[:SHOWN_SETTINGS]
    axes = _varying_axes(plan.settings)
    groups: dict[str, list[SettingSummary]] = {}
    for summary in shown:
        setting = summary.setting
        groups.setdefault(f"{setting.target}, {setting.width} × {setting.height} px", []).append(summary)
    for heading, members in groups.items():
        say(out, heading, "bold")
        out.print(_settings_table(members, axes, metrics if len(metrics) <= METRICS_ACROSS else ()))
        if len(metrics) > METRICS_ACROSS:
            for start in range(0, len(metrics), METRICS_ACROSS):
                out.print(_scores_table(members, axes, metrics[start : start + METRICS_ACROSS]))
    if len(summaries) > len(shown):
        say(out, f"… {len(summaries) - len(shown)} more settings in the report")
    if any(summary.is_reference for summary in shown):
        say(out, "(ref) fidelity is measured against this setting; ∞ pictures identical to it; — not there")
    if any(metric.untrained for summary in shown for metric in summary.metrics):
        say(out, "† untrained metric: the value shows plumbing only")
    hosted = summarise_hosted(table, [target.name for target in run.info.experiment.targets if target.hosted])
    for found in (
        *look_notices(assess(table, plan.settings, metrics).shifts),
        *hosted_notices(hosted),
        *measuring_notices(summaries, find_drifts(table)),
    ):
        say(out, f"! {found.text}", "yellow")
    _print_sets(out, run, plan)
    sentence = repeatability_sentence(repeats_of(run, table))
    if sentence:
        say(out, sentence, "bold")
    print_skipped(out, plan.skipped)


def _print_sets(out: Console, run: RunDirectory, plan: Plan) -> None:
    """A line for each setting with a value of a metric of sets; what has no value is in the report, with the reason."""
    metrics = per_set(run.info.experiment.metrics)
    scores = set_scores_of(run, plan)
    held = {(score.setting_id, score.metric): score for score in scores}
    shown = [setting for setting in plan.settings if any((setting.id, spec.name) in held for spec in metrics)]
    if shown:
        table = make_table(("sets of pictures", "l"), *((spec.name, "r") for spec in metrics))
        for setting in shown[:SHOWN_SETTINGS]:
            table.add_row(setting.label, *(_set_cell(held.get((setting.id, spec.name))) for spec in metrics))
        out.print(table)
        if len(shown) > SHOWN_SETTINGS:
            say(out, f"… {len(shown) - SHOWN_SETTINGS} more settings in the report")
    for found in set_notices(scores, plan.settings, metrics):
        say(out, f"! {found.text}", "yellow")


def _set_cell(score: SetScoreRecord | None) -> str:
    if score is None:
        return ABSENT
    value, error = set_value(score)
    return f"{value}{f' ± {error}' if error else ''}{'†' if score.untrained and score.value is not None else ''}"


def _varying_axes(settings: Sequence[Setting]) -> tuple[str, ...]:
    """Axes beside acceleration and steps in which the settings differ."""
    names = ("guidance", "strength", "num_images", "output_format", "concurrency")
    return tuple(name for name in names if len({getattr(setting, name) for setting in settings}) > 1)


def _settings_table(members: Sequence[SettingSummary], axes: Sequence[str], metrics: Sequence[MetricSpec]) -> Table:
    table = make_table(
        ("acceleration", "l"),
        ("steps", "r"),
        *((axis, "r") for axis in axes),
        ("ok", "r"),
        ("failed", "r"),
        ("median s", "r"),
        ("peak MiB", "r"),
        ("$/image", "r"),
        *((_metric_head(spec, members), "r") for spec in metrics),
    )
    for summary in members:
        table.add_row(*_summary_cells(summary, axes), *_score_cells(summary, metrics))
    return table


def _scores_table(members: Sequence[SettingSummary], axes: Sequence[str], metrics: Sequence[MetricSpec]) -> Table:
    """Scores alone, beside what tells the settings apart."""
    heads = (("acceleration", "l"), ("steps", "r"), *((axis, "r") for axis in axes))
    table = make_table(*heads, *((_metric_head(spec, members), "r") for spec in metrics))
    for summary in members:
        table.add_row(*_summary_cells(summary, axes)[: len(heads)], *_score_cells(summary, metrics))
    return table


def _metric_head(spec: MetricSpec, summaries: Sequence[SettingSummary]) -> str:
    untrained = any(metric.untrained for summary in summaries for metric in summary.metrics if metric.name == spec.name)
    return f"{spec.name}†" if untrained else spec.name


def _summary_cells(summary: SettingSummary, axes: Sequence[str]) -> list[str]:
    setting, peak = summary.setting, summary.memory
    requested = "" if summary.requested is None else f"/{summary.requested}"
    return [
        f"{setting.acceleration}{' (ref)' if summary.is_reference else ''}",
        general(setting.steps),
        *(ABSENT if getattr(setting, axis) is None else str(getattr(setting, axis)) for axis in axes),
        f"{summary.ok}{requested}",
        str(summary.failed),
        ABSENT if summary.latency is None else significant(summary.latency.value),
        ABSENT if peak is None else f"{peak.max_bytes / MIB:,.0f}",
        ABSENT if summary.cost.usd_per_image is None else significant(summary.cost.usd_per_image),
    ]


def _score_cells(summary: SettingSummary, metrics: Sequence[MetricSpec]) -> list[str]:
    names = {spec.name for spec in metrics}
    return [_metric_cell(metric) for metric in summary.metrics if metric.name in names]


def _metric_cell(metric: MetricSummary) -> str:
    if metric.mean is None:
        return "∞" if metric.infinite else ABSENT
    text = significant(metric.mean.value)
    return f"{text} ({metric.infinite} ∞)" if metric.infinite else text


def print_run(out: Console, run: RunDirectory, plan: Plan) -> None:
    """`kreabench show`: the state of a run in one page."""
    experiment = run.info.experiment
    banner = notice(experiment.targets)
    if banner:
        say(out, f"! {banner}", "bold yellow")
    print_settings(out, run, plan, join_table(run, plan))
    samples = run.samples().values()
    delivered = sum(sample.status == "ok" for sample in samples)
    failed = [sample for sample in samples if sample.status == "failed"]
    left = plan.request_count - delivered - len(failed)
    say(
        out,
        f"{experiment.name}: {delivered} of {plan.request_count} samples delivered, {len(failed)} failed, "
        f"{left} not done; begun {run.info.created_utc}",
    )
    print_money(out, run, plan)
    print_failures(out, run.path, failed)
    if left:
        say(out, f"go on with: kreabench resume {run.path}")


def print_money(out: Console, run: RunDirectory, plan: Plan) -> None:
    """What was spent, on which basis, and where the bill differs from the price list."""
    money = with_scores(summarise_money(run.records(), list_prices(plan)), run.score_lines())
    for line in money_lines(money):
        say(out, line)
    for found in money_notices(money):
        say(out, f"! {found.text}", "yellow")


def print_failures(out: Console, run_path: Path, failed: Sequence[SampleRecord]) -> None:
    """Failed samples, gathered by what went wrong, and which command tries them again."""
    errors = [sample.error for sample in failed if sample.error]
    counts = Counter((error.type, error.stage, error.message, error.remedy) for error in errors)
    for (type_, stage, message, remedy), number in counts.most_common(SHOWN_FAILURES):
        say(out, f"failed {number}: {type_} in {stage}: {message}" + (f" ({remedy})" if remedy else ""))
    if len(counts) > SHOWN_FAILURES:
        say(out, f"… {len(counts) - SHOWN_FAILURES} more kinds of failure in the report")
    again = sum(error.transient or error.fetch_again for error in errors)
    if again:
        say(out, f"{again} of these are tried again, or fetched, by: kreabench resume {run_path}")
    if len(errors) > again:
        say(out, f"{len(errors) - again} are tried again only by: kreabench resume {run_path} --retry-failed")


def print_scoring(out: Console, run_path: Path, summary: ScoringSummary) -> None:
    """What a scoring did: a row a metric, over pictures or over the settings' sets of pictures."""
    heads = ("scored", "reused", "identical", "not applicable", "failed", "left", "paid", "of")
    table = make_table(("metric", "l"), *((head, "l" if head == "of" else "r") for head in heads))
    for counts in summary.metrics:
        numbers = (counts.scored, counts.reused, counts.infinite, counts.not_applicable, counts.failed, counts.left)
        paid = usd(counts.usd) if counts.usd else ABSENT
        table.add_row(counts.metric, *map(str, numbers), paid, "settings" if counts.per == "set" else "pictures")
    out.print(table)
    for counts in summary.metrics:
        for note, number in counts.notes:
            say(out, f"{counts.metric}: {note} ({number})")
    say_failures(out, summary)
    if summary.budget_message is not None:
        say(out, scoring_stopped(run_path, summary.budget_message))


def say_failures(out: Console, summary: ScoringSummary) -> None:
    """Why metrics could not be opened, and of the others the first failure."""
    unopened = {problem.key.split(".")[1] for problem in summary.problems if problem.key.startswith("metrics.")}
    for counts in summary.metrics:
        if counts.first_failure and counts.metric not in unopened:
            say(out, f"{counts.metric}: {counts.failed} failed, the first: {counts.first_failure}")
    for problem in summary.problems:
        say(out, f"not scored: {problem}")


def scoring_stopped(run_path: Path, message: str) -> str:
    """That a metric has stopped at the budget, and how to go on."""
    return f"scoring stopped at the budget: {message} Go on with: kreabench score {run_path} --budget-usd MORE"
