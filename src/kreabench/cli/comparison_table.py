"""A comparison as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from kreabench.cli.comparison_pair import print_pair
from kreabench.cli.fitting import FitColumn, tables
from kreabench.cli.terminal import say
from kreabench.decisions.comparison import Comparison, MetricComparison, SettingComparison
from kreabench.report.comparison.answer import counts_sentence
from kreabench.report.comparison.words import (
    COST_NAMES,
    SIGNS,
    alone_lines,
    count_text,
    difference_texts,
    differing,
    finding,
    forced_lines,
    ratio_texts,
    short_label,
)
from kreabench.report.format import ABSENT, count, decimals, estimate
from kreabench.report.text import message, visible

DETAILED = 3
"""Pairs of settings that are printed in full."""
SHOWN_VERSIONS = 10
LEAST_PLAIN = 1e-4
"""Differences below it are shown with a power of ten."""


def print_comparison(out: Console, comparison: Comparison, *, worst: int, everything: bool) -> None:
    """What limits it, then each pair of settings in full, or of many a line each."""
    _print_head(out, comparison)
    settings = comparison.settings
    if len(settings) > 1:
        _print_summary(out, comparison)
    if everything or len(settings) <= DETAILED:
        for two in settings:
            print_pair(out, two, worst=worst, everything=everything)
    else:
        _print_unpaired_counts(out, settings)
        say(out, "For details of some, select them, RUN:acceleration=high,steps=8, or use --all or --out.", "dim")
    say(
        out,
        f"Differences are candidate − base, means over prompts, with 95 % intervals. Holm is over {comparison.family}.",
    )
    say(out, "A difference that is not shown is not equality: only a gate with a margin shows that nothing got worse.")


def _print_head(out: Console, comparison: Comparison) -> None:
    alone = comparison.base is comparison.candidate
    sides = [("run", comparison.base)] if alone else [("base", comparison.base), ("candidate", comparison.candidate)]
    for label, side in sides:
        say(out, f"{label:<10} {side.name} (run of {side.created_utc[:16].replace('T', ' ')} UTC)", "bold")
    for line in forced_lines(comparison):
        say(out, line, "bold yellow")
    for line in (*comparison.caveats, *alone_lines(comparison)):
        say(out, line, "yellow")
    for one in comparison.versions[:SHOWN_VERSIONS]:
        say(out, f"differs: {one.name} {message(one.base or '—', 60)} → {message(one.candidate or '—', 60)}")
    if len(comparison.versions) > SHOWN_VERSIONS:
        say(out, f"… {len(comparison.versions) - SHOWN_VERSIONS} more differ; --out and --json have all")
    out.print()


def _print_summary(out: Console, comparison: Comparison) -> None:
    settings = comparison.settings
    axes = differing(settings) or ("acceleration", "steps")
    # The base differs from its candidate in these alone: naming them says which base is meant.
    between = tuple(a for a in axes if any(getattr(two.base, a) != getattr(two.candidate, a) for two in settings))
    against = [short_label(two.base, between) for two in settings]
    lead = [FitColumn(head="setting", cells=[short_label(two.candidate, axes) for two in settings], side="l")]
    if len(set(against)) > 1:
        lead.append(FitColumn(head="against", cells=against, side="l"))
    elif against[0]:
        say(out, f"{count(len(settings), 'setting')}, each against {against[0]}:", "bold")
    for table in tables(out, lead, _summary_columns(settings)):
        out.print(table)
        out.print()
    counts = counts_sentence(settings)
    if counts:
        say(out, f"{counts} * p after Holm < 0.05; ± to the end of the 95 % interval.")
    _print_still(out, settings)
    out.print()


def _summary_columns(settings: Sequence[SettingComparison]) -> list[FitColumn]:
    columns = [FitColumn(head="pairs", cells=[f"{two.pairs:,}" for two in settings])]
    shifts = []
    for index, first in enumerate(settings[0].metrics):
        metrics = [two.metrics[index] for two in settings]
        column = FitColumn(head=f"{first.spec.name} {SIGNS[first.better]}", cells=[*map(_with_spread, metrics)])
        if first.better != "reference" and any(metric.p_value is not None for metric in metrics):
            columns.append(column)
        elif any(finding(metric) == "shifted" for metric in metrics):
            shifts.append(column)
    for name in dict.fromkeys(one.spec.name for two in settings for one in two.fidelity):
        columns.append(FitColumn(head=f"{name} fidelity", cells=[_verdict(two, name) for two in settings]))
    for index, cost in enumerate(settings[0].costs):
        ratios = [" ".join(filter(None, _in_brackets(*ratio_texts(two.costs[index].ratio)))) for two in settings]
        if any(two.costs[index].ratio for two in settings):
            columns.append(FitColumn(head=f"{COST_NAMES[cost.quantity]} ratio", cells=ratios))
    if any(two.rates[0].base_count or two.rates[0].candidate_count for two in settings):
        failed = [count_text(two.rates[0].candidate_count, two.rates[0].candidate_n) for two in settings]
        columns.append(FitColumn(head="failed", cells=failed))
    return columns + shifts


def _verdict(two: SettingComparison, name: str) -> str:
    for one in two.fidelity:
        if one.spec.name == name:
            mean = one.to_reference.mean
            return f"{ABSENT if mean is None else estimate(mean)[0]} ({one.verdict})"
    return ABSENT


def _print_still(out: Console, settings: Sequence[SettingComparison]) -> None:
    """Metrics without a column: no shift was shown, or nothing could be tested."""
    quiet: list[str] = []
    untested: dict[str, list[str]] = {}
    for index, first in enumerate(settings[0].metrics):
        found = {finding(two.metrics[index]) for two in settings}
        if found == {"not tested"}:
            untested.setdefault(message(first.obstacle, 160), []).append(visible(first.spec.name))
        elif first.better == "reference" and "shifted" not in found:
            quiet.append(visible(first.spec.name))
    if quiet:
        say(out, f"No shift shown at any setting: {', '.join(quiet)}.")
    for reason, names in untested.items():
        say(out, f"Not tested: {', '.join(names)}: {reason}.")


def _with_spread(metric: MetricComparison) -> str:
    value = metric.difference
    if value is None or value.interval is None:
        return difference_texts(value)[0]
    spread = max(value.value - value.interval[0], value.interval[1] - value.value)
    mark = "*" if finding(metric) in {"better", "worse", "shifted"} else " "
    if max(abs(value.value), spread) < LEAST_PLAIN:
        return f"{value.value:+.1e} ±{spread:.1e}{mark}"
    places = decimals(spread, 2)
    return f"{value.value:+,.{places}f} ±{spread:,.{places}f}{mark}"


def _in_brackets(text: str, interval: str) -> tuple[str, str]:
    return text, f"({interval})" if interval else ""


def _print_unpaired_counts(out: Console, settings: Sequence[SettingComparison]) -> None:
    reasons = Counter(row.reason for two in settings for row in two.unpaired)
    if reasons:
        why = ", ".join(f"{number:,} {message(reason, 80)}" for reason, number in reasons.most_common(4))
        say(out, f"{count(reasons.total(), 'picture')} without a partner: {why}; --all and --json list them")
