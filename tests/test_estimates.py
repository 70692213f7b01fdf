"""Estimates and intervals, against hand calculation and against simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kreabench.analysis.estimates import (
    CONFIDENCE,
    Estimate,
    latency_quantile,
    least_n,
    median,
    p_in_words,
    prompt_mean,
)


def test_median_of_nothing_is_absent() -> None:
    assert median([]) is None
    assert median([math.nan]) is None


@pytest.mark.parametrize("n", [1, 2, 5])
def test_median_below_six_timings_has_no_interval(n: int) -> None:
    estimate = median(np.arange(n))
    assert estimate is not None
    assert estimate.interval is None
    assert (estimate.value, estimate.n) == ((n - 1) / 2, n)


def test_median_interval_ends_are_the_order_statistics_of_the_binomial() -> None:
    # n = 6: the extremes enclose the median with 1 − 2/64 = 96.9 %. n = 10: the 2nd and 9th with 97.9 %.
    assert median([3, 1, 2, 6, 5, 4]) == Estimate(value=3.5, low=1.0, high=6.0, n=6)
    ten = median(np.arange(1, 11))
    assert ten is not None
    assert ten.interval == (2.0, 9.0)


@pytest.mark.parametrize("n", [6, 15])
def test_median_interval_covers_the_true_median_as_often_as_the_binomial_says(n: int) -> None:
    repetitions, true_median = 600, 1.0
    samples = np.random.default_rng(7).lognormal(0.0, 0.8, size=(repetitions, n))
    estimates = [median(row) for row in samples]
    covered = sum(
        e is not None and e.low is not None and e.high is not None and e.low <= true_median <= e.high for e in estimates
    )
    lowest = int(stats.binom(n, 0.5).ppf(0.025))  # the interval spans this order statistic and its mirror image
    exact = 1 - 2 * stats.binom(n, 0.5).cdf(lowest - 1)
    assert exact >= CONFIDENCE
    assert covered / repetitions == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / repetitions))


@pytest.mark.parametrize(("p", "n"), [(0.90, 29), (0.95, 59), (0.99, 299)])
def test_percentiles_need_enough_timings(p: float, n: int) -> None:
    values = np.random.default_rng(1).lognormal(size=n)
    assert least_n(p) == n
    assert latency_quantile(values[:-1], p) is None
    estimate = latency_quantile(values, p)
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.low < estimate.value < (estimate.high or 0.0)
    assert estimate.high == values.max()


@pytest.mark.parametrize(
    ("p", "n"), [(0.9, 29), (0.9, 40), (0.95, 59), (0.95, 71), (0.95, 72), (0.95, 300), (0.95, 2000), (0.99, 299)]
)
def test_percentile_intervals_cover_in_at_least_95_of_100_repetitions(p: float, n: int) -> None:
    """Exactly: the number of values below the percentile is binomial, whatever the distribution."""
    values = np.arange(n, dtype=float)
    estimate = latency_quantile(values, p)
    assert estimate is not None
    assert estimate.interval is not None
    low, high = (int(end) for end in estimate.interval)
    below = stats.binom(n, p)
    assert CONFIDENCE <= below.cdf(high) - below.cdf(low) <= 0.985
    assert below.sf(high) <= max(0.025, p**n * (1 + 1e-6))  # half of the misses, or what the largest value leaves


@pytest.mark.parametrize("p", [0.5, 1.0, 0.0])
def test_percentiles_outside_the_upper_half_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"between 0\.5 and 1"):
        latency_quantile([1.0], p)


def test_prompt_mean_weighs_prompts_alike_however_many_pictures_they_have() -> None:
    estimate = prompt_mean([1.0, 1.0, 1.0, 3.0], ["a", "a", "a", "b"])
    assert estimate is not None
    assert (estimate.value, estimate.n) == (2.0, 2)
    half = stats.t.ppf(0.975, 1) * math.sqrt(2) / math.sqrt(2)  # sd of (1, 3) is √2, over two prompts
    assert estimate.interval == pytest.approx((2.0 - half, 2.0 + half))


def test_prompt_mean_of_one_prompt_has_no_interval() -> None:
    assert prompt_mean([1.0, 2.0], ["a", "a"]) == Estimate(value=1.5, low=None, high=None, n=1)
    assert prompt_mean([], []) is None


def test_prompt_mean_refuses_values_without_a_prompt() -> None:
    with pytest.raises(ValueError, match="2 values and 1 prompts"):
        prompt_mean([1.0, 2.0], ["a"])


def test_prompt_mean_interval_covers_the_truth_where_counting_pictures_does_not() -> None:
    """25 prompts × 4 seeds, seeds alike within a prompt: the interval over all 100 pictures is far too narrow."""
    repetitions, prompts, seeds = 1500, 25, 4
    random = np.random.default_rng(11)
    truth = 24.0
    by_prompt = truth + random.normal(0, 1.0, size=(repetitions, prompts, 1))
    values = (by_prompt + random.normal(0, 0.5, size=(repetitions, prompts, seeds))).reshape(repetitions, -1)
    labels = [f"prompt {n}" for n in range(prompts) for _ in range(seeds)]
    ours = [e.interval for e in (prompt_mean(row, labels) for row in values) if e is not None]
    covered = np.mean([interval is not None and interval[0] <= truth <= interval[1] for interval in ours])
    naive_half = stats.t.ppf(0.975, prompts * seeds - 1) * values.std(axis=1, ddof=1) / math.sqrt(prompts * seeds)
    naively_covered = np.mean(np.abs(values.mean(axis=1) - truth) <= naive_half)
    assert covered == pytest.approx(CONFIDENCE, abs=4 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / repetitions))
    assert naively_covered < 0.8


@pytest.mark.parametrize(
    ("p", "text"), [(0.5, "p = 0.5"), (0.00671, "p = 0.0067"), (6.2e-5, "p < 0.0001"), (0.0, "p < 0.0001")]
)
def test_p_values_have_no_exponents(p: float, text: str) -> None:
    assert p_in_words(p) == text
