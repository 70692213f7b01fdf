"""A verdict in words: what to use, what that saves and loses, how sure it is, and what got worse."""

from __future__ import annotations

import numpy as np

from kreabench.analysis.estimates import p_in_words
from kreabench.core.policies import Cost, Rate
from kreabench.decisions.comparison import MetricComparison, RateComparison
from kreabench.decisions.fidelity import LEVEL
from kreabench.decisions.recommend import Recommendation, Verdict, against_reference
from kreabench.decisions.recommend_evidence import Contest, Entrant
from kreabench.decisions.regressions import Regression, Regressions
from kreabench.report.format import count, difference, shown_unit, significant
from kreabench.report.recommend.remarks import doubts
from kreabench.report.recommend.words import (
    NEARLY,
    amount,
    change_words,
    decided_by,
    margin_words,
    no_answer,
    of_cost,
    share,
    stopped_by,
)
from kreabench.report.text import message, visible

TOLD: tuple[Cost, ...] = ("latency", "usd_per_image", "peak_memory")
"""Costs of the sentence, in its order."""
RATE_WORDS: dict[Rate, tuple[str, str]] = {
    "failure_rate": ("fails in", "request"),
    "degenerate_rate": ("draws black, empty or noisy pictures in", "picture"),
    "nsfw_rate": ("is flagged in", "picture"),
}
NONE_FOUND = "No setting is established to be worse than its reference; that does not show that all are as good."


def verdict_sentence(contest: Contest, recommendation: Recommendation) -> str:
    """The setting to use, what it saves and costs against its reference, and what quality it loses."""
    answer = recommendation.answer
    if answer is None:
        return message(no_answer(recommendation), 1000)
    name = visible(answer.entrant.setting.label)
    if not answer.entrant.is_reference:
        said = [cost_words(contest, answer.entrant), *_changes(contest, answer, recommendation)]
        return f"Use {name}: {'; '.join(filter(None, said))}."
    better = recommendation.undecided_but_better
    if better:
        return f"Keep {name}, a reference{_latency(answer.entrant)}, for now. {_open(contest, better)}"
    others = [verdict for verdict in recommendation.verdicts if not verdict.entrant.is_reference]
    index = recommendation.ranked.index(answer)
    faster = [verdict for verdict in recommendation.ranked[:index] if not verdict.entrant.is_reference]
    if not others or not faster:
        return f"Keep {name}, a reference{_latency(answer.entrant)}: nothing is faster."
    which = "the one setting that is faster" if len(faster) == 1 else f"each of {len(faster)} faster settings"
    return f"Keep {name}, a reference{_latency(answer.entrant)}: {which} is shown to lose more than is allowed."


def _latency(entrant: Entrant) -> str:
    latency = entrant.costs["latency"].median
    return "" if latency is None else f" ({amount('latency', latency.value)} a request)"


def _open(contest: Contest, better: tuple[Verdict, ...]) -> str:
    """What might be better than a reference, and what would tell."""
    best = better[0]
    name, costs = visible(best.entrant.setting.label), cost_words(contest, best.entrant)
    number = f"One faster setting, {name}, is" if len(better) == 1 else f"{len(better):,} faster settings are"
    lead = "it takes" if len(better) == 1 else f"the fastest of them, {name}, takes"
    said = [f"{number} shown neither to lose less than is allowed nor to lose more"]
    said += [f"{lead} {costs}"] if costs else []
    return f"{'; '.join([*said, *filter(None, [decided_by(best)])])}."


def cost_words(contest: Contest, entrant: Entrant) -> str:
    """`0.52 s a request instead of 1.04 s (50 % less), …` against its reference; empty where nothing compares."""
    reference = contest.of(entrant.setting.reference_id)
    ratios = against_reference(contest, entrant)
    parts = []
    for cost in TOLD:
        base = reference.costs[cost].median if reference else None
        own = entrant.costs[cost].median
        if cost in ratios and base is not None and own is not None:
            parts.append(_against(cost, base.value, own.value, ratios[cost].value))
    return ", ".join(parts)


def _against(cost: Cost, base: float, own: float, ratio: float) -> str:
    if abs(1 - ratio) < NEARLY:
        return f"{amount(cost, own)} {of_cost(cost)}, as before"
    percent = f"{abs(1 - ratio):.0%}".replace("%", " %")
    return (
        f"{amount(cost, own)} {of_cost(cost)} instead of {amount(cost, base)} "
        f"({percent} {'less' if ratio < 1 else 'more'})"
    )


