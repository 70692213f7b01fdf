"""A recommendation in words: the answer in one sentence, and why each setting stands where it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kreabench.analysis.estimates import Estimate
from kreabench.core.policies import Cost
from kreabench.core.questions import Objective, QualityLoss, QuestionSpec
from kreabench.decisions.recommend import Recommendation, Verdict, against_reference
from kreabench.decisions.recommend_checks import Check
from kreabench.decisions.recommend_evidence import Contest
from kreabench.report.comparison.words import COST_NAMES
from kreabench.report.format import GIB, count, difference, significant, usd
from kreabench.report.text import message, visible

COST_WORDS: Mapping[str, str] = {
    **{str(cost): words for cost, words in COST_NAMES.items()},
    "images_per_day": "images a day",
}


NEARLY = 0.005
"""Share by which a cost may differ from the reference's and be called the same: it would be rounded to 0 %."""


def amount(name: str, value: float) -> str:
    """A cost with its unit."""
    if name == "latency":
        return f"{significant(value)} s"
    if name == "usd_per_image":
        return usd(value)
    if name == "peak_memory":
        return f"{significant(value / GIB)} GiB"
    return f"{significant(value)} J" if name == "energy" else f"{value:,.0f}"


def axis_words(contest: Contest, axis: Objective, metric: str | None) -> str:
    """An axis of a front, or an objective."""
    return metric or "quality" if axis == "quality" else COST_WORDS[axis]


def share(probability: float, draws: int) -> str:
    """A share of resamples, never rounded to certainty."""
    if probability >= 1:
        return f"all of {draws:,}"
    if probability <= 0:
        return f"none of {draws:,}"
    text = f"{probability:.0%}"
    return f"{ {'100%': '> 99%', '0%': '< 1%'}.get(text, text) } of {draws:,}".replace("%", " %")


def answer_sentence(contest: Contest, recommendation: Recommendation) -> str:
    """One sentence: the setting, what it saves, what it loses, how sure that is, and what comes next."""
    answer = recommendation.answer
    if answer is None:
        return no_answer(recommendation)
    setting = answer.entrant.setting
    clauses = [_costs(contest, answer), *_losses(contest, answer, recommendation.question)]
    if answer.probability is not None:
        clauses.append(
            f"by the point estimates alone it is the answer in {share(answer.probability, recommendation.draws)} "
            f"resamples of the {count(recommendation.prompts, 'prompt')}"
        )
    clauses.append(_runner_up(recommendation))
    return f"Use {visible(setting.label)}: {'; '.join(filter(None, clauses))}."


def _costs(contest: Contest, answer: Verdict) -> str:
    edge = " (on the edge of a limit)" if any(check.edge for check in answer.checks) else ""
    if answer.entrant.is_reference:
        latency = answer.entrant.costs["latency"].median
        said = "" if latency is None else f", {amount('latency', latency.value)} a request"
        return f"the reference itself{said}{edge}"
    reference = contest.of(answer.entrant.setting.reference_id)
    parts = []
    for cost, ratio in against_reference(contest, answer.entrant).items():
        base = reference.costs[cost].median if reference else None
        own = answer.entrant.costs[cost].median
        if base is not None and own is not None:
            parts.append(_against(cost, base, own, ratio))
    return (", ".join(parts) or "no cost of it can be compared with its reference's") + edge


def _against(cost: Cost, base: Estimate, own: Estimate, ratio: Estimate) -> str:
    if ratio.low == ratio.high == 1.0:
        return f"{amount(cost, own.value)} {of_cost(cost)} as the reference"
    if abs(1 - ratio.value) < NEARLY:
        interval = _ratio_interval(ratio).removeprefix("; ").removeprefix(", ")
        within = f"within {NEARLY:.1%} of the reference's".replace("%", " %")
        return f"{amount(cost, own.value)} {of_cost(cost)}, {within} ({interval})"
    percent = f"{abs(1 - ratio.value):.0%} {'less' if ratio.value < 1 else 'more'}".replace("%", " %")
    saved = f"{percent}{_ratio_interval(ratio)}"
    return f"{amount(cost, own.value)} {of_cost(cost)} instead of {amount(cost, base.value)} ({saved})"


def _ratio_interval(ratio: Estimate) -> str:
    if ratio.low is None or ratio.high is None:
        return ", no interval"
    low, high = (f"{significant(end)}" for end in (ratio.low, ratio.high))
    return f"; ratio {low} – {high}"


def of_cost(cost: Cost) -> str:
    """What an amount of it is for."""
    return {"latency": "a request", "usd_per_image": "an image", "peak_memory": "of memory", "energy": "a request"}[
        cost
    ]


def _losses(contest: Contest, answer: Verdict, question: QuestionSpec) -> list[str]:
    if answer.entrant.is_reference:
        return []
    allowed = {loss.metric: loss for loss in question.max_quality_loss}
    said = []
    for check in answer.checks:
        if check.name in allowed and check.value is not None:
            margin = margin_words(allowed[check.name], check.limit)
            said.append(f"{change_words(contest, check)}, where a loss of {margin} is allowed")
    return said or ["nothing is asked of its quality"]


def change_words(contest: Contest, check: Check) -> str:
    """How the metric changes against the reference; empty where that is not known."""
    unit = contest.metrics[check.name].unit
    value = check.value
    if value is None:
        return ""
    text, interval = difference(oriented(contest, check.name, value))
    return f"{check.name} {text} ({f'{unit}; ' if unit else ''}95 % interval {interval}, n = {value.n})"


