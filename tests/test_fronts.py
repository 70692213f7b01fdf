"""Pareto fronts and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from kreabench.analysis.fronts import find_front, front_shares
from kreabench.analysis.resampling import prompt_weights, resampled_means, resampled_medians


def test_a_point_is_on_the_front_unless_another_is_at_least_as_good_everywhere() -> None:
    values = np.array([[1.0, 5.0], [2.0, 9.0], [3.0, 9.0], [4.0, 1.0]])
    found = find_front(values, np.repeat(values[None], 10, axis=0), [False, True])
    assert found.on_front.tolist() == [True, True, False, False]
    assert found.probability.tolist() == [1, 1, 0, 0]
    dominator = found.dominators[2]
    assert dominator is not None
    assert dominator.index == 1
    assert dominator.probability == 1
    assert found.dominators[0] is None


def test_equal_points_are_both_on_the_front() -> None:
    values = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
    found = find_front(values, values[None], [False, False])
    assert found.on_front.tolist() == [True, True, False]


def test_three_axes_and_the_share_of_resamples() -> None:
    values = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.1]])
    drawn = np.repeat(values[None], 4, axis=0)
    drawn[0, 1, 2] = 0.9  # once the second is the better one
    found = find_front(values, drawn, [False, False, False])
    assert found.on_front.tolist() == [True, False]
    assert found.probability.tolist() == [0.75, 0.25]
    assert found.dominators[1] is not None
    assert found.dominators[1].probability == 0.75


def test_a_point_that_a_resample_leaves_without_a_value_is_not_on_its_front() -> None:
    values = np.array([[1.0, 1.0], [2.0, 2.0]])
    drawn = np.repeat(values[None], 2, axis=0)
    drawn[0, 0] = np.nan
    found = find_front(values, drawn, [False, False])
    assert found.probability.tolist() == [0.5, 0.5]


def test_resampled_medians_are_those_of_the_repeated_values() -> None:
    rng = np.random.default_rng(0)
    values, prompts = rng.lognormal(size=60), np.repeat(np.arange(20), 3)
    weights = prompt_weights(rng, 20, 30)
    expected = [np.median(np.repeat(values, row[prompts].astype(int))) for row in weights]
    assert resampled_medians(values, prompts, weights) == pytest.approx(expected)


def test_resampled_means_spread_as_the_mean_does() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=80)
    means = resampled_means(values, np.arange(80), prompt_weights(rng, 80, 4000))
    assert means.std() == pytest.approx(values.std() / 80**0.5, rel=0.05)


def test_a_resample_without_any_value_has_no_number() -> None:
    weights = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert np.isnan(resampled_medians(np.array([3.0]), np.array([0]), weights)).tolist() == [False, True]
    assert np.isnan(resampled_means(np.array([3.0]), np.array([0]), weights)).tolist() == [False, True]
    assert np.isnan(resampled_medians(np.empty(0), np.empty(0, dtype=np.int64), weights)).all()


def test_shares_of_many_draws_at_once_are_those_of_moocore() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 6, size=(200, 12)).astype(float)  # coarse, so that there are ties of every kind
    y = rng.integers(0, 6, size=(200, 12)).astype(float)
    x[rng.random(x.shape) < 0.05] = np.nan
    y[rng.random(y.shape) < 0.05] = np.nan
    expected = find_front(np.zeros((12, 2)), np.stack([x, y], axis=2), [False, False]).probability
    assert front_shares(x, y) == pytest.approx(expected)


def test_one_point_alone_is_on_the_front() -> None:
    assert front_shares(np.array([[3.0]]), np.array([[4.0]])).tolist() == [1.0]
