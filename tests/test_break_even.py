"""Own GPU against a hosted service."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kreabench.analysis.break_even import OwnGpu, break_even, day_counts
from kreabench.analysis.estimates import Estimate

GPU = OwnGpu(
    usd_per_hour=2.4,
    seconds_per_image=3.0,
    utilisation=1.0,
    load_s=0.0,
    loads_per_day=0.0,
    joule_per_image=0.0,
    usd_per_kwh=0.0,
)
SECONDS = Estimate(value=3.0, low=2.9, high=3.1, n=20)


def test_all_day_the_break_even_is_the_days_price_over_the_price_of_an_image() -> None:
    found = break_even(GPU, 0.025, "all_day", SECONDS)
    assert found.images_per_day is not None
    assert found.images_per_day.value == pytest.approx(24 * 2.4 / 0.025)  # 2,304
    assert found.capacity == pytest.approx(86400 / 3)
    assert found.usd_at_capacity == pytest.approx(2.4 * 3 / 3600)


def test_beyond_the_capacity_there_is_no_break_even() -> None:
    slow = replace(GPU, seconds_per_image=60.0)
    found = break_even(slow, 0.025, "all_day", replace(SECONDS, value=60.0))
    assert found.images_per_day is None
    assert "2,304" in found.reason
    assert "1,440" in found.reason


def test_while_used_only_the_loads_are_to_be_earned_back() -> None:
    loading = replace(GPU, load_s=300.0, loads_per_day=2.0)
    found = break_even(loading, 0.025, "rented_while_used", SECONDS)
    image = 2.4 * 3 / 3600
    assert found.images_per_day is not None
    assert found.images_per_day.value == pytest.approx(2.4 * 600 / 3600 / (0.025 - image))
    low, high = found.images_per_day.interval or (0, 0)
    assert low < found.images_per_day.value < high


@pytest.mark.parametrize("price", [0.0019, 0.001])
def test_a_service_that_costs_no_more_than_an_own_image_is_never_beaten(price: float) -> None:
    found = break_even(GPU, price, "rented_while_used", SECONDS)
    assert found.images_per_day is None
    assert found.reason


def test_at_the_break_even_both_cost_the_same_with_power_and_pauses() -> None:
    gpu = replace(GPU, utilisation=0.5, load_s=120.0, loads_per_day=3, joule_per_image=2100.0, usd_per_kwh=0.4)
    for ownership in ("rented_while_used", "all_day"):
        found = break_even(gpu, 0.02, ownership, SECONDS)
        assert found.images_per_day is not None
        images = np.array([found.images_per_day.value])
        assert gpu.usd_per_image(ownership, images)[0] == pytest.approx(0.02)


def test_the_curve_ends_at_the_capacity() -> None:
    days = day_counts(GPU.capacity)
    assert days[-1] == pytest.approx(GPU.capacity)
    assert np.isnan(GPU.usd_per_image("all_day", np.array([GPU.capacity * 1.01])))[0]
