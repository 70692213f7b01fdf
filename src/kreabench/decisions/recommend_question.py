"""From what was asked to a whole question: what is not said is chosen by a rule, and the choice is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kreabench.core.errors import ConfigError, Problem
from kreabench.core.policies import COSTS, Cost, MarginSpec
from kreabench.core.questions import Objective, QualityLoss, QuestionSpec
from kreabench.core.registry import suggest
from kreabench.decisions.recommend_evidence import Contest

DEFAULT_LOSS = MarginSpec(kind="noise_floor", value=0.5)
"""Half of what another seed changes in one picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question, and what of it nobody said."""

    question: QuestionSpec
    assumed: tuple[str, ...]
    """Sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Fields of `QuestionSpec` that are limits of costs."""

    max_latency_s: float | None = None
    max_usd_per_image: float | None = None
    max_peak_memory_bytes: float | None = None
    max_energy_j: float | None = None
    min_images_per_day: float | None = None


def ask(
    contest: Contest,
    *,
    objective: Objective | None,
    metric: str | None,
    losses: Sequence[QualityLoss],
    limits: Limits,
    level: float,
) -> Asked:
    """The question. Raises ConfigError for a metric that the run lacks and an objective that nothing measured."""
    _check_metrics(contest, [*([metric] if metric else []), *(loss.metric for loss in losses)])
    chosen: Objective = objective or "latency"
    assumed = [] if objective else ["Objective: the least latency (--objective chooses another)."]
    scored = [name for name in contest.metrics if _is_scored(contest, name)]
    if metric is None:
        metric = losses[0].metric if losses else next(iter(scored), None)
        if metric is not None and (chosen == "quality" or not losses):
            assumed.append(f"Quality: {metric} (--quality chooses another).")
    allowed = tuple(losses)
    if not allowed and metric is not None:
        allowed = (QualityLoss(metric=metric, margin=DEFAULT_LOSS),)
        assumed.append(
            f"Allowed loss: half a noise floor of {metric}, which is the standard deviation from seed to seed of the "
            "reference's pictures of one prompt (--max-quality-loss says another)."
        )
    question = QuestionSpec(
        objective=chosen,
        quality_metric=metric,
        max_latency_s=limits.max_latency_s,
        max_usd_per_image=limits.max_usd_per_image,
        max_peak_memory_bytes=limits.max_peak_memory_bytes,
        max_energy_j=limits.max_energy_j,
        min_images_per_day=limits.min_images_per_day,
        max_quality_loss=allowed,
        level=level,
    )
    _check_objective(contest, question)
    return Asked(question=question, assumed=tuple(assumed))


def same_question(race: QuestionSpec, asked: QuestionSpec) -> bool:
    """Whether what a race dropped cannot be the answer to `asked` either. The level is no part of the question."""
    metric = race.quality_metric if asked.objective != "quality" else asked.quality_metric
    return replace(asked, level=race.level, quality_metric=metric) == race


def _is_scored(contest: Contest, metric: str) -> bool:
    return any(np.isfinite(entrant.quality[metric].own).any() for entrant in contest.entrants)


def _measured(contest: Contest) -> list[Cost]:
    """Costs that some setting has."""
    return [cost for cost in COSTS if any(entrant.costs[cost].median for entrant in contest.entrants)]


def _check_metrics(contest: Contest, names: Sequence[str]) -> None:
    wrong = [name for name in names if name not in contest.metrics]
    if wrong:
        raise ConfigError(
            [
                Problem(
                    key="--quality or --max-quality-loss",
                    found=repr(name),
                    expected=suggest(name, contest.metrics) if contest.metrics else "none: the run has no such metric",
                    remedy="It must be scored, have a better side and need no reference.",
                )
                for name in wrong
            ]
        )


def _check_objective(contest: Contest, question: QuestionSpec) -> None:
    if question.objective == "quality":
        measured = question.quality_metric is not None and _is_scored(contest, question.quality_metric)
    else:
        measured = question.objective in _measured(contest)
    if not measured:
        there = [
            *_measured(contest),
            *(["quality"] if any(_is_scored(contest, name) for name in contest.metrics) else []),
        ]
        raise ConfigError(
            [
                Problem(
                    key="--objective",
                    found=question.objective,
                    expected=f"something that this run measured: {', '.join(there) or 'nothing'}",
                )
            ]
        )
