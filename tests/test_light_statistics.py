"""What replaces `scipy.stats` where a report would load it for one number, against scipy itself."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from kreabench.analysis.estimates import _ranks
from kreabench.analysis.families import holm
from kreabench.analysis.kendall import benjamini_yekutieli, kendall_p, theil_slope
from kreabench.analysis.one_sided import skewness
from kreabench.analysis.rates import rate_difference
from kreabench.analysis.student import t_test


@pytest.mark.parametrize("n", [2, 3, 10, 33, 34, 200, 700])
@pytest.mark.parametrize("levels", [None, 3, 40], ids=["no ties", "many ties", "some ties"])
@pytest.mark.parametrize("trend", [0.0, 0.02, 50.0])
def test_a_trend_is_tested_as_scipy_tests_it(n: int, levels: int | None, trend: float) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.uniform(0, 10, n), rng.normal(size=n)
    y = y + trend * x
    if levels:
        x, y = np.round(x * levels / 10), np.round(y * levels / np.abs(y).max())
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    assert kendall_p(x, y) == pytest.approx(float(stats.kendalltau(x, y).pvalue), rel=1e-9, abs=1e-300)
    assert theil_slope(x, y) == float(stats.theilslopes(y, x)[0])


def test_p_values_are_corrected_as_scipy_corrects_them() -> None:
    p = np.random.default_rng(3).uniform(0, 0.2, 40) ** 2
    assert benjamini_yekutieli(p) == pytest.approx(stats.false_discovery_control(p, method="by"), rel=1e-12)


@pytest.mark.parametrize("n", [2, 5, 40, 1000])
def test_students_test_and_the_skewness_are_those_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).gamma(2.0, size=n) - 1.7
    assert t_test(values) == pytest.approx(float(stats.ttest_1samp(values, 0.0).pvalue), rel=1e-12)
    less = float(stats.ttest_1samp(values, 0.0, alternative="less").pvalue)
    assert t_test(values, "less") == pytest.approx(less, rel=1e-12)
    if n > 2:
        assert skewness(values) == pytest.approx(float(stats.skew(values, bias=False)), rel=1e-12)


@pytest.mark.parametrize("counts", [(0, 7, 0, 9), (3, 7, 0, 9), (7, 7, 1, 400), (12, 300, 30, 200), (5, 5, 5, 5)])
def test_the_interval_of_a_difference_of_rates_is_newcombes(counts: tuple[int, int, int, int]) -> None:
    base, base_n, candidate, candidate_n = counts
    found = rate_difference(*counts)
    expected = confint_proportions_2indep(candidate, candidate_n, base, base_n, method="newcomb", compare="diff")
    assert found is not None
    assert found.interval == pytest.approx(expected, abs=1e-12)


def test_holms_correction_is_that_of_statsmodels() -> None:
    p = [*np.random.default_rng(5).uniform(0, 0.3, 30) ** 2, 0.01, 0.01, 1.0, 0.0]
    expected = multipletests(p, method="holm")[1]
    assert holm(p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("p", "alternative"), [(0.5, "two-sided"), (0.9, "greater"), (0.9, "less"), (0.99, "less")])
def test_ranks_of_an_interval_are_those_of_scipy(p: float, alternative: Any) -> None:
    for n in [*range(1, 400), 1000, 5000]:
        above = max(0.025, p**n * (1 + 1e-9))
        level = {"two-sided": 0.95, "greater": 0.95 + above, "less": 1 - above}[alternative]
        if not 0 < level < 1:
            continue
        ends = stats.quantile_test(np.arange(n), p=p, alternative=alternative).confidence_interval(level)
        low, high = float(ends.low), float(ends.high)
        expected = (int(low) if math.isfinite(low) else 0), (int(high) if math.isfinite(high) else -1)
        assert _ranks(n, p, alternative, level) == expected, n


def test_a_report_loads_neither_scipy_stats_nor_what_draws_pictures() -> None:
    heavy = ["scipy.stats", "kreabench.execution.engine", "kreabench.scoring.stage", "pydantic", "omegaconf", "plotly"]
    code = f"import sys; import kreabench.reporting; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