def _changes(contest: Contest, answer: Verdict, recommendation: Recommendation) -> list[str]:
    """One clause a metric that was asked about."""
    reference = contest.of(answer.entrant.setting.reference_id)
    said = []
    for loss in recommendation.question.max_quality_loss:
        check = next((check for check in answer.checks if check.name == loss.metric), None)
        if check is not None and check.value is not None:
            base = "" if reference is None else _base(reference, loss.metric)
            name, change = visible(loss.metric), check.value.value
            what = f"a {'loss' if change < 0 else 'gain'} of {significant(abs(change), 2)} in {name}{base}"
            what = what if change else f"no change of {name}{base}"
            said.append(f"{what}, where a loss of {margin_words(loss, check.limit)} is allowed")
    return said or ["nothing is known of its quality"]


def _base(reference: Entrant, metric: str) -> str:
    """` from 24.1`."""
    own = reference.quality[metric].own
    known = own[np.isfinite(own)]
    return f" from {significant(float(known.mean()))}" if known.size else ""


def sureness(contest: Contest, recommendation: Recommendation) -> str:
    """How sure the answer is, and what takes from it."""
    answer, better, said = recommendation.answer, recommendation.undecided_but_better, []
    if answer is not None and not answer.entrant.is_reference:
        for check in answer.checks:
            if not check.is_cost and check.value is not None:
                said.append(f"{visible(change_words(contest, check))}: {message(check.reason)}.")
    if answer is not None and answer.probability is not None:
        said.append(
            f"By the point estimates alone, without asking what is shown, it is the answer in "
            f"{share(answer.probability, recommendation.draws)} resamples of the "
            f"{count(recommendation.prompts, 'prompt')}."
        )
    if answer is not None and better:
        name = visible(better[0].entrant.setting.label)
        open_ = f": {stopped_by(better[0].open_checks[0])}" if better[0].open_checks else ""
        said.append(f"{name} would be better if it qualified, and is not decided{message(open_, 600)}.")
    return " ".join([*said, *map(visible, doubts(contest, recommendation))])


def regression_sentence(regression: Regression) -> str:
    """What is worse, by how much, and how sure that is."""
    sure = f"{p_in_words(regression.p_value)} after Holm"
    name, reference = visible(regression.candidate.label), visible(regression.base.label)
    if isinstance(regression.what, RateComparison):
        rate = regression.what
        verb, noun = RATE_WORDS[rate.quantity]
        return (
            f"{name} {verb} {rate.candidate_count:,} of {count(rate.candidate_n, noun)}, its reference {reference} in "
            f"{rate.base_count:,} of {rate.base_n:,} ({sure})."
        )
    return f"{name}: {_lost(regression.what)} against {reference} ({sure})."


def _lost(metric: MetricComparison) -> str:
    """`psnr -1.2 (dB; 95 % interval -1.5 – -0.9), 23.1 instead of 24.3, over 40 prompts`."""
    if metric.difference is None or metric.candidate_mean is None or metric.base_mean is None:
        return f"{visible(metric.spec.name)} is worse"
    text, interval = difference(metric.difference)
    sure = "; ".join(filter(None, [shown_unit(metric.unit), f"95 % interval {interval}" if interval else ""]))
    levels = f"{significant(metric.candidate_mean)} instead of {significant(metric.base_mean)}"
    return (
        f"{visible(metric.spec.name)} {text}{f' ({sure})' if sure else ''}, {levels}, over "
        f"{count(metric.difference.n, 'prompt')},"
    )


def regressions_note(found: Regressions) -> str:
    """What was tested, how, and what it means that nothing was found."""
    if not found.compared:
        return "No setting has a reference with pictures in this run, so nothing was tested for getting worse."
    return " ".join([*_tested(found), *_untested(found)])


def _tested(found: Regressions) -> list[str]:
    parts = []
    if found.score_tests:
        metrics = ", ".join(map(visible, found.metrics))
        parts.append(f"losses of {metrics} ({count(found.score_tests, 'test')})")
    if found.rate_tests:
        parts.append(f"more failures or broken pictures ({count(found.rate_tests, 'test')})")
    if not parts:
        return ["Nothing could be tested for getting worse."]
    return [
        *([] if found.found else [NONE_FOUND]),
        f"Tested beside its reference, for each of {count(found.compared, 'setting')}: {' and '.join(parts)}; "
        f"one-sided, level {LEVEL:g}, with Holm's correction over all tests of a kind.",
    ]


def _untested(found: Regressions) -> list[str]:
    said = []
    if found.untrained:
        names = ", ".join(map(visible, found.untrained))
        said.append(f"Not tested, as the weights are untrained: {names}.")
    elif not found.score_tests:
        said.append("Quality was not tested: no metric that sees a picture alone has enough scores.")
    return said
