"""Rates of mishaps: intervals and tests that need no mishap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kreabench.analysis.rates import p_more_often, rate_difference, z_inside


def test_no_mishap_at_all_still_has_an_interval() -> None:
    found = rate_difference(0, 100, 0, 100)
    assert found is not None
    assert (found.value, found.n) == (0.0, 100)
    assert found.interval == pytest.approx((-0.037, 0.037), abs=5e-4)  # Wilson's upper end of 0 of 100
    assert rate_difference(0, 0, 0, 100) is None
    assert rate_difference(0, 100, 0, 0) is None


def test_more_mishaps_are_tested_exactly() -> None:
    assert p_more_often(0, 3, 3, 3) == pytest.approx(1 / 20)  # one of the 20 ways to choose 3 of 6
    assert p_more_often(3, 3, 0, 3) == 1.0
    assert p_more_often(0, 3, 3, 3, sides="two") == pytest.approx(2 / 20)


@pytest.mark.parametrize(("base", "margin", "n"), [(0.0, 0.05, 100), (0.05, 0.05, 100), (0.02, 0.02, 200)])
def test_a_rise_of_the_whole_margin_is_shown_to_lie_inside_in_at_most_5_of_100(
    base: float, margin: float, n: int
) -> None:
    """Over all outcomes, each with its probability."""
    here, there = (stats.binom(n, share).pmf(np.arange(n + 1)) for share in (base, base + margin))
    share = sum(
        here[a] * there[b]
        for a in np.flatnonzero(here > 1e-4)
        for b in np.flatnonzero(there > 1e-4)
        if z_inside(int(a), n, int(b), n, margin=margin) >= stats.norm.ppf(0.95)
    )
    assert 0.01 < share < 0.055


def test_the_margin_at_its_ends() -> None:
    assert z_inside(0, 100, 0, 100, margin=0.0) == -math.inf
    assert z_inside(0, 100, 100, 100, margin=1.0) == math.inf
    assert z_inside(25, 25, 0, 25, margin=0.5) > 5  # where the library's arithmetic needs help
    assert z_inside(0, 100, 10, 100, margin=0.1) == pytest.approx(0.0, abs=1e-6)
