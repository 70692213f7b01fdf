"""Ratios of medians: intervals that hold where values of a prompt resemble each other."""

from __future__ import annotations

import numpy as np
import pytest

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.ratios import ratio_of_medians


def test_the_ratio_is_of_the_medians_and_counts_prompts() -> None:
    base, candidate = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([1.0, 1.0, 2.0, 2.0, 9.0, 9.0])
    codes = np.array([0, 0, 1, 1, 2, 2])
    found = ratio_of_medians(base, candidate, codes, codes)
    assert found is not None
    assert (found.value, found.n) == (2.0 / 3.5, 3)
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    assert ratio_of_medians(base, candidate, codes, codes) == found  # no luck of the draw


def test_what_does_not_vary_is_known() -> None:
    codes = np.arange(8)
    found = ratio_of_medians(np.full(8, 2.0), np.full(8, 3.0), codes, codes)
    assert found == Estimate(value=1.5, low=1.5, high=1.5, n=8)
    found = ratio_of_medians(np.full(8, 2.0), np.linspace(2.0, 3.0, 8), codes, codes)
    assert found is not None
    assert found.interval is not None
    assert found.interval[1] > found.interval[0]


@pytest.mark.parametrize(
    ("base", "candidate"), [([], [1.0]), ([1.0], []), ([0.0] * 9, [1.0] * 9), ([1.0] * 9, [1.0, 0.0] * 5)]
)
def test_no_ratio_of_or_to_nothing(base: list[float], candidate: list[float]) -> None:
    assert (
        ratio_of_medians(np.array(base), np.array(candidate), np.arange(len(base)), np.arange(len(candidate))) is None
    )


def test_few_values_and_one_prompt_have_no_interval() -> None:
    few = ratio_of_medians(np.ones(5), np.full(5, 2.0), np.arange(5), np.arange(5))
    assert few == Estimate(value=2.0, low=None, high=None, n=5)
    one = ratio_of_medians(np.ones(9), np.full(9, 2.0), np.zeros(9, dtype=int), np.zeros(9, dtype=int))
    assert one == Estimate(value=2.0, low=None, high=None, n=1)


def test_what_a_prompt_does_to_both_sides_drops_out() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(25), 4)
    effect = rng.normal(0.0, 0.3, 25)[codes]
    base, candidate = (np.exp(effect + rng.normal(0.0, 0.02, 100)) for _ in range(2))
    paired = ratio_of_medians(base, candidate, codes, codes)
    apart = ratio_of_medians(base, candidate, codes, codes + 25)
    assert paired is not None
    assert apart is not None
    assert paired.interval is not None
    assert apart.interval is not None
    assert paired.interval[1] - paired.interval[0] < 0.5 * (apart.interval[1] - apart.interval[0])
