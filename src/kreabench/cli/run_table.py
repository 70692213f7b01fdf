"""What happened in a run, as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from kreabench.analysis.notices import notice
from kreabench.analysis.settings import SettingSummary, requested_by_setting, summarise
from kreabench.cli.terminal import SHOWN_SETTINGS, make_table, print_skipped, say
from kreabench.core.records import SampleRecord
from kreabench.core.specs import MetricSpec, Plan
from kreabench.report.format import ABSENT, MIB, estimate, significant
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import read_table, rebuild_table
from kreabench.scoring import ScoringSummary


def print_settings(out: Console, run: RunDirectory, plan: Plan) -> None:
    """One line a setting: what happened."""
    metrics = run.info.experiment.metrics
    summaries = summarise(read_table(run), plan.settings, metrics, requested=requested_by_setting(plan))
    table = make_table(
        ("target", "l"),
        ("acceleration", "l"),
        ("steps", "r"),
        ("size", "r"),
        ("ok", "r"),
        ("failed", "r"),
        ("median s", "r"),
        ("peak MiB", "r"),
        ("$/image", "r"),
        *((_metric_head(spec, summaries), "r") for spec in metrics),
    )
    shown = summaries if len(summaries) <= SHOWN_SETTINGS else summaries[:SHOWN_SETTINGS]
    for summary in shown:
        table.add_row(*_summary_cells(summary))
    out.print(table)
    if len(summaries) > len(shown):
        say(out, f"… {len(summaries) - len(shown)} more settings in the report")
    print_skipped(out, plan.skipped)


def _metric_head(spec: MetricSpec, summaries: Sequence[SettingSummary]) -> str:
    untrained = any(metric.untrained for summary in summaries for metric in summary.metrics if metric.name == spec.name)
    return f"{spec.name}*" if untrained else spec.name


def _summary_cells(summary: SettingSummary) -> list[str]:
    setting = summary.setting
    requested = "" if summary.requested is None else f"/{summary.requested}"
    peak = summary.memory
    cells = [
        setting.target,
        f"{setting.acceleration}{' (reference)' if summary.is_reference else ''}",
        str(setting.steps),
        f"{setting.width}×{setting.height}",
        f"{summary.ok}{requested}",
        str(summary.failed),
        ABSENT if summary.latency is None else estimate(summary.latency)[0],
        ABSENT if peak is None else f"{peak.max_bytes / MIB:,.0f}",
        ABSENT if summary.cost.usd_per_image is None else significant(summary.cost.usd_per_image),
    ]
    for metric in summary.metrics:
        if metric.mean is not None:
            text = estimate(metric.mean)[0]
            cells.append(f"{text} ({metric.infinite} ∞)" if metric.infinite else text)
        else:
            cells.append("∞" if metric.infinite else ABSENT)
    return cells


def print_run(out: Console, run: RunDirectory, plan: Plan) -> None:
    """`kreabench show`: the state of a run in one page."""
    experiment = run.info.experiment
    banner = notice(experiment.targets)
    if banner:
        say(out, f"! {banner}", "bold yellow")
    rebuild_table(run, plan)
    print_settings(out, run, plan)
    samples = run.samples().values()
    delivered = sum(sample.status == "ok" for sample in samples)
    failed = [sample for sample in samples if sample.status == "failed"]
    left = plan.request_count - delivered - len(failed)
    say(
        out,
        f"{experiment.name}: {delivered} of {plan.request_count} samples delivered, {len(failed)} failed, "
        f"{left} not done; begun {run.info.created_utc}",
    )
    print_failures(out, failed)
    if left:
        say(out, f"go on with: kreabench resume {run.path}")


def print_failures(out: Console, failed: Sequence[SampleRecord]) -> None:
    """Failed samples, gathered by what went wrong."""
    counts = Counter((s.error.type, s.error.stage, s.error.message, s.error.remedy) for s in failed if s.error)
    for (type_, stage, message, remedy), number in counts.most_common(10):
        say(out, f"failed {number}: {type_} in {stage}: {message}" + (f" ({remedy})" if remedy else ""))


def print_scoring(out: Console, summary: ScoringSummary) -> None:
    """What a scoring pass did."""
    table = make_table(
        ("metric", "l"), ("scored", "r"), ("reused", "r"), ("identical", "r"), ("not applicable", "r"), ("failed", "r")
    )
    for counts in summary.metrics:
        numbers = (counts.scored, counts.reused, counts.infinite, counts.not_applicable, counts.failed)
        table.add_row(counts.metric, *map(str, numbers))
    out.print(table)
    for problem in summary.problems:
        say(out, f"not scored: {problem}")
