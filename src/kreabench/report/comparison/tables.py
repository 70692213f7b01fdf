"""The tables of a comparison, as data for every renderer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from kreabench.analysis.estimates import Estimate
from kreabench.decisions.comparison import (
    Comparison,
    CostComparison,
    Fidelity,
    MetricComparison,
    RateComparison,
    SettingComparison,
)
from kreabench.report.comparison.words import (
    COST_NAMES,
    RATE_NAMES,
    SIGNS,
    cost_text,
    cost_texts,
    count_text,
    difference_texts,
    differing,
    effect_text,
    finding,
    kinds_text,
    left_out_text,
    number_text,
    p_text,
    percent_text,
    ratio_texts,
    share_text,
    short_label,
)
from kreabench.report.floors import FLOOR_NAMES
from kreabench.report.format import ABSENT, count, estimate, shown_unit, significant
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.text import message, visible


def plain_columns(*heads: str, numeric: Sequence[str] = (), prose: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns that need no more than a title."""
    return tuple(Column(title=head, numeric=head in numeric, prose=head in prose) for head in heads)


def summary_table(comparison: Comparison) -> Table:
    """One row a pair of settings: metrics with a better side, fidelity, costs, failures, then shifts."""
    settings = comparison.settings
    axes = differing(settings) or ("target", "acceleration")
    first = settings[0]
    tested = [n for n in range(len(first.metrics)) if any(two.metrics[n].p_value is not None for two in settings)]
    directed = [n for n in tested if first.metrics[n].better != "reference"]
    shifts = [n for n in tested if n not in directed]
    faithful = list(dict.fromkeys(one.spec.name for two in settings for one in two.fidelity))
    costs = [n for n in range(len(first.costs)) if any(two.costs[n].ratio for two in settings)]
    rows = [
        Row(
            cells=(
                Cell(text=short_label(two.candidate, axes), detail=f"against {short_label(two.base, axes)}"),
                Cell(text=f"{two.pairs:,}", detail=f"{len(two.unpaired):,} unpaired" if two.unpaired else ""),
                *(_difference_cell(two.metrics[n]) for n in directed),
                *(_verdict_cell(two, name) for name in faithful),
                *(_ratio_cell(two.costs[n]) for n in costs),
                _rate_cell(two.rates[0]),
                *(_difference_cell(two.metrics[n]) for n in shifts),
            )
        )
        for two in settings
    ]
    return Table(
        columns=(
            Column(title="Setting"),
            Column(title="Pairs", note="Pictures that both have.", numeric=True),
            *(metric_column(first.metrics[n]) for n in directed),
            *(Column(title=visible(name), unit="fidelity", numeric=True) for name in faithful),
            *(Column(title=COST_NAMES[first.costs[n].quantity], unit="ratio of medians", numeric=True) for n in costs),
            Column(title="failed", unit="candidate − base", numeric=True),
            *(metric_column(first.metrics[n]) for n in shifts),
        ),
        rows=tuple(rows),
        caption="Candidate against base, one line a pair of settings, with 95 % intervals below the numbers.",
        notes=("* p after Holm is below 0.05.", *_untested(first, set(range(len(first.metrics))) - set(tested))),
    )


def _untested(first: SettingComparison, which: Collection[int]) -> Iterator[str]:
    for n in sorted(which):
        metric = first.metrics[n]
        yield f"{visible(metric.spec.name)} could not be tested at any setting: {message(metric.obstacle, 160)}."


def _verdict_cell(two: SettingComparison, name: str) -> Cell:
    for one in two.fidelity:
        if one.spec.name == name:
            cell = _fidelity_cell(one.to_reference)
            return replace(cell, remark=one.verdict, strong=one.verdict == "worse")
    return Cell(text=ABSENT, detail="not looked at", absent=True)


