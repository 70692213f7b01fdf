"""What a comparison of two runs comes to: one sentence for people, and what was established, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kreabench.analysis.estimates import p_in_words
from kreabench.core.planned import Setting
from kreabench.decisions.comparison import Comparison, MetricComparison, RateComparison, SettingComparison
from kreabench.decisions.matching import AXES
from kreabench.decisions.regressions import Regression, more_mishaps
from kreabench.report.comparison.words import (
    RATE_NAMES,
    Finding,
    count_text,
    difference_texts,
    differing,
    finding,
    ratio_texts,
    short_label,
)
from kreabench.report.explorer.data import RegressionData
from kreabench.report.format import count
from kreabench.report.several.comparison import Versus
from kreabench.report.text import visible


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Found:
    """One metric of one pair of settings."""

    two: SettingComparison
    metric: MetricComparison
    what: Finding
    where: str
    """What tells the setting from the others; empty where there is one alone."""

    @property
    def said(self) -> str:
        text, interval = difference_texts(self.metric.difference)
        return f"{text} [{interval}]{f' at {self.where}' if self.where else ''}"


def verdict_sentence(versus: Versus) -> str:
    """What got worse, better and other, where no loss was established, and what was not tested."""
    who = f"{versus.candidate} against {versus.base}"
    if versus.comparison is None:
        return f"{who}: not compared: {versus.why_not.rstrip('.')}."
    found = list(_findings(versus.comparison))
    names = list(dict.fromkeys(one.metric.spec.name for one in found))
    parts = [
        _equal(versus.comparison),
        *(_named(found, names, what, before) for what, before in (("worse", "worse in "), ("better", "better in "))),
        _failing(versus.comparison),
        _listed("the look shifted in ", [name for name in names if _shifted(found, name)]),
        _listed("no loss was established in ", [name for name in names if _no_loss(found, name)]),
        _listed("nothing was tested in ", [name for name in names if _untested(found, name)]),
    ]
    told = "; ".join(filter(None, parts)) or "no metric is of both runs"
    return f"{who}{_instead(versus.comparison)}: {'; '.join(filter(None, (told, _latency(versus))))}."


def _instead(comparison: Comparison) -> str:
    """In what all pairs of settings differ alike, which tells no two of them apart: `, 4 steps instead of 8 steps`."""
    said: dict[str, None] = {}
    for axis in AXES:
        pairs = {(short_label(two.candidate, (axis,)), short_label(two.base, (axis,))) for two in comparison.settings}
        for candidate, base in pairs if len(pairs) == 1 else ():
            if candidate != base:
                said[f", {candidate or 'none'} instead of {base or 'none'}"] = None
    return "".join(said)


def _latency(versus: Versus) -> str:
    """`latency ×0.53 [0.50 – 0.56] of A's`; of several settings the least and the greatest ratio."""
    settings = () if versus.comparison is None else versus.comparison.settings
    costs = [cost for two in settings for cost in two.costs if cost.quantity == "latency"]
    ratios = sorted((cost.ratio for cost in costs if cost.ratio is not None), key=lambda ratio: ratio.value)
    if not ratios:
        return ""
    (least, interval), (most, _) = ratio_texts(ratios[0]), ratio_texts(ratios[-1])
    alone = f"{least} [{interval}]" if interval else least
    return f"latency {alone if len(ratios) == 1 else f'{least} to {most}'} of {versus.base.letter}'s"


def regressions(versus: Versus) -> Iterator[RegressionData]:
    """Losses and mishaps that are established, of settings as they are called in report.json."""
    if versus.comparison is None:
        return
    for one in _findings(versus.comparison):
        if one.what == "worse":
            name, (text, interval) = one.metric.spec.name, difference_texts(one.metric.difference)
            brand = ", untrained weights" if one.metric.untrained else ""
            said = f"is worse than {versus.base.letter} in {visible(name)}: {text} [{interval}]{brand}"
            yield _data(versus, one.two.base, one.two.candidate, name, said)
    for more, rate in _more_mishaps(versus.comparison):
        said = f"has more {RATE_NAMES[rate.quantity]} than {versus.base.letter}: {_counts(rate)}"
        said += f" ({p_in_words(more.p_value)} after Holm)"
        yield _data(versus, more.base, more.candidate, rate.quantity, said)


def _data(versus: Versus, base: Setting, candidate: Setting, quantity: str, said: str) -> RegressionData:
    letter = versus.candidate.letter
    return RegressionData(
        setting=f"{letter.lower()}/{candidate.id}",
        against=f"{versus.base.letter.lower()}/{base.id}",
        quantity=quantity,
        sentence=f"{letter}: {visible(candidate.label)} {said}.",
    )


def _findings(comparison: Comparison) -> Iterator[_Found]:
    axes = differing(comparison.settings)
    for two in comparison.settings:
        for metric in two.metrics:
            yield _Found(two=two, metric=metric, what=finding(metric), where=short_label(two.candidate, axes))


def _named(found: Sequence[_Found], names: Sequence[str], what: str, before: str) -> str:
    """`worse in clip_score (3 of 4 settings, largest −0.42 [−0.50 – −0.34] at high, 4 steps)`."""
    said = []
    for name in names:
        tested = [one for one in found if one.metric.spec.name == name and one.what != "not tested"]
        those = [one for one in tested if one.what == what]
        if those:
            most = max(those, key=lambda one: abs(one.metric.difference.value) if one.metric.difference else 0.0)
            many = f"{len(those)} of {count(len(tested), 'setting')}, largest " if len(tested) > 1 else ""
            brand = "; untrained weights" if most.metric.untrained else ""
            said.append(f"{visible(name)} ({many}{most.said}{brand})")
    return before + ", ".join(said) if said else ""


def _equal(comparison: Comparison) -> str:
    pairs = sum(two.pairs for two in comparison.settings)
    equal = pairs and pairs == sum(two.identical for two in comparison.settings)
    return f"all {count(pairs, 'pair')} of pictures are equal files" if equal else ""


def _more_mishaps(comparison: Comparison) -> Iterator[tuple[Regression, RateComparison]]:
    for _, one in more_mishaps(comparison.settings, tuple(RATE_NAMES))[0]:
        if isinstance(one.what, RateComparison):
            yield one, one.what


def _failing(comparison: Comparison) -> str:
    """Mishaps that are established to be more, each where it is the most."""
    axes = differing(comparison.settings)
    found = list(_more_mishaps(comparison))
    said = []
    for quantity, name in RATE_NAMES.items():
        those = [(one, rate) for one, rate in found if rate.quantity == quantity]
        if those:
            one, rate = max(those, key=lambda pair: pair[1].difference.value if pair[1].difference else 0.0)
            where = short_label(one.candidate, axes)
            said.append(f"more {name} ({_counts(rate)}{f' at {where}' if where else ''})")
    return ", ".join(said)


def _counts(rate: RateComparison) -> str:
    """`12 of 24 against 0 of 24`."""
    sides = ((rate.candidate_count, rate.candidate_n), (rate.base_count, rate.base_n))
    return " against ".join(count_text(*side) for side in sides)


def _shifted(found: Sequence[_Found], name: str) -> bool:
    return any(one.what == "shifted" for one in found if one.metric.spec.name == name)


def _no_loss(found: Sequence[_Found], name: str) -> bool:
    """Whether a metric with a better side was tested, and no difference was shown anywhere."""
    those = [one for one in found if one.metric.spec.name == name]
    told = {one.what for one in those}
    return those[0].metric.better != "reference" and "none shown" in told and not told & {"worse", "better"}


def _untested(found: Sequence[_Found], name: str) -> bool:
    return all(one.what == "not tested" for one in found if one.metric.spec.name == name)


def _listed(before: str, names: Sequence[str]) -> str:
    shown = list(map(visible, names))
    if not shown:
        return ""
    return before + (", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else shown[0])
