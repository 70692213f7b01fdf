"""Levels of load before workers that draw batches, against queues whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kreabench.analysis.dependence import dependent_median
from kreabench.analysis.saturation import open_saturation
from kreabench.analysis.traffic import Arrivals
from tests.test_traffic_analysis import level, queue

ONE_S, FURTHER_S, MOST = 1.0, 0.25, 4
"""A call takes `ONE_S` and `FURTHER_S` more for each further request, of which it draws `MOST` at most."""
CAPACITY_PER_S = MOST / (ONE_S + (MOST - 1) * FURTHER_S)


def batching(rng: np.random.Generator, rate: float, window_s: float, workers: int = 1) -> Arrivals:
    """Poisson arrivals; a free worker takes those that wait, at most a batch of them, and waits for nobody."""
    at_s = np.cumsum(rng.exponential(1 / rate, size=int(rate * window_s + 10 * math.sqrt(rate * window_s) + 20)))
    at_s = at_s[at_s < window_s]
    end_s, free, first = np.empty_like(at_s), np.zeros(workers), 0
    while first < at_s.size:
        worker = int(free.argmin())
        begin = max(free[worker], at_s[first])
        many = min(MOST, int(np.searchsorted(at_s, begin, side="right")) - first)
        end_s[first : first + many] = free[worker] = begin + ONE_S + (many - 1) * FURTHER_S
        first += many
    return Arrivals(window_s=window_s, at_s=at_s, end_s=end_s, ok=np.ones(at_s.size, dtype=bool), lag_s=np.zeros(1))


def test_batches_of_one_are_the_queue_that_the_other_simulations_have() -> None:
    """The simulation itself: with nobody waiting it is that of a queue with the time of a single request."""
    at_s = batching(np.random.default_rng(1), 0.02, 5000.0)
    same = queue(np.random.default_rng(1), 0.02, 5000.0, np.array([ONE_S]))
    assert (at_s.at_s == same.at_s).all()
    assert np.median(at_s.end_s - at_s.at_s) == np.median(same.end_s - same.at_s) == pytest.approx(ONE_S)


@pytest.mark.parametrize(("load", "window_s"), [(0.5, 60.0), (0.8, 60.0), (0.8, 300.0)])
def test_ends_that_come_in_batches_are_not_taken_for_a_growing_queue(load: float, window_s: float) -> None:
    rng = np.random.default_rng(2)
    rounds = 200
    grows = sum(level(batching(rng, load * CAPACITY_PER_S, window_s)).grows for _ in range(rounds))
    assert grows <= 0.05 * rounds


@pytest.mark.parametrize("workers", [1, 2])
def test_the_knee_is_the_capacity_of_full_batches(workers: int) -> None:
    rng = np.random.default_rng(3)
    capacity = workers * CAPACITY_PER_S
    loads = [0.3 * capacity, 0.6 * capacity, 2.0 * capacity]
    held, knees = 0, []
    for _ in range(40):
        found = open_saturation(loads, [level(batching(rng, rate, 60.0, workers)) for rate in loads], 0.9).knee
        assert found is not None
        assert found.interval is not None
        held += found.interval[0] <= capacity <= found.interval[1]
        knees.append(found.value)
    assert np.median(knees) == pytest.approx(capacity, rel=0.08)
    assert held >= 38


def test_intervals_of_the_median_hold_though_latencies_of_a_batch_go_together() -> None:
    """The truth is the median of a very long level."""
    rng = np.random.default_rng(4)
    rate = 0.6 * CAPACITY_PER_S
    long = batching(rng, rate, 200_000.0)
    truth = float(np.median(long.end_s - long.at_s))
    held = told = 0
    for _ in range(150):
        short = batching(rng, rate, 300.0)
        found = dependent_median(short.end_s - short.at_s)
        assert found is not None
        if found.interval is not None:
            told += 1
            held += found.interval[0] <= truth <= found.interval[1]
    assert told > 120
    assert held >= 0.88 * told