def metric_column(metric: MetricComparison) -> Column:
    """Head of a column of a metric."""
    brand = "untrained weights" if metric.untrained else ""
    return Column(
        title=f"{visible(metric.spec.name)}\u00a0{SIGNS[metric.better]}",
        unit=shown_unit(metric.unit),
        numeric=True,
        brand=brand,
    )


def _difference_cell(metric: MetricComparison) -> Cell:
    text, interval = difference_texts(metric.difference)
    if metric.difference is None:
        return Cell(text=ABSENT, detail="no pair", absent=True)
    sure = finding(metric) in {"better", "worse", "shifted"}
    return Cell(text=f"{text} *" if sure else text, detail=interval or "not tested", strong=sure)


def _ratio_cell(cost: CostComparison) -> Cell:
    text, interval = ratio_texts(cost.ratio)
    return Cell(text=text, detail=interval or cost.obstacle, absent=cost.ratio is None)


def _rate_cell(rate: RateComparison) -> Cell:
    text, interval = share_text(rate.difference)
    return Cell(text=text, detail=interval or rate.obstacle, absent=rate.difference is None)


def metrics_table(two: SettingComparison, family: str) -> Table | None:
    """Every metric of two settings."""
    if not two.metrics:
        return None
    numeric = ("Base", "Candidate", "Difference", "Effect", "Better", "p", "p (Holm)", "Prompts", "Pairs")
    return Table(
        columns=plain_columns("Metric", *numeric, "Finding", "Remarks", numeric=numeric, prose=("Remarks",)),
        rows=tuple(_metric_row(metric) for metric in two.metrics),
        caption="Means over prompts of the pairs; difference is candidate − base, with its 95 % interval. Effect is it "
        "over the standard deviation over prompts. Better: share of prompts, ties one half.",
        notes=(
            f"Holm's correction is over {family}.",
            "None shown is not equal: no significant difference is no proof of equality. A gate with a margin decides.",
        ),
    )


def _metric_row(metric: MetricComparison) -> Row:
    text, interval = difference_texts(metric.difference)
    what = finding(metric)
    remarks = [message(metric.obstacle, 200)]
    if metric.scores.prompts:
        remarks += [left_out_text(metric)]
        remarks += [f"seed to seed the base varies by {significant(metric.seed_sd, 2)} (SD)"] if metric.seed_sd else []
    remarks += ["untrained weights"] if metric.untrained else []
    cells = (
        Cell(text=f"{visible(metric.spec.name)} {SIGNS[metric.better]}", detail=shown_unit(metric.unit)),
        Cell(text=number_text(metric.base_mean)),
        Cell(text=number_text(metric.candidate_mean)),
        Cell(text=text, detail=interval, absent=metric.difference is None),
        Cell(text=effect_text(metric.effect_size)),
        Cell(text=percent_text(metric.share_better)),
        Cell(text=p_text(metric.p_value)),
        Cell(text=p_text(metric.p_adjusted)),
        Cell(text=f"{len(metric.scores.prompts):,}"),
        Cell(text=f"{metric.pairs:,}"),
        Cell(text=what, strong=what in {"better", "worse", "shifted"}),
        Cell(text="; ".join(filter(None, remarks))),
    )
    return Row(cells=cells)


def costs_table(two: SettingComparison) -> Table:
    """Every cost of two settings, and percentiles of latency where a side has enough timings."""
    rows = []
    for cost in two.costs:
        text, interval = ratio_texts(cost.ratio)
        cells = (
            Cell(text=COST_NAMES[cost.quantity]),
            _median_cell(cost, cost.base, cost.base_median),
            _median_cell(cost, cost.candidate, cost.candidate_median),
            Cell(text=text, detail=interval, absent=cost.ratio is None),
            Cell(text=f"{cost.base_n:,} and {cost.candidate_n:,}"),
            Cell(text="; ".join(filter(None, (kinds_text(cost), cost.obstacle)))),
        )
        rows.append(Row(cells=cells))
        rows += [_percentile_row(cost, pair.p, pair.base, pair.candidate) for pair in cost.percentiles]
    numeric = ("Base", "Candidate", "Ratio", "n")
    return Table(
        columns=plain_columns("Cost", *numeric, "Remarks", numeric=numeric, prose=("Remarks",)),
        rows=tuple(rows),
        caption="Medians with exact 95 % intervals, and the candidate's over the base's; latency and energy of samples "
        "fit for timing alone: no first call, no retry, nothing cached.",
    )