def oriented(contest: Contest, metric: str, gain: Estimate) -> Estimate:
    """A gain as the difference of the metric itself."""
    if contest.metrics[metric].higher_is_better or gain.low is None or gain.high is None:
        return gain
    return Estimate(value=-gain.value, low=-gain.high, high=-gain.low, n=gain.n)


def margin_words(loss: QualityLoss, limit: float) -> str:
    """How much may be lost."""
    value, known = loss.margin.value, math.isfinite(limit)
    if loss.margin.kind == "noise_floor":
        said = f"{value:g} noise floor{'s' if value != 1 else ''}"
        return f"{significant(limit)} ({said})" if known else said
    if loss.margin.kind == "relative":
        said = f"{100 * value:.3g} % of the reference's"
        return f"{significant(limit)} ({said})" if known else said
    return f"{value:g}"


def _runner_up(recommendation: Recommendation) -> str:
    other = recommendation.runner_up
    if other is None or other.objective is None:
        return "nothing else qualifies"
    objective = recommendation.question.objective
    name = recommendation.question.quality_metric or "" if objective == "quality" else COST_WORDS[objective]
    value = significant(other.objective.value) if objective == "quality" else amount(objective, other.objective.value)
    probability = "" if other.probability is None else f", {share(other.probability, recommendation.draws)}"
    return f"runner-up: {visible(other.entrant.setting.label)} ({name} {value}{probability})"


def no_answer(recommendation: Recommendation) -> str:
    """That there is none, what comes nearest, and what stops it."""
    undecided = sum(verdict.standing == "not decided" for verdict in recommendation.verdicts)
    head = "None is shown to qualify" if undecided else "None qualifies"
    tail = f"; {undecided} not decided" if undecided else ""
    nearest = recommendation.nearest
    if nearest is None:
        return f"{head}{tail}."
    standing = [check for check in nearest.checks if check.outcome != "holds"]
    worst = max(standing, key=lambda check: check.excess, default=None)
    if worst is None:
        return f"{head}{tail}."
    return f"{head}: the nearest is {visible(nearest.entrant.setting.label)}, stopped by {stopped_by(worst)}{tail}."


def stopped_by(check: Check) -> str:
    """A constraint that does not hold, and by how much."""
    if check.value is None:
        return f"{check_name(check)}: {message(check.reason)}"
    if not check.is_cost:
        text, interval = difference(
            Estimate(
                value=-check.value.value, low=_minus(check.value.high), high=_minus(check.value.low), n=check.value.n
            )
        )
        lost, allowed = text.removeprefix("+"), significant(check.limit)
        return f"{check.name}: a loss of {lost} ({interval}) where {allowed} is allowed; {check.reason}"
    percent = f"{abs(check.excess):.1%}".replace("%", " %")
    worse = "below" if check.name == "images_per_day" else "above"
    limit = amount(check.name, check.limit)
    return f"{check_name(check)}: {amount(check.name, check.value.value)}, {percent} {worse} the limit of {limit}"


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def check_name(check: Check) -> str:
    """A cost in words, or the metric."""
    return COST_WORDS.get(check.name, check.name)


def reason_of(verdict: Verdict) -> str:
    """Why it stands where it stands, in one line."""
    if verdict.standing == "does not":
        return "; ".join(map(stopped_by, verdict.failed_checks))
    if verdict.standing == "not decided":
        said = [stopped_by(check) for check in verdict.open_checks] or ["the objective was not measured"]
        return "; ".join([*said, *filter(None, [decided_by(verdict)])])
    if verdict.entrant.is_reference:
        return "the reference"
    shown = [f"{check_name(check)}: {check.reason}" for check in verdict.checks if check.edge or not check.is_cost]
    return "; ".join(shown) or "within every limit"


def decided_by(verdict: Verdict) -> str:
    """How many prompts would decide it."""
    needed = verdict.prompts_to_decide
    if needed is not None:
        return f"about {needed:,} prompts would decide"
    if not verdict.open_checks or any(check.value is None for check in verdict.open_checks):
        return ""
    return "no number of prompts would decide"


def limits_words(contest: Contest, recommendation: Recommendation) -> str:
    """The question in one line."""
    question = recommendation.question
    goal = "the best" if question.objective == "quality" else "the least"
    parts = [f"{goal} {axis_words(contest, question.objective, question.quality_metric)}"]
    limits: tuple[tuple[str, float | None], ...] = (
        ("latency", question.max_latency_s),
        ("usd_per_image", question.max_usd_per_image),
        ("peak_memory", question.max_peak_memory_bytes),
        ("energy", question.max_energy_j),
    )
    parts += [f"{COST_WORDS[name]} at most {amount(name, limit)}" for name, limit in limits if limit is not None]
    if question.min_images_per_day is not None:
        parts.append(f"at least {question.min_images_per_day:,.0f} images a day")
    for loss in question.max_quality_loss:
        parts.append(f"{loss.metric} shown to lose less than {margin_words(loss, math.nan)} (level {question.level:g})")
    return "; ".join(parts)


def state_lines(unfinished: int, dropped: Mapping[str, str], other_question: bool) -> list[str]:
    """What the run itself lacks; `other_question` says whether its race asked another one than the recommendation."""
    said = []
    if unfinished:
        said.append(f"The run is not finished: {count(unfinished, 'request')} without a final sample.")
    if dropped:
        said.append(
            f"Racing dropped {count(len(dropped), 'setting')} while the run was drawn: nothing in here is about "
            f"{'them' if len(dropped) > 1 else 'it'}."
        )
    if dropped and other_question:
        said.append("The race asked another question: what it dropped may be the answer to this one.")
    return said
