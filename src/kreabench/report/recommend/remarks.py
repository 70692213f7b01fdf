"""What must be known to read a recommendation, in sentences."""

from __future__ import annotations

from kreabench.decisions.recommend import FEW_PROMPTS, Recommendation, Verdict
from kreabench.decisions.recommend_evidence import Contest
from kreabench.report.format import count
from kreabench.report.recommend.words import decided_by, share, stopped_by
from kreabench.report.text import visible


def remarks(contest: Contest, recommendation: Recommendation) -> tuple[str, ...]:
    """All of them."""
    return (
        *doubts(contest, recommendation),
        *scope(recommendation),
        *_undecided_but_better(recommendation),
    )


def doubts(contest: Contest, recommendation: Recommendation) -> tuple[str, ...]:
    """What makes the answer less sure than its numbers."""
    said = []
    if recommendation.prompts < FEW_PROMPTS:
        said.append(
            f"With {count(recommendation.prompts, 'prompt')} shares of resamples mean little: they need at least "
            f"{FEW_PROMPTS}."
        )
    untrained = [
        name for name, facts in contest.metrics.items() if facts.untrained and name in _metrics(recommendation)
    ]
    if untrained:
        said.append(f"{', '.join(untrained)}: untrained metric, its values show plumbing only.")
    if recommendation.draws and recommendation.p_none is None and recommendation.prompts > 1:
        said.append("How sure the answer is cannot be said: there are settings of which the allowed loss is not known.")
    return tuple(said)


def scope(recommendation: Recommendation) -> tuple[str, ...]:
    """What the answer is about, and what it is not."""
    said = []
    settings = [verdict.entrant.setting for verdict in recommendation.verdicts]
    if not recommendation.question.max_quality_loss:
        said.append("No metric that could judge quality has scores: the answer is about costs alone.")
    if len({setting.reference_id for setting in settings}) > 1:
        said.append(
            "Settings of different targets, sizes or guidances are compared with the reference of their own: a loss of "
            "0 says that a setting is as good as its own reference, not as another target's."
        )
    if len({(setting.width, setting.height) for setting in settings}) > 1:
        said.append("The settings draw different sizes; RUN:size=WIDTHxHEIGHT asks about one.")
    return tuple(said)


def _undecided_but_better(recommendation: Recommendation) -> tuple[str, ...]:
    better = recommendation.undecided_but_better
    if recommendation.answer is None or not better:
        return ()
    more = f", and {count(len(better) - 3, 'other')}" if len(better) > 3 else ""
    names = "; ".join(_undecided(verdict, recommendation.draws) for verdict in better[:3])
    return (f"Better if it qualified, but not decided: {names}{more}.",)


def _undecided(verdict: Verdict, draws: int) -> str:
    said = [decided_by(verdict) or stopped_by(verdict.open_checks[0])]
    if verdict.probability:
        said.append(f"the answer in {share(verdict.probability, draws)}")
    return f"{visible(verdict.entrant.setting.label)} ({', '.join(said)})"


def _metrics(recommendation: Recommendation) -> set[str | None]:
    question = recommendation.question
    return {question.quality_metric, *(loss.metric for loss in question.max_quality_loss)}