def _median_cell(cost: CostComparison, value: float | None, whole: Estimate | None) -> Cell:
    text, interval = (cost_text(cost.quantity, value), "") if whole is None else cost_texts(cost.quantity, whole)
    return Cell(text=text, detail=interval, absent=value is None)


def _percentile_row(cost: CostComparison, p: float, base: Estimate | None, candidate: Estimate | None) -> Row:
    def cell(one: Estimate | None) -> Cell:
        if one is None:
            return Cell(text=ABSENT, detail="too few timings", absent=True)
        text, interval = cost_texts(cost.quantity, one)
        return Cell(text=text, detail=interval)

    numbers = f"{cost.base_n:,} and {cost.candidate_n:,}"
    name = Cell(text=f"{COST_NAMES[cost.quantity]}, p{100 * p:g}")
    return Row(cells=(name, cell(base), cell(candidate), Cell(text=""), Cell(text=numbers), Cell(text="")))


def rates_table(two: SettingComparison) -> Table:
    """Every rate of two settings."""
    rows = []
    for rate in two.rates:
        text, interval = share_text(rate.difference)
        cells = (
            Cell(text=RATE_NAMES[rate.quantity]),
            Cell(text=count_text(rate.base_count, rate.base_n)),
            Cell(text=count_text(rate.candidate_count, rate.candidate_n)),
            Cell(text=text, detail=interval, absent=rate.difference is None),
            Cell(text=rate.obstacle),
        )
        rows.append(Row(cells=cells))
    numeric = ("Base", "Candidate", "Difference")
    return Table(
        columns=plain_columns("Mishap", *numeric, "Remarks", numeric=numeric, prose=("Remarks",)),
        rows=tuple(rows),
        caption="How often, and the difference in percentage points with Newcombe's 95 % interval.",
        notes=(f"{count(two.both_failed, 'request')} failed on both sides.",) if two.both_failed else (),
    )


def fidelity_table(two: SettingComparison) -> Table | None:
    """Closeness to the reference, beside the reference's own noise; None where it was not looked at."""
    if not two.fidelity:
        return None
    kinds = list(dict.fromkeys(kind for one in two.fidelity for kind in one.floors))
    heads = [f"Floor: {FLOOR_NAMES[kind]}" for kind in kinds]
    return Table(
        columns=plain_columns(
            *("Metric", "To the reference", *heads, "Verdict", "Why"),
            numeric=("To the reference", *heads),
            prose=("Why",),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=f"{visible(one.spec.name)} {SIGNS[one.better]}", detail=shown_unit(one.unit)),
                    _fidelity_cell(one.to_reference),
                    *(_fidelity_cell(one.floors.get(kind)) for kind in kinds),
                    Cell(text=one.verdict, strong=one.verdict == "worse"),
                    Cell(text=message(one.reason, 300)),
                )
            )
            for one in two.fidelity
        ),
        caption="How close the pictures are to the reference's, beside the reference's own noise.",
    )


def _fidelity_cell(one: Fidelity | None) -> Cell:
    if one is None:
        return Cell(text=ABSENT, detail="not measured", absent=True)
    equal = f"{one.infinite:,} of {one.pairs:,} equal" if one.infinite else ""
    if one.mean is None:
        return Cell(text="∞", detail=equal) if equal else Cell(text=ABSENT, detail="no score", absent=True)
    text, interval = estimate(one.mean)
    return Cell(text=text, detail=interval or "", remark=equal)
