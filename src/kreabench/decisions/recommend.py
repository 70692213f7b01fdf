"""The answer to a question: which setting to use, how sure that is, and what stands in the way of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.paired import Floats
from kreabench.analysis.resampling import DRAWS, prompt_weights, resampled_means, resampled_medians
from kreabench.core.policies import COSTS, Cost
from kreabench.core.questions import Objective, QuestionSpec
from kreabench.decisions.costs import ratio_of
from kreabench.decisions.recommend_checks import Check, checks_of, cost_limits, is_excused, margin_of
from kreabench.decisions.recommend_evidence import Contest, Entrant

Standing = Literal["qualifies", "does not", "not decided"]
FEW_PROMPTS = 6
"""Below it a probability from resampled prompts means little."""
SEED = 0
"""Of the resamples: the same run gives the same probabilities."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Verdict:
    """One setting."""

    entrant: Entrant
    standing: Standing
    checks: tuple[Check, ...]
    objective: Estimate | None
    """What shall be least or best; None where it was not measured."""
    probability: float | None
    """Share of the resamples of the prompts in which it is the answer, by the point estimates."""

    @property
    def open_checks(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome == "open")

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome == "fails")

    @property
    def prompts_to_decide(self) -> int | None:
        """About how many prompts decide all that is open; None where no number of them would."""
        needed = [check.prompts_to_decide for check in self.open_checks]
        return None if None in needed else max((n for n in needed if n is not None), default=None)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recommendation:
    """The whole decision."""

    question: QuestionSpec
    prompts: int
    draws: int
    verdicts: tuple[Verdict, ...]
    """Of the settings asked about, in the order of the plan."""
    ranked: tuple[Verdict, ...]
    """The same, the best by the objective first."""
    answer: Verdict | None
    runner_up: Verdict | None
    undecided_but_better: tuple[Verdict, ...]
    """Settings that are not decided and would be the answer in place of `answer`, the best first."""
    nearest: Verdict | None
    """Where there is no answer: the setting that is the least beyond a constraint."""
    p_none: float | None
    """Share of the resamples in which no setting meets all constraints, by the point estimates. None, as are all
    probabilities, where a setting's allowed loss is not known (it might have been the answer), and with one prompt."""


def recommend(contest: Contest, question: QuestionSpec, *, draws: int = DRAWS) -> Recommendation:
    """Decide. `draws` resamples of the prompts say how sure the answer is; with 0 it is not said."""
    checks = checks_of(contest, question)
    objectives = [objective_of(contest, entrant, question) for entrant in contest.entrants]
    order = _order(contest, question, objectives)
    judged = not any(math.isnan(check.limit) for one in checks for check in one if check.outcome == "open")
    can_say = draws > 0 and judged and len(contest.prompts) > 1
    shares = _shares(contest, question, order, draws) if can_say else {}
    verdicts = {
        entrant.setting.id: Verdict(
            entrant=entrant,
            standing=_standing(checks[index], objectives[index]),
            checks=checks[index],
            objective=objectives[index],
            probability=shares.get(entrant.setting.id),
        )
        for index, entrant in enumerate(contest.entrants)
        if entrant.setting.id in contest.asked
    }
    ranked = [verdicts[id_] for id_ in order]
    qualified = [verdict for verdict in ranked if verdict.standing == "qualifies"]
    answer = qualified[0] if qualified else None
    ahead = ranked if answer is None else ranked[: ranked.index(answer)]
    return Recommendation(
        question=question,
        prompts=len(contest.prompts),
        draws=draws,
        verdicts=tuple(verdicts.values()),
        ranked=tuple(ranked),
        answer=answer,
        runner_up=qualified[1] if len(qualified) > 1 else None,
        undecided_but_better=tuple(v for v in ahead if v.standing == "not decided" and v.objective is not None),
        nearest=None if answer is not None else _nearest(ranked),
        p_none=1 - sum(shares.values()) if shares else None,
    )


def objective_of(contest: Contest, entrant: Entrant, question: QuestionSpec) -> Estimate | None:
    """What the question wants least or best, of one setting."""
    if question.objective == "quality":
        return quality_level(contest, entrant, question.quality_metric or "")
    return entrant.costs[question.objective].median


def quality_level(contest: Contest, entrant: Entrant, metric: str) -> Estimate | None:
    """The metric's level at a setting, in its unit: the reference's mean over all prompts and the paired difference.

    A prompt that the setting lacks so moves nothing. Without a reference, its own mean. No interval: how sure a level
    is says little of a difference between settings that share their prompts.
    """
    means = quality_means(contest, entrant, metric, np.ones((1, len(contest.prompts))))
    if math.isnan(means[0]):
        return None
    samples = entrant.quality[metric]
    n = samples.difference.size or int(np.isfinite(samples.own).sum())
    return Estimate(value=float(means[0]), low=None, high=None, n=n)


