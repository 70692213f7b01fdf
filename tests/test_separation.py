"""The canary's test of distances: exact where equal, seldom wrong over years of days, and it sees what changed."""

from __future__ import annotations

import numpy as np
import pytest

from kreabench.analysis import separation as module
from kreabench.analysis.daily import DAYS_PER_YEAR, daily_level, unusual
from kreabench.analysis.separation import Drawings, separation


def drawings(points: np.ndarray[tuple[int, int], np.dtype[np.float64]], today: int) -> Drawings:
    """Euclidean distances of points, those of today first."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return Drawings(distances=distances, today=today)


def day(
    rng: np.random.Generator, *, prompts: int = 8, today: int = 1, earlier: int = 6, shift: float = 0.0
) -> list[Drawings]:
    """Pictures as points of ten dimensions: noise about a place of their own, of a size that differs by prompt."""
    found = []
    for size in rng.lognormal(0, 1, prompts):
        points = rng.normal(0, size, (today + earlier, 10))
        points[:today, 0] += shift * size
        found.append(drawings(points, today))
    return found


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough relabellings for the levels of a simulation."""
    monkeypatch.setattr(module, "RESAMPLES", 1999)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("today", "earlier"), [(1, 6), (2, 6), (2, 2)])
def test_equals_are_called_apart_no_oftener_than_the_level_says(today: int, earlier: int) -> None:
    """600 days of a service that only scatters; the binomial bound fails a right test once in 10,000 runs."""
    level, days = 0.05, 600
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(days):
        p = separation(day(rng, today=today, earlier=earlier), rng=rng).p_value
        assert p is not None
        alarms += p <= level
    assert alarms <= 52, "scipy.stats.binom.isf(1e-4, 600, 0.05)"
    assert alarms >= 11, "it would be no test of this level any more: binom.ppf(1e-4, 600, 0.05)"


@pytest.mark.usefixtures("few")
def test_a_day_that_is_compared_with_the_same_past_again_and_again_keeps_its_rate() -> None:
    """Daily use: one fixed reference of five days, and a year of days beside each, 8 services."""
    level, alarms, days = 0.02, 0, 0
    rng = np.random.default_rng(3)
    for _ in range(8):
        sizes = rng.lognormal(0, 1, 8)
        past = [rng.normal(0, size, (6, 10)) for size in sizes]
        for _ in range(60):
            now = [
                drawings(np.concatenate([rng.normal(0, size, (1, 10)), points]), 1)
                for size, points in zip(sizes, past, strict=True)
            ]
            p = separation(now, rng=rng).p_value
            alarms += p is not None and p <= level
            days += 1
    # Days that share a past are not independent: the bound is of their mean, with room for that.
    assert alarms <= 3 * level * days


def test_a_change_is_seen_at_the_level_of_a_daily_test() -> None:
    rng = np.random.default_rng(5)
    level = daily_level(0.2, 3)
    found = [separation(day(rng, shift=12.0), rng=rng) for _ in range(20)]
    assert all(one.p_value is not None and one.p_value <= level for one in found)
    assert all(one.within is not None and one.between > one.within for one in found)


def test_a_change_of_most_prompts_is_seen_where_the_others_repeat_exactly() -> None:
    rng = np.random.default_rng(5)
    same = Drawings(distances=np.zeros((7, 7)), today=1)
    moved = np.zeros((7, 7))
    moved[0, 1:] = moved[1:, 0] = 1.0
    changed = Drawings(distances=moved, today=1)
    six = separation([same, same] + 6 * [changed], rng=rng)
    assert six.p_value is not None
    assert six.p_value <= daily_level(0.2, 3)
    three = separation(5 * [same] + 3 * [changed], rng=rng)
    assert three.least_p == pytest.approx(7**-3)
    assert three.p_value == pytest.approx(7**-3)


def test_with_the_fewest_drawings_a_clear_change_is_seen_for_sure() -> None:
    """Two drawings on either side: what lies apart in every prompt has the exact p-value, whatever is drawn."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = separation(day(rng, today=2, earlier=2, shift=30.0), rng=rng)
        assert found.p_value == found.least_p == pytest.approx(3**-8)
        assert found.p_value is not None
        assert found.p_value <= daily_level(0.2, 3)


def test_drawn_relabellings_agree_with_a_list_of_all() -> None:
    """Three prompts of six drawings: every combination, by hand."""
    rng = np.random.default_rng(1)
    prompts = day(rng, prompts=3, today=1, earlier=5, shift=1.5)

    def apart(one: Drawings, chosen: int) -> float:
        others = [other for other in range(6) if other != chosen]
        between = np.mean([one.distances[chosen, other] for other in others])
        within = np.mean([one.distances[a, b] for a in others for b in others if a < b])
        return float((between - within) / one.distances[np.triu_indices(6, 1)].mean())

    sums = [
        apart(prompts[0], a) + apart(prompts[1], b) + apart(prompts[2], c)
        for a in range(6)
        for b in range(6)
        for c in range(6)
    ]
    exact = float(np.mean(np.asarray(sums) >= sums[0] - 1e-9))
    found = separation(prompts, rng=rng)
    assert found.p_value == pytest.approx(exact, abs=0.005)
    assert 0.05 < exact < 0.95, "not at an end, where there is nothing to draw"


def test_what_was_drawn_too_seldom_is_no_test() -> None:
    rng = np.random.default_rng(0)
    lone = drawings(np.array([[0.0], [1.0]]), 1)
    found = separation([lone], rng=rng)
    assert (found.p_value, found.least_p, found.within, found.between) == (None, None, None, 1.0)
    assert separation([], rng=rng).p_value is None


def test_levels_add_up_to_the_false_alarms_of_a_year() -> None:
    assert daily_level(0.2, 3) * 3 * DAYS_PER_YEAR == pytest.approx(0.2)


def test_slower_days_are_called_so_as_rarely_as_the_level_says() -> None:
    """Days that scatter as is believed, from the third on; a right test fails once in 10,000 runs."""
    rng = np.random.default_rng(11)
    level, alarms = 0.01, 0
    for _ in range(3000):
        earlier = np.exp(rng.normal(0.7, 0.15, rng.integers(2, 30)))
        alarms += unusual(float(np.exp(rng.normal(0.7, 0.15))), list(earlier), level=level).p_large <= level
    assert alarms <= 52, "scipy.stats.binom.isf(1e-4, 3000, 0.01)"


def test_a_service_of_even_pace_is_known_better_day_by_day() -> None:
    level = daily_level(0.2, 3)
    steady = [1.0, 1.01, 0.99] * 20
    limits = [unusual(1.0, steady[:days], level=level).limit for days in (2, 10, 60)]
    assert limits[0] > 1.9
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] < 1.4
    seen = unusual(3.0, steady[:3], level=level)
    assert seen.p_large <= level < seen.p_small
    assert seen.ratio == pytest.approx(3.0, rel=0.01)
    assert unusual(1 / 3, steady[:3], level=level).p_small <= level
