"""Knees of curves of quality over steps."""

from __future__ import annotations

import numpy as np
import pytest

from kreabench.analysis.knees import bend, find_knee, sure_knee

STEPS = np.array([1, 2, 4, 8, 12, 16, 20, 24, 28], dtype=float)


def test_a_curve_that_bends_at_a_corner_has_its_knee_there() -> None:
    corner = np.minimum(STEPS, 8.0)
    assert find_knee(STEPS, corner) == 3


def test_the_knee_of_the_paper() -> None:
    """Figure 2 of Satopää 2011: y = −1 / x + 5 on ten points from 0 to 1 has its knee at 0.22."""
    x = np.linspace(0.0, 1.0, 10)
    y = -1 / (x + 0.1) + 5
    assert x[find_knee(x, y) or 0] == pytest.approx(0.22, abs=0.01)


@pytest.mark.parametrize(
    "y",
    [STEPS, np.zeros(9), -np.minimum(STEPS, 8.0), STEPS**2],
    ids=["straight", "flat", "falling", "ever steeper"],
)
def test_no_knee_where_there_is_none(y: np.ndarray) -> None:
    assert find_knee(STEPS, y) is None


def test_fewer_than_four_points_have_no_knee() -> None:
    assert find_knee(STEPS[:3], np.array([0.0, 0.9, 1.0])) is None


def resamples(level: np.ndarray, noise: float, seed: int, prompts: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Means over prompts of noisy scores, and 200 resamples of these."""
    random = np.random.default_rng(seed)
    scores = level + random.normal(size=(prompts, 1)) + noise * random.normal(size=(prompts, level.size))
    weights = random.multinomial(prompts, np.full(prompts, 1 / prompts), size=200) / prompts
    return scores.mean(axis=0), weights @ scores


def test_a_sure_knee_says_how_sure() -> None:
    mean, drawn = resamples(np.minimum(STEPS, 8.0), 0.3, 0)
    knee = sure_knee(STEPS, mean, drawn)
    assert knee is not None
    assert STEPS[knee.index] == 8
    assert knee.share > 0.9
    assert knee.gain_share == pytest.approx(1.0, abs=0.1)


def test_no_knee_where_resamples_disagree() -> None:
    """A curve that surely rises and bends, so gently that noise moves its knee about."""
    mean, drawn = resamples(1 - np.exp(-STEPS / 9), 0.3, 0)
    index = find_knee(STEPS, mean)
    assert index is not None
    assert (drawn[:, -1] > drawn[:, 0]).all()
    assert (bend(STEPS, drawn) > 0).mean() > 0.99
    assert sure_knee(STEPS, mean, drawn) is None


@pytest.mark.parametrize("shape", [np.zeros(9), STEPS / 28], ids=["flat", "straight"])
def test_noise_on_a_line_without_a_bend_is_seldom_a_knee(shape: np.ndarray) -> None:
    found = sum(sure_knee(STEPS, *resamples(shape, 1.0, seed)) is not None for seed in range(60))
    assert found <= 6, found


def test_a_saturating_curve_in_noise_keeps_its_knee_in_most_repetitions() -> None:
    found = [sure_knee(STEPS, *resamples(1 - np.exp(-STEPS / 4), 0.15, seed)) for seed in range(20)]
    told = [STEPS[knee.index] for knee in found if knee is not None]
    assert len(told) >= 15
    assert set(told) <= {4.0, 8.0, 12.0}
