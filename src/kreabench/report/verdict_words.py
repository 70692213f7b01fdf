"""A verdict in words: what to use, what that saves and loses, how sure it is, and what got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kreabench.analysis.estimates import Estimate, p_in_words
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

Names = Mapping[str, str]
"""Id of a setting → what it is called in a sentence, ready to be shown."""
TOLD: tuple[Cost, ...] = ("latency", "usd_per_image", "peak_memory")
"""Costs of the sentence, in its order."""
RATE_WORDS: dict[Rate, tuple[str, str]] = {
    "failure_rate": ("fails in", "request"),
    "degenerate_rate": ("draws black, empty or noisy pictures in", "picture"),
    "nsfw_rate": ("is flagged in", "picture"),
}
NONE_FOUND = "No setting is established to be worse than its reference; that does not show that all are as good."


def verdict_sentence(contest: Contest, recommendation: Recommendation, names: Names) -> str:
    """The setting to use, what it saves and costs against its reference, and what quality it loses."""
    answer = recommendation.answer
    if answer is None:
        return message(no_answer(recommendation), 1000)
    name = names[answer.entrant.setting.id]
    if not answer.entrant.is_reference:
        costs = cost_words(contest, answer.entrant)
        return " ".join([f"Use {name}{f': {costs}' if costs else ''}.", *_changes(contest, answer, recommendation)])
    kept, better = f"{name}, {_reference_words(recommendation, answer)}", recommendation.undecided_but_better
    if better:
        return f"For now keep {kept}: {_open(contest, better, names)}"
    index = recommendation.ranked.index(answer)
    faster = [verdict for verdict in recommendation.ranked[:index] if not verdict.entrant.is_reference]
    if not faster:
        untimed = any(verdict.objective is None for verdict in recommendation.verdicts)
        return f"Keep {kept}: no other setting {'that was timed ' if untimed else ''}is faster."
    which = "the one setting that is faster" if len(faster) == 1 else f"each of {len(faster):,} faster settings"
    return f"Keep {kept}: {which} is shown to lose more than is allowed."


def _reference_words(recommendation: Recommendation, answer: Verdict) -> str:
    """`the fastest of 6 references (1.04 s a request)`."""
    latency = answer.entrant.costs["latency"].median
    timed = "" if latency is None else f" ({amount('latency', latency.value)} a request)"
    known = [one for one in recommendation.verdicts if one.entrant.is_reference and one.objective is not None]
    return f"{'the reference' if len(known) < 2 else f'the fastest of {len(known):,} references'}{timed}"


def _open(contest: Contest, better: tuple[Verdict, ...], names: Names) -> str:
    """What might be better than a reference, and what would tell."""
    best = better[0].entrant
    name, latency = names[best.setting.id], best.costs["latency"].median
    costs = cost_words(contest, best, ("latency",))
    if not costs and latency is not None:
        costs = f"{amount('latency', latency.value)} a request"
    one = len(better) == 1
    lead = "It" if one else f"The fastest, {name},"
    said = [f"{lead} takes {costs}", decided_by(better[0])] if costs else []
    tail = f" {'; '.join(filter(None, said))}." if said else ""
    which = f"{name}, which is faster, loses" if one else f"{len(better):,} faster settings lose"
    return f"whether {which} too much is not decided.{tail}"


def cost_words(contest: Contest, entrant: Entrant, costs: tuple[Cost, ...] = TOLD) -> str:
    """`0.52 s a request instead of 1.04 s (50 % less), …` against its reference; empty where nothing compares.

    Of what is as before only the latency is told.
    """
    reference = contest.of(entrant.setting.reference_id)
    ratios = against_reference(contest, entrant)
    parts = []
    for cost in costs:
        base = reference.costs[cost].median if reference else None
        own = entrant.costs[cost].median
        if cost in ratios and base is not None and own is not None:
            parts.append(_against(cost, base.value, own.value, ratios[cost].value))
    return ", ".join(filter(None, parts))


def _against(cost: Cost, base: float, own: float, ratio: float) -> str:
    if abs(1 - ratio) < NEARLY:
        return f"{amount(cost, own)} {of_cost(cost)}, as before" if cost == "latency" else ""
    percent = f"{abs(1 - ratio):.0%}".replace("%", " %")
    return (
        f"{amount(cost, own)} {of_cost(cost)} instead of {amount(cost, base)} "
        f"({percent} {'less' if ratio < 1 else 'more'})"
    )


def _changes(contest: Contest, answer: Verdict, recommendation: Recommendation) -> list[str]:
    """A sentence a metric that was asked about."""
    reference = contest.of(answer.entrant.setting.reference_id)
    said = []
    for loss in recommendation.question.max_quality_loss:
        check = next((check for check in answer.checks if check.name == loss.metric), None)
        if check is not None and check.value is not None:
            brand = " (untrained weights)" if contest.metrics[loss.metric].untrained else ""
            base = "" if reference is None else _base(reference, loss.metric)
            what = _change(check.value, f"{visible(loss.metric)}{brand}{base}")
            said.append(f"Quality: {what}, where a loss of {margin_words(loss, check.limit)} is allowed.")
    return said or ["Nothing is known of its quality."]


def _change(gain: Estimate, what: str) -> str:
    """As a loss or a gain where its interval says that it is one."""
    low, high = gain.interval or (gain.value, gain.value)
    if low <= 0 <= high:
        return f"no change of {what}{' is shown' if low < high else ''}"
    return f"a {'loss' if gain.value < 0 else 'gain'} of {significant(abs(gain.value), 2)} in {what}"


def _base(reference: Entrant, metric: str) -> str:
    """` from 24.1`."""
    own = reference.quality[metric].own
    known = own[np.isfinite(own)]
    return f" from {significant(float(known.mean()))}" if known.size else ""


def spoiled(name: str, losses: Sequence[str]) -> str:
    """The sentence of a setting that would be recommended, were it not established to be worse in something else."""
    more = f" It is worse in {len(losses) - 1:,} more." if len(losses) > 1 else ""
    return f"Nothing is recommended yet: {name} would be, but it got worse. {losses[0]}{more}"


def sureness(contest: Contest, recommendation: Recommendation, names: Names) -> str:
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
        name = names[better[0].entrant.setting.id]
        open_ = f": {stopped_by(better[0].open_checks[0])}" if better[0].open_checks else ""
        said.append(f"{name} would be better if it qualified, and is not decided{message(open_, 600)}.")
    return " ".join([*said, *map(visible, doubts(contest, recommendation))])


def regression_sentence(regression: Regression, names: Names) -> str:
    """What is worse, by how much, and how sure that is."""
    sure = f"{p_in_words(regression.p_value)} after Holm"
    name, reference = names[regression.candidate.id], names[regression.base.id]
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
