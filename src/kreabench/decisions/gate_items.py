"""Checks of a policy made ready to be decided: what each means in a comparison, and how large its margin is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from kreabench.analysis.items import cost_item, rate_item, score_item
from kreabench.analysis.margins import margin_of
from kreabench.analysis.outcomes import Item, Sides
from kreabench.analysis.paired import PairedScores
from kreabench.core.policies import COSTS, RATES, CheckSpec, MarginSpec, PolicySpec
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparison import (
    Comparison,
    CostComparison,
    MetricComparison,
    RateComparison,
    SettingComparison,
)
from kreabench.decisions.sides import Side
from kreabench.metrics.table import has_direction, row_of


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """A check of one pair of settings before its judgement, or why there is none."""

    spec: CheckSpec
    item: Item | None
    """None where it is left out."""
    why_left_out: str = ""
    compared: MetricComparison | CostComparison | RateComparison | None = None
    """None where it was not measured on both sides."""
    margin: float | None = None
    """Of a metric in its unit, of a cost relative, of a rate in shares; None where it is not known."""
    margin_error: float = 0.0
    """Standard error of the margin of a metric that is itself estimated."""


def prepare(comparison: Comparison, setting: SettingComparison, policy: PolicySpec) -> Iterator[Prepared]:
    """Every check of `policy` for one pair of settings: metrics, then costs, then rates."""
    checks = _metric_checks(comparison, policy)
    for check in checks:
        yield _prepare_metric(comparison, setting, check, policy)
    yield from _not_asked(comparison, policy, {check.name for check in checks})
    named = {check.name: check for check in policy.checks}
    for cost in setting.costs:
        if cost.quantity in named:
            yield _prepare_cost(setting, cost, named[cost.quantity], policy)
    for rate in setting.rates:
        if rate.quantity in named:
            yield _prepare_rate(setting, rate, named[rate.quantity], policy)


def _metric_checks(comparison: Comparison, policy: PolicySpec) -> list[CheckSpec]:
    """Those named, in the order of the policy, then every other metric of either side that has a better side."""
    checks = [check for check in policy.checks if check.name not in (*COSTS, *RATES)]
    if policy.every_metric is not None:
        taken = {check.name for check in policy.checks}
        others = [name for name, spec in _specs(comparison).items() if name not in taken and has_direction(spec)]
        checks += [replace(policy.every_metric, name=name) for name in others]
    return checks


def _specs(comparison: Comparison) -> dict[str, MetricSpec]:
    """Every metric of either side."""
    return {spec.name: spec for side in (comparison.candidate, comparison.base) for spec in side.metrics}


def _not_asked(comparison: Comparison, policy: PolicySpec, judged: Collection[str]) -> Iterator[Prepared]:
    """Metrics that a policy does not mean, though it means every metric, or none that has no better side."""
    why = "the policy does not name it" + (", and it has no better side" if policy.every_metric else "")
    for name in _specs(comparison):
        if name not in judged:
            check = CheckSpec(name=name, margin=MarginSpec(kind="absolute", value=0.0), required=False)
            yield Prepared(spec=check, item=None, why_left_out=why)


def _prepare_metric(
    comparison: Comparison, setting: SettingComparison, check: CheckSpec, policy: PolicySpec
) -> Prepared:
    compared = next((metric for metric in setting.metrics if metric.spec.name == check.name), None)
    missing = _missing(comparison, setting, check.name)
    if missing or compared is None:
        remedy = "; kreabench score RUN --metrics … makes scores" if check.required else ""
        return _not_measured(check, f"{missing or 'not measured on both sides'}{remedy}")
    if _means_nothing_here(setting, compared):
        why = "it is measured against the reference, and one of both settings is the reference"
        return Prepared(spec=check, item=None, why_left_out=why)
    if compared.scores.blind and not check.required:
        return Prepared(spec=check, item=None, why_left_out="all scores are equal: the metric saw nothing")
    margin = margin_of(check.margin, compared.scores.base, compared.scores.prompts, compared.noise)
    item = score_item(
        _with_unpaired(setting, compared.scores),
        better=compared.better,
        margin=0.0 if margin.unknown else margin,
        sides=check.sides,
        level=policy.level,
        min_prompts=policy.min_prompts,
        max_unpaired_share=policy.max_unpaired_share,
        identical=_identical(setting),
    )
    if item.obstacle and not compared.scores.blind and compared.reasons:
        item = replace(item, obstacle=f"{item.obstacle} ({compared.reasons[0]})")
    if margin.unknown and not item.identical:
        item = replace(item, obstacle=item.obstacle or margin.unknown)
    return Prepared(
        spec=_with_sides(check, item.sides),
        item=item,
        compared=compared,
        margin=None if margin.unknown else margin.value,
        margin_error=margin.error,
    )


def _identical(setting: SettingComparison) -> bool:
    return setting.identical == setting.pairs > 0 and not setting.resized


def _missing(comparison: Comparison, setting: SettingComparison, name: str) -> str:
    """Which side lacks the metric; empty where none does."""
    sides: list[tuple[str, Side]] = [("base", comparison.base), ("candidate", comparison.candidate)]
    without = [word for word, side in sides if name not in {spec.name for spec in side.metrics}]
    if len(without) == 2:
        return "measured on neither side"
    return f"not measured on the {without[0]}'s side" if without else ""


def _means_nothing_here(setting: SettingComparison, compared: MetricComparison) -> bool:
    """Whether a side is the reference that the metric measures against, so that it has no score of itself."""
    row = row_of(compared.spec)
    is_reference = any(side.reference_id == side.id for side in (setting.base, setting.candidate))
    return row is not None and row.needs_reference and is_reference and not compared.scores.prompts


def _with_unpaired(setting: SettingComparison, scores: PairedScores) -> PairedScores:
    """With every picture that has no partner, or one of another size, among those left out."""
    left = scores.left_out
    unsaid = setting.pairs + len(setting.unpaired) - int(scores.pairs.sum()) - left.total
    if unsaid <= 0:
        return scores
    of_candidate = min(sum(row.side == "candidate" and row.image_index is not None for row in setting.unpaired), unsaid)
    counted = replace(
        left, base_only=left.base_only + unsaid - of_candidate, candidate_only=left.candidate_only + of_candidate
    )
    return replace(scores, left_out=counted)


def _survivors(setting: SettingComparison, policy: PolicySpec) -> str:
    """Why what was delivered on both sides is no fair choice: what fails may be what is slow, dear or bad."""
    alone, of = setting.delivered_alone, setting.delivered
    if alone <= policy.max_unpaired_share * of:
        return ""
    return (
        f"{alone} requests were delivered on one side alone ({alone / of:.1%} of them, at most "
        f"{policy.max_unpaired_share:.1%}): those that are left are no fair choice"
    )


def _prepare_cost(setting: SettingComparison, cost: CostComparison, check: CheckSpec, policy: PolicySpec) -> Prepared:
    if cost.base is None or cost.candidate is None:
        return _not_measured(check, _lacks(cost.base is None, cost.candidate is None))
    item = cost_item(
        cost.ratio,
        margin=check.margin.value,
        sides=check.sides,
        level=policy.level,
        min_prompts=policy.min_prompts,
        obstacle=cost.obstacle or _survivors(setting, policy),
    )
    return Prepared(spec=check, item=item, compared=cost, margin=check.margin.value)


def _prepare_rate(setting: SettingComparison, rate: RateComparison, check: CheckSpec, policy: PolicySpec) -> Prepared:
    if not rate.base_n or not rate.candidate_n:
        return _not_measured(check, _lacks(not rate.base_n, not rate.candidate_n))
    of_requests = rate.quantity == "failure_rate"
    item = rate_item(
        rate.base_count,
        rate.base_n,
        rate.candidate_count,
        rate.candidate_n,
        prompts=rate.prompts,
        margin=check.margin.value,
        sides=check.sides,
        level=policy.level,
        min_prompts=policy.min_prompts,
        independent=of_requests,
        obstacle=rate.obstacle,
    )
    if not of_requests:
        item = replace(item, bar=_survivors(setting, policy))  # pictures that are bad are bad, however many failed
        counts_agree = (rate.base_count, rate.base_n) == (rate.candidate_count, rate.candidate_n)
        if item.evidence and counts_agree and _identical(setting) and not setting.unpaired:
            item = replace(item, evidence=None, identical=True)
    return Prepared(spec=check, item=item, compared=rate, margin=check.margin.value)


def _lacks(base: bool, candidate: bool) -> str:
    return (
        "measured on neither side"
        if base and candidate
        else f"not measured on the {'base' if base else 'candidate'}'s side"
    )


def _not_measured(check: CheckSpec, why: str) -> Prepared:
    if not check.required:
        return Prepared(spec=check, item=None, why_left_out=why)
    item = Item(evidence=None, margin=0.0, sides=check.sides, change=None, obstacle=why)
    return Prepared(spec=check, item=item)


def _with_sides(check: CheckSpec, sides: Sides) -> CheckSpec:
    return check if check.sides == sides else replace(check, sides=sides)
