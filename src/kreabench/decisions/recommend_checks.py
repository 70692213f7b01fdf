"""What must hold of a setting, constraint by constraint: shown, refuted, or not decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate, p_in_words
from kreabench.analysis.families import holm
from kreabench.analysis.margins import Margin
from kreabench.analysis.margins import margin_of as margin_in_unit
from kreabench.analysis.outcomes import Evidence, weigh
from kreabench.analysis.power import prompts_needed
from kreabench.core.policies import Cost
from kreabench.core.questions import QualityLoss, QuestionSpec
from kreabench.decisions.recommend_evidence import Contest, Entrant, QualitySamples

CheckOutcome = Literal["holds", "fails", "open"]
DAY_S = 86_400.0
_TWO_SIDED_95 = 0.025
"""Level of `weigh` of which the interval has confidence 95 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One constraint and one setting."""

    name: str
    """A metric, a cost, or `images_per_day`."""
    outcome: CheckOutcome
    value: Estimate | None
    """What was measured, in the constraint's unit; of a metric the gain over the reference (a loss is negative)."""
    limit: float
    """In the same unit; of a metric the loss that is allowed, positive. NaN where it is not known."""
    edge: bool
    """Whether the value lies on its side of the limit but its interval does not, or there is none."""
    reason: str
    """One clause, without a full stop."""
    p_value: float | None = None
    """Of a metric, after Holm: of `it loses the margin or more` where it holds, of `it loses less` where it fails."""
    prompts_to_decide: int | None = None
    """Of a metric that is open: about so many prompts at as many seeds would decide; None where no number would."""

    @property
    def excess(self) -> float:
        """Share of the limit by which the value is beyond it; negative inside, infinite where it is not known."""
        if self.value is None or not math.isfinite(self.limit):
            return math.inf
        if self.name == "images_per_day":
            return 1 - self.value.value / self.limit
        measured = self.value.value if self.is_cost else -self.value.value
        return (
            (measured - self.limit) / self.limit if self.limit > 0 else math.copysign(math.inf, measured - self.limit)
        )

    @property
    def is_cost(self) -> bool:
        """Whether it is about a cost, not about a metric."""
        return self.name in _LIMITS or self.name == "images_per_day"


_LIMITS: Mapping[Cost, str] = {
    "latency": "max_latency_s",
    "usd_per_image": "max_usd_per_image",
    "peak_memory": "max_peak_memory_bytes",
    "energy": "max_energy_j",
}
"""Cost → field of `QuestionSpec`."""


def margin_of(loss: QualityLoss, samples: QualitySamples) -> Margin:
    """The loss that is allowed, in the metric's unit."""
    return margin_in_unit(loss.margin, samples.base, samples.names, samples.noise)


def checks_of(contest: Contest, question: QuestionSpec) -> tuple[tuple[Check, ...], ...]:
    """For each entrant all checks: costs, then metrics. Metrics are corrected by Holm over the settings."""
    by_cost = [_cost_checks(entrant, question) for entrant in contest.entrants]
    by_metric = [_quality_checks(contest, loss, question.level) for loss in question.max_quality_loss]
    return tuple((*costs, *(metric[index] for metric in by_metric)) for index, costs in enumerate(by_cost))


def cost_limits(entrant: Entrant, question: QuestionSpec) -> list[tuple[str, Cost, float]]:
    """Name of the check, the cost, and the most that it may be; images a day are a limit of the latency."""
    limits: list[tuple[str, Cost, float]] = []
    for cost, field in _LIMITS.items():
        limit = getattr(question, field)
        if limit is not None:
            limits.append((cost, cost, limit))
    if question.min_images_per_day is not None:
        setting = entrant.setting
        limits.append(
            (
                "images_per_day",
                "latency",
                DAY_S * setting.concurrency * setting.num_images / question.min_images_per_day,
            )
        )
    return limits


def is_excused(entrant: Entrant, cost: Cost) -> bool:
    """A hosted model takes no memory of ours."""
    return cost == "peak_memory" and entrant.hosted


def _cost_checks(entrant: Entrant, question: QuestionSpec) -> list[Check]:
    return [_cost_check(entrant, name, cost, limit, question) for name, cost, limit in cost_limits(entrant, question)]


