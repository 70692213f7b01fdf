"""What a comparison comes to, in a few sentences: what a reader sees first, on a page and on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from kreabench.decisions.comparison import Comparison, CostComparison, SettingComparison, Verdict
from kreabench.report.comparison.words import (
    COST_NAMES,
    SIGNS,
    Finding,
    difference_texts,
    differing,
    finding,
    ratio_texts,
    short_label,
)
from kreabench.report.format import count
from kreabench.report.text import visible

_NAMED = 6
"""Findings that are named one by one up to this number."""
_TESTED: tuple[Finding, ...] = ("worse", "better", "shifted", "none shown")
_VERDICTS: tuple[Verdict, ...] = ("worse", "undecided", "another picture, not worse", "within noise")


def counts_sentence(settings: Sequence[SettingComparison]) -> str:
    """`Of 126 tests after Holm: 0 worse, …`; empty without a test."""
    found = Counter(finding(metric) for two in settings for metric in two.metrics)
    tests = sum(found[what] for what in _TESTED)
    told = ", ".join(f"{found[what]:,} {what}" for what in _TESTED)
    return f"Of {count(tests, 'test')} after Holm: {told}." if tests else ""


def answer_lines(comparison: Comparison) -> Iterator[str]:
    """Quality, fidelity and costs, one line each."""
    settings = comparison.settings
    yield from _quality(settings)
    verdicts = Counter(one.verdict for two in settings for one in two.fidelity)
    if verdicts:
        told = (f"{verdicts[name]:,} {name}" for name in _VERDICTS if verdicts[name])
        yield f"Fidelity to the reference: {', '.join(told)}."
    costs = [_cost([two.costs[n] for two in settings], settings) for n in range(len(settings[0].costs))]
    if any(costs):
        yield f"Candidate over base: {'; '.join(filter(None, costs))}."


def _quality(settings: Sequence[SettingComparison]) -> Iterator[str]:
    counts = counts_sentence(settings)
    if not counts:
        pairs = sum(two.pairs for two in settings)
        equal = bool(pairs) and all(two.identical == two.pairs for two in settings)
        why = f"all {count(pairs, 'pair')} of pictures are equal files" if equal else "why is said at each metric"
        yield f"Quality: no metric could be tested: {why}."
        return
    yield f"Quality: {counts}"
    yield from filter(None, (_named(settings, what) for what in ("worse", "better", "shifted")))
    if not any(finding(metric) == "worse" for two in settings for metric in two.metrics):
        yield "That no loss is shown is no proof that there is none: only a gate with a margin can show that."


def _named(settings: Sequence[SettingComparison], what: str) -> str:
    """`Worse: clip_score −0.42 [−0.50 – −0.34] (high, 4 steps).`"""
    axes = differing(settings)
    said = []
    for two in settings:
        for metric in two.metrics:
            if finding(metric) == what:
                text, interval = difference_texts(metric.difference)
                where = f" ({short_label(two.candidate, axes)})" if len(settings) > 1 else ""
                said.append(f"{visible(metric.spec.name)} {SIGNS[metric.better]} {text} [{interval}]{where}")
    more = f"; and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return f"{what.capitalize()}: {'; '.join(said[:_NAMED])}{more}." if said else ""


def _cost(costs: Sequence[CostComparison], settings: Sequence[SettingComparison]) -> str:
    """The ratio, or the least and the greatest of several."""
    axes = differing(settings)
    known = [
        (cost.ratio, short_label(two.candidate, axes))
        for cost, two in zip(costs, settings, strict=True)
        if cost.ratio is not None
    ]
    if not known:
        return ""
    known.sort(key=lambda one: one[0].value)
    said = []
    for ratio, label in dict.fromkeys((known[0], known[-1])):
        text, interval = ratio_texts(ratio)
        where = f", {label}" if len(settings) > 1 else ""
        said.append(f"{text} ({interval or 'no interval'}{where})")
    return f"{COST_NAMES[costs[0].quantity]} {' to '.join(said)}"
