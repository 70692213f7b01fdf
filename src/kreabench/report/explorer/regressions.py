"""What got worse in a run against its own reference, as data."""

from __future__ import annotations

from collections.abc import Mapping

from kreabench.decisions.comparison import MetricComparison
from kreabench.decisions.regressions import Regression, find_regressions
from kreabench.report.explorer.data import RegressionData
from kreabench.report.explorer.short_names import spoken_names
from kreabench.report.explorer.sources import Source
from kreabench.report.verdict_words import regression_sentence, regressions_note


def regressions_of(source: Source) -> tuple[tuple[RegressionData, ...], str]:
    """Those of one run, and what was tested. They come from the comparison that the evidence holds."""
    found = find_regressions(source.evidence.fidelity.settings)
    names = spoken_names(source)
    return tuple(_data(source, one, names) for one in found.found), regressions_note(found)


def _data(source: Source, regression: Regression, names: Mapping[str, str]) -> RegressionData:
    what = regression.what
    return RegressionData(
        setting=source.setting_id(regression.candidate.id),
        against=source.setting_id(regression.base.id),
        quantity=what.spec.name if isinstance(what, MetricComparison) else what.quantity,
        sentence=regression_sentence(regression, names),
    )