def quality_means(contest: Contest, entrant: Entrant, metric: str, weights: Floats) -> Floats:
    """(draws,) level of the metric with the prompts weighted by `weights` (draws, prompts); NaN where it has none."""
    samples = entrant.quality[metric]
    reference = contest.of(entrant.setting.reference_id)
    if reference is None or not samples.difference.size:
        return _own_means(samples.own, weights)
    base = _own_means(reference.quality[metric].own, weights)
    return base + contest.metrics[metric].sign * resampled_means(samples.difference, samples.prompts, weights)


def _own_means(own: Floats, weights: Floats) -> Floats:
    there = np.flatnonzero(np.isfinite(own))
    return resampled_means(own[there], there, weights)


def resampled_objective(contest: Contest, entrant: Entrant, axis: Objective, metric: str, weights: Floats) -> Floats:
    """(draws,) a cost's median or the metric's level over the resampled prompts."""
    if axis == "quality":
        return quality_means(contest, entrant, metric, weights)
    samples = entrant.costs[axis]
    return resampled_medians(samples.values, samples.prompts, weights)


def is_better_high(contest: Contest, axis: Objective, metric: str) -> bool:
    """Whether more of it is better."""
    return axis == "quality" and contest.metrics[metric].higher_is_better


def _standing(checks: tuple[Check, ...], objective: Estimate | None) -> Standing:
    if any(check.outcome == "fails" for check in checks):
        return "does not"
    if objective is None or any(check.outcome == "open" for check in checks):
        return "not decided"
    return "qualifies"


def _order(contest: Contest, question: QuestionSpec, objectives: list[Estimate | None]) -> list[str]:
    """Ids of the settings asked about, the best first; what is equal is ordered by latency, then by the plan."""
    sign = -1.0 if is_better_high(contest, question.objective, question.quality_metric or "") else 1.0

    def key(index: int) -> tuple[float, float]:
        objective, latency = objectives[index], contest.entrants[index].costs["latency"].median
        return (
            math.inf if objective is None else sign * objective.value,
            math.inf if latency is None else latency.value,
        )

    ids = [entrant.setting.id for entrant in contest.entrants]
    return [ids[index] for index in sorted(range(len(ids)), key=key) if ids[index] in contest.asked]


def _shares(contest: Contest, question: QuestionSpec, order: list[str], draws: int) -> dict[str, float]:
    """Setting id → share of the resamples in which it is the answer. What is equal goes to the first of `order`."""
    weights = prompt_weights(np.random.default_rng(SEED), len(contest.prompts), draws)
    metric = question.quality_metric or ""
    sign = -1.0 if is_better_high(contest, question.objective, metric) else 1.0
    members = [entrant for id_ in order if (entrant := contest.of(id_)) is not None]
    columns = []
    for entrant in members:
        goal = sign * resampled_objective(contest, entrant, question.objective, metric, weights)
        meets = _meets(entrant, question, weights) & np.isfinite(goal)
        columns.append(np.where(meets, goal, np.inf))
    table = np.column_stack(columns)
    winner = np.where(np.isfinite(table).any(axis=1), table.argmin(axis=1), -1)
    return {entrant.setting.id: float((winner == index).mean()) for index, entrant in enumerate(members)}


def _meets(entrant: Entrant, question: QuestionSpec, weights: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(draws,) whether the point estimates of the resampled prompts meet every constraint."""
    meets = np.ones(len(weights), dtype=bool)
    for _, cost, limit in cost_limits(entrant, question):
        samples = entrant.costs[cost]
        if is_excused(entrant, cost):
            continue
        if cost == "peak_memory":
            meets &= bool(samples.values.size) and float(samples.values.max()) <= limit
        else:
            meets &= resampled_medians(samples.values, samples.prompts, weights) <= limit
    for loss in question.max_quality_loss:
        scores = entrant.quality[loss.metric]
        if entrant.is_reference or scores.identical:
            continue
        margin = margin_of(loss, scores)
        if margin.unknown or scores.obstacle:
            return np.zeros(len(weights), dtype=bool)
        meets &= resampled_means(scores.difference + margin.parts, scores.prompts, weights) >= 0
    return meets


def against_reference(contest: Contest, entrant: Entrant) -> Mapping[Cost, Estimate]:
    """Cost → its median over that of the setting's reference, with a 95 % interval; empty for a reference."""
    reference = contest.of(entrant.setting.reference_id)
    if reference is None or entrant.is_reference:
        return {}
    ratios = {}
    for cost in COSTS:
        base, own = reference.costs[cost], entrant.costs[cost]
        if base.values.size and own.values.size and base.values.min() > 0 and own.values.min() > 0:
            ratio = ratio_of(base, own)
            if ratio is not None:
                ratios[cost] = ratio
    return ratios


def _nearest(ranked: list[Verdict]) -> Verdict | None:
    """That of which the worst check is the least beyond its limit; the better one where that is equal.

    Checks that hold stop nothing: among them are those without a number, as of the reference's own loss.
    """
    known = [verdict for verdict in ranked if verdict.objective is not None]
    return min(known, key=_worst_excess, default=None)


def _worst_excess(verdict: Verdict) -> float:
    return max((check.excess for check in verdict.checks if check.outcome != "holds"), default=0.0)
