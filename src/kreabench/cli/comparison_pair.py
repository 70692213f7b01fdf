"""Two settings, compared, as tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from kreabench.cli.fitting import FitColumn, fitted
from kreabench.cli.terminal import say
from kreabench.decisions.comparison import Fidelity, MetricComparison, SettingComparison
from kreabench.decisions.worst import worst_prompts
from kreabench.report.comparison.words import (
    COST_NAMES,
    RATE_NAMES,
    SIGNS,
    cost_text,
    count_text,
    difference_texts,
    effect_text,
    finding,
    kinds_text,
    left_out_text,
    number_text,
    p_text,
    pair_title,
    percent_text,
    ratio_texts,
    share_text,
)
from kreabench.report.floors import FLOOR_NAMES
from kreabench.report.format import ABSENT, count, estimate
from kreabench.report.text import message, visible

SHOWN_UNPAIRED = 5


def print_pair(out: Console, two: SettingComparison, *, worst: int, everything: bool) -> None:
    """Quality, fidelity, costs, mishaps, the worst prompts, and what has no partner."""
    say(out, pair_title(two), "bold")
    said = [f"{count(two.pairs, 'pair')} of pictures"]
    said += [f"{two.identical:,} of equal files"] if two.identical else []
    said += [f"{two.resized:,} of two sizes, whose scores are not compared"] if two.resized else []
    said += [f"{two.both_failed:,} requests failed on both sides"] if two.both_failed else []
    say(out, ", ".join(said))
    out.print()
    _print_metrics(out, two)
    _print_fidelity(out, two)
    _print_costs(out, two)
    _print_rates(out, two)
    _print_worst(out, two, worst)
    _print_unpaired(out, two, everything=everything)


def _print_metrics(out: Console, two: SettingComparison) -> None:
    tested = [metric for metric in two.metrics if metric.p_value is not None]
    if tested:
        texts = [difference_texts(metric.difference) for metric in tested]

        def column(head: str, cell: Callable[[MetricComparison], str], dispensable: int = 0) -> FitColumn:
            return FitColumn(head=head, cells=[cell(metric) for metric in tested], dispensable=dispensable)

        columns = [
            FitColumn(head="metric", cells=[f"{m.spec.name} {SIGNS[m.better]}" for m in tested], side="l"),
            column("base", lambda metric: number_text(metric.base_mean), 2),
            column("candidate", lambda metric: number_text(metric.candidate_mean), 3),
            FitColumn(head="difference", cells=[text for text, _ in texts]),
            FitColumn(head="95 % interval", cells=[interval for _, interval in texts]),
            column("effect", lambda metric: effect_text(metric.effect_size), 4),
            column("better", lambda metric: percent_text(metric.share_better), 5),
            column("p Holm", lambda metric: p_text(metric.p_adjusted)),
            column("prompts", lambda metric: f"{len(metric.scores.prompts):,}", 1),
            FitColumn(head="finding", cells=[finding(metric) for metric in tested], side="l"),
        ]
        out.print(fitted(out, columns))
    _print_untested(out, two)
    for metric in two.metrics:
        if metric.p_value is not None and (text := left_out_text(metric)):
            say(out, f"{metric.spec.name} {text}")
    out.print()


def _print_untested(out: Console, two: SettingComparison) -> None:
    by_reason: dict[str, list[str]] = {}
    for metric in two.metrics:
        if metric.p_value is None:
            by_reason.setdefault(message(metric.obstacle, 160), []).append(visible(metric.spec.name))
    for reason, names in by_reason.items():
        say(out, f"not tested: {', '.join(names)}: {reason}")


def _print_fidelity(out: Console, two: SettingComparison) -> None:
    if not two.fidelity:
        return
    kinds = list(dict.fromkeys(kind for one in two.fidelity for kind in one.floors))

    columns = [
        FitColumn(head="fidelity", cells=[f"{one.spec.name} {SIGNS[one.better]}" for one in two.fidelity], side="l"),
        FitColumn(head="to the reference", cells=[_closeness(one.to_reference) for one in two.fidelity]),
        *(
            FitColumn(
                head=FLOOR_NAMES[kind], cells=[_closeness(one.floors.get(kind)) for one in two.fidelity], dispensable=n
            )
            for n, kind in enumerate(kinds, 1)
        ),
        FitColumn(head="verdict", cells=[one.verdict for one in two.fidelity], side="l"),
    ]
    out.print(fitted(out, columns))
    for reason, number in Counter(one.reason for one in two.fidelity if one.reason).items():
        say(out, f"{message(reason, 200)}{f' ({number} metrics)' if number > 1 else ''}")
    out.print()


def _closeness(one: Fidelity | None) -> str:
    if one is None or one.mean is None:
        return "∞" if one is not None and one.infinite else ABSENT
    text, interval = estimate(one.mean)
    return f"{text} ({interval})" if interval else text


def _print_costs(out: Console, two: SettingComparison) -> None:
    rows: list[tuple[str, str, str, str, str, str]] = []
    for cost in two.costs:
        if cost.base is None and cost.candidate is None:
            continue
        text, interval = ratio_texts(cost.ratio)
        medians = (cost_text(cost.quantity, cost.base), cost_text(cost.quantity, cost.candidate))
        rows.append((COST_NAMES[cost.quantity], *medians, text, interval, f"{cost.base_n:,}, {cost.candidate_n:,}"))
        for pair in cost.percentiles:
            ends = [cost_text(cost.quantity, one.value if one else None) for one in (pair.base, pair.candidate)]
            numbers = f"{cost.base_n:,}, {cost.candidate_n:,}"
            rows.append((f"  p{100 * pair.p:g}", ends[0], ends[1], "", "", numbers))
    if rows:
        heads = (("median", "l", 0), ("base", "r", 0), ("candidate", "r", 0), ("ratio", "r", 0))
        tail = (("95 % interval", "r", 0), ("n", "r", 1))
        columns = [
            FitColumn(head=head, cells=[row[place] for row in rows], side=side, dispensable=dispensable)
            for place, (head, side, dispensable) in enumerate((*heads, *tail))
        ]
        out.print(fitted(out, columns))
    _print_kinds(out, two)
    out.print()


def _print_kinds(out: Console, two: SettingComparison) -> None:
    for cost in two.costs:
        if (kinds := kinds_text(cost)) and cost.ratio:
            say(out, f"{COST_NAMES[cost.quantity]}: {kinds}", "dim")
    for reason, names in _by_reason([(cost.obstacle, COST_NAMES[cost.quantity]) for cost in two.costs]):
        say(out, f"not compared: {names}: {reason}")


def _by_reason(found: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    reasons: dict[str, list[str]] = {}
    for reason, name in found:
        if reason:
            reasons.setdefault(reason, []).append(name)
    return ((reason, ", ".join(names)) for reason, names in reasons.items())


def _print_rates(out: Console, two: SettingComparison) -> None:
    rows = [rate for rate in two.rates if rate.difference is not None]
    if rows:
        texts = [share_text(rate.difference) for rate in rows]
        columns = [
            FitColumn(head="mishaps", cells=[RATE_NAMES[rate.quantity] for rate in rows], side="l"),
            FitColumn(head="base", cells=[count_text(rate.base_count, rate.base_n) for rate in rows]),
            FitColumn(head="candidate", cells=[count_text(rate.candidate_count, rate.candidate_n) for rate in rows]),
            FitColumn(head="difference", cells=[text for text, _ in texts]),
            FitColumn(head="95 % interval", cells=[interval for _, interval in texts]),
        ]
        out.print(fitted(out, columns))
    for reason, names in _by_reason([(rate.obstacle, RATE_NAMES[rate.quantity]) for rate in two.rates]):
        say(out, f"not compared: {names}: {reason}")
    out.print()


def _print_worst(out: Console, two: SettingComparison, worst: int) -> None:
    """Of metrics with a better side; shifts are on the page."""
    for metric in two.metrics:
        if worst and metric.better != "reference" and metric.p_value is not None:
            those = worst_prompts(metric, worst)
            shown = ", ".join(f"{message(one.prompt_id, 60)} {number_text(one.difference)}" for one in those)
            say(out, f"worst by {metric.spec.name} {SIGNS[metric.better]}: {shown}")


def _print_unpaired(out: Console, two: SettingComparison, *, everything: bool) -> None:
    if two.unpaired:
        say(out, f"{count(len(two.unpaired), 'picture')} without a partner:")
        for row in two.unpaired if everything else two.unpaired[:SHOWN_UNPAIRED]:
            where = f"prompt {message(row.prompt_id, 60)}, seed {row.seed}"
            where += f", repeat {row.repeat}" if row.repeat else ""
            say(out, f"  {row.side} has {where}; on the other side: {message(row.reason, 100)}")
        if not everything and len(two.unpaired) > SHOWN_UNPAIRED:
            say(out, f"  … and {len(two.unpaired) - SHOWN_UNPAIRED:,} more; --all and --json list them")
    out.print()