def _cost_check(entrant: Entrant, name: str, cost: Cost, limit: float, question: QuestionSpec) -> Check:
    if is_excused(entrant, cost):
        return Check(
            name=name, outcome="holds", value=None, limit=limit, edge=False, reason="it is drawn with another's memory"
        )
    samples = entrant.costs[cost]
    estimate = samples.median
    if estimate is None:
        return Check(name=name, outcome="open", value=None, limit=limit, edge=False, reason="it was not measured")
    if cost == "peak_memory":
        highest = Estimate(value=float(samples.values.max()), low=None, high=None, n=estimate.n)
        inside = highest.value <= limit
        said = "within" if inside else "above"
        return Check(
            name=name,
            outcome="holds" if inside else "fails",
            value=highest,
            limit=limit,
            edge=False,
            reason=f"the highest of {estimate.n} requests, {samples.kind}, is {said} the limit",
        )
    inside = estimate.value <= limit
    edge = estimate.interval is None or (estimate.low or 0.0) <= limit < (estimate.high or 0.0)
    said = "within" if inside else "beyond"
    reason = f"the median is {said} the limit"
    if edge:
        why = "it has no interval" if estimate.interval is None else "its interval is on both sides"
        reason += f", on the edge: {why}"
    return Check(
        name=name,
        outcome="holds" if inside else "fails",
        value=_images_per_day(entrant, estimate) if name == "images_per_day" else estimate,
        limit=question.min_images_per_day or limit if name == "images_per_day" else limit,
        edge=edge,
        reason=reason,
    )


def _images_per_day(entrant: Entrant, seconds: Estimate) -> Estimate:
    images = DAY_S * entrant.setting.concurrency * entrant.setting.num_images
    return Estimate(
        value=images / seconds.value,
        low=None if seconds.high is None else images / seconds.high,
        high=None if seconds.low is None else images / seconds.low,
        n=seconds.n,
    )


def _quality_checks(contest: Contest, loss: QualityLoss, level: float) -> list[Check]:
    """One an entrant, of one metric; the family of Holm's correction is all settings that are asked about, and those
    that a race dropped by their scores."""
    samples = [entrant.quality[loss.metric] for entrant in contest.entrants]
    margins = [margin_of(loss, one) for one in samples]
    evidence = [
        weigh(one.difference, margin.parts, sides="one", level=_TWO_SIDED_95)
        if not (margin.unknown or one.obstacle) and one.difference.size > 1 and entrant.setting.id in contest.asked
        else None
        for entrant, one, margin in zip(contest.entrants, samples, margins, strict=True)
    ]
    inside = holm([None if one is None else one.p_inside for one in evidence], others=contest.dropped)
    beyond = holm([None if one is None else one.p_beyond for one in evidence], others=contest.dropped)
    tests = sum(one is not None for one in evidence) + contest.dropped
    checks = []
    for index, entrant in enumerate(contest.entrants):
        one, margin = evidence[index], margins[index]
        if one is None:
            checks.append(_untested(entrant, samples[index], loss.metric, margin))
        else:
            checks.append(
                _tested(loss.metric, margin, one, (inside[index], beyond[index]), level, tests, contest.dropped)
            )
    return checks


def _untested(entrant: Entrant, samples: QualitySamples, metric: str, margin: Margin) -> Check:
    limit = margin.value
    none = Estimate(value=0.0, low=0.0, high=0.0, n=int(np.isfinite(samples.own).sum()))
    if entrant.is_reference and none.n:
        return Check(name=metric, outcome="holds", value=none, limit=limit, edge=False, reason="it is the reference")
    if samples.identical and samples.difference.size and not samples.difference.any():
        said = "its pictures are the reference's, file for file"
        return Check(name=metric, outcome="holds", value=none, limit=limit, edge=False, reason=said)
    why = samples.obstacle
    if not why and entrant.is_reference:
        why = "none of its pictures has a score"
    why = why or margin.unknown
    return Check(name=metric, outcome="open", value=None, limit=limit, edge=False, reason=why)


def _tested(
    metric: str,
    allowed: Margin,
    evidence: Evidence,
    p: Sequence[float | None],
    level: float,
    tests: int,
    dropped: int,
) -> Check:
    inside, beyond = p
    margin = allowed.value
    value = Estimate(value=evidence.mean, low=evidence.low, high=evidence.high, n=evidence.n)
    family = f"of {tests} settings" if tests > 1 else ""
    family += f", {dropped} of them dropped" if dropped else ""
    if inside is not None and inside <= level:
        reason = f"it is shown to lose less than the margin ({', '.join(filter(None, (p_in_words(inside), family)))})"
        return Check(name=metric, outcome="holds", value=value, limit=margin, edge=False, reason=reason, p_value=inside)
    if beyond is not None and beyond <= level:
        reason = f"it is shown to lose more than the margin ({', '.join(filter(None, (p_in_words(beyond), family)))})"
        return Check(name=metric, outcome="fails", value=value, limit=margin, edge=False, reason=reason, p_value=beyond)
    needed = prompts_needed(abs(evidence.mean + margin) / evidence.sd_room, level=level / tests)
    return Check(
        name=metric,
        outcome="open",
        value=value,
        limit=margin,
        edge=False,
        reason="it is shown neither to lose less than the margin nor more",
        prompts_to_decide=None if needed is None else max(needed, evidence.n + 1),
    )
