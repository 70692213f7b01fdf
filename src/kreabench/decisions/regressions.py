"""Settings of a run that are established to be worse than their reference: in quality, or by what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kreabench.analysis.families import holm
from kreabench.analysis.rates import p_more_often
from kreabench.core.planned import Setting
from kreabench.core.policies import Rate
from kreabench.decisions.comparison import MetricComparison, RateComparison, SettingComparison
from kreabench.decisions.fidelity import LEVEL
from kreabench.metrics.table import row_of

WATCHED: tuple[Rate, ...] = ("failure_rate", "degenerate_rate")
"""What no setting is allowed to do more often. What a safety checker flags depends on the prompts more than on them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Regression:
    """One setting and what it is worse in."""

    base: Setting
    """Its reference."""
    candidate: Setting
    what: MetricComparison | RateComparison
    p_value: float
    """Of no loss, one-sided, after Holm over all tests of its kind."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Regressions:
    """All that were found, and what was looked at."""

    found: tuple[Regression, ...]
    """In the order of the plan; of a setting quality first."""
    compared: int
    """Settings beside a reference."""
    metrics: tuple[str, ...]
    """That some setting was tested by."""
    score_tests: int
    rate_tests: int
    untrained: tuple[str, ...]
    """Metrics that nothing was tested by, as their weights are random."""


def find_regressions(compared: Sequence[SettingComparison]) -> Regressions:
    """Of all settings of a run beside their references, as `compare_with_reference` gives them.

    Quality: a loss is established and not shown to lie inside the margin, as `decisions.fidelity` judges it, so that no
    table says otherwise. Mishaps: Fisher's exact test. Holm's correction is over all settings and metrics, and over all
    settings and mishaps: each kind keeps its level.
    """
    tested = [(name, said) for setting in compared for name, said in setting.quality if said.p_loss is not None]
    by_setting: list[list[Regression]] = [list(_losses(setting)) for setting in compared]
    mishaps, rate_tests = more_mishaps(compared)
    for number, regression in mishaps:
        by_setting[number].append(regression)
    untrained = (m.spec.name for setting in compared for m in setting.metrics if m.untrained and _sees_alone(m))
    return Regressions(
        found=tuple(one for found in by_setting for one in found),
        compared=len(compared),
        metrics=tuple(dict.fromkeys(name for name, _ in tested)),
        score_tests=len(tested),
        rate_tests=rate_tests,
        untrained=tuple(dict.fromkeys(untrained)),
    )


def _losses(setting: SettingComparison) -> Iterator[Regression]:
    metrics = {metric.spec.name: metric for metric in setting.metrics}
    for name, said in setting.quality:
        if said.outcome == "regressed" and said.p_loss is not None:
            yield Regression(base=setting.base, candidate=setting.candidate, what=metrics[name], p_value=said.p_loss)


def more_mishaps(
    compared: Sequence[SettingComparison], watched: Sequence[Rate] = WATCHED
) -> tuple[list[tuple[int, Regression]], int]:
    """Mishaps that are established to be more, each with the place of its setting in `compared`; and how many tests.

    Fisher's exact test, after Holm over all settings and mishaps.
    """
    rates = [(number, rate) for number, one in enumerate(compared) for rate in one.rates if rate.quantity in watched]
    corrected = holm([_p_more(rate) for _, rate in rates])
    found = [
        (number, Regression(base=compared[number].base, candidate=compared[number].candidate, what=rate, p_value=p))
        for (number, rate), p in zip(rates, corrected, strict=True)
        if p is not None and p <= LEVEL
    ]
    return found, sum(p is not None for p in corrected)


def _p_more(rate: RateComparison) -> float | None:
    """None where a side has nothing to count in, or one prompt alone: what befalls it says nothing of others."""
    if not rate.base_n or not rate.candidate_n or rate.prompts < 2:
        return None
    if not rate.candidate_count:
        return 1.0
    return p_more_often(rate.base_count, rate.base_n, rate.candidate_count, rate.candidate_n)


def _sees_alone(metric: MetricComparison) -> bool:
    row = row_of(metric.spec)
    return metric.better != "reference" and not (row is not None and row.needs_reference)
