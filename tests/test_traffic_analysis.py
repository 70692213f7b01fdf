"""Levels of load against queues whose truth is known: M/M/1, D/D/1 with a known capacity, and closed loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kreabench.analysis.dependence import dependent_quantile, dependent_share, independent_n
from kreabench.analysis.estimates import latency_quantile
from kreabench.analysis.paired import Floats
from kreabench.analysis.saturation import (
    closed_saturation,
    open_saturation,
    promise_of,
    without_latency_intervals,
)
from kreabench.analysis.traffic import Arrivals, LevelSummary, poisson_rate, summarise_level
from kreabench.decisions.columns import MEASURED, Requests
from kreabench.decisions.costs import Measured, measured, ratio_of


def queue(rng: np.random.Generator, rate: float, window_s: float, work_s: Floats | float, servers: int = 1) -> Arrivals:
    """Poisson arrivals, served first come, first served. `work_s`: of each, or the mean of exponential ones."""
    gaps = rng.exponential(1 / rate, size=int(rate * window_s + 10 * math.sqrt(rate * window_s) + 20))
    at_s = np.cumsum(gaps)
    at_s = at_s[at_s < window_s]
    work = rng.exponential(work_s, at_s.size) if isinstance(work_s, float) else np.resize(work_s, at_s.size)
    free = np.zeros(servers)
    end_s = np.empty_like(at_s)
    for number, (arrival, duration) in enumerate(zip(at_s, work, strict=True)):
        server = int(free.argmin())
        free[server] = end_s[number] = max(arrival, free[server]) + duration
    return Arrivals(window_s=window_s, at_s=at_s, end_s=end_s, ok=np.ones(at_s.size, dtype=bool), lag_s=np.zeros(1))


def level(arrivals: Arrivals, objective_s: float | None = None) -> LevelSummary:
    return summarise_level(arrivals, objective_s=objective_s, open_loop=True)


def test_independent_values_are_worth_what_they_are() -> None:
    rng = np.random.default_rng(1)
    worth = [independent_n(rng.normal(size=400)) for _ in range(50)]
    assert np.median(worth) > 300
    assert max(worth) <= 400


@pytest.mark.parametrize("phi", [0.5, 0.8, 0.9])
def test_dependent_ones_are_worth_as_many_as_theory_says(phi: float) -> None:
    """An autoregression of order 1 has the autocorrelation time (1 + φ) / (1 − φ); ranks of a normal one nearly so."""
    rng = np.random.default_rng(2)
    worth = []
    for _ in range(40):
        noise, x = rng.normal(size=4000), np.empty(4000)
        x[0] = noise[0] / math.sqrt(1 - phi**2)
        for number in range(1, x.size):
            x[number] = phi * x[number - 1] + noise[number]
        worth.append(independent_n(x))
    assert np.median(worth) == pytest.approx(4000 * (1 - phi) / (1 + phi), rel=0.15)


def test_intervals_hold_behind_a_queue_where_those_of_independent_values_do_not() -> None:
    """Time in an M/M/1 queue is exponential with rate μ − λ. At 60 % load, over 600 requests."""
    rng = np.random.default_rng(3)
    truth = {p: -math.log(1 - p) / 0.4 for p in (0.9, 0.95)}
    held = dict.fromkeys(truth, 0)
    naive = dict.fromkeys(truth, 0)
    rounds = 200
    for _ in range(rounds):
        served = queue(rng, 0.6, 1300.0, 1.0)
        settled = served.at_s > 300  # the queue was empty at first, which is no part of the truth
        latency = (served.end_s - served.at_s)[settled]
        for p, value in truth.items():
            found, simple = dependent_quantile(latency, p), latency_quantile(latency, p)
            assert found is not None
            assert simple is not None
            assert simple.interval is not None
            if found.interval is None:
                held[p] += 1  # it says that it does not know
            else:
                held[p] += found.interval[0] <= value <= found.interval[1]
            naive[p] += simple.interval[0] <= value <= simple.interval[1]
    assert min(held.values()) >= 0.88 * rounds
    assert max(naive.values()) <= 0.75 * rounds


def test_of_independent_values_nothing_is_lost() -> None:
    values = np.random.default_rng(4).exponential(size=500)
    found, simple = dependent_quantile(values, 0.9), latency_quantile(values, 0.9)
    assert found is not None
    assert simple is not None
    assert found.value == simple.value
    assert found.interval is not None
    assert simple.interval is not None
    assert found.interval[1] - found.interval[0] < 1.6 * (simple.interval[1] - simple.interval[0])
    assert dependent_quantile(values[:28], 0.9) is None


def test_a_run_of_failures_is_one_misfortune_and_not_many() -> None:
    apart = np.zeros(200)
    apart[::20] = 1
    together = np.zeros(200)
    together[100:110] = 1
    wide, narrow = dependent_share(together), dependent_share(apart)
    assert wide is not None
    assert narrow is not None
    assert wide.value == narrow.value == 0.05
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.high > narrow.high


def test_a_stable_queue_is_hardly_ever_said_to_grow_and_an_overloaded_one_is() -> None:
    rng = np.random.default_rng(5)
    stable = sum(level(queue(rng, 0.8, 300.0, 1.0)).grows for _ in range(100))
    overloaded = sum(level(queue(rng, 2.0, 60.0, 1.0)).grows for _ in range(50))
    assert stable <= 5
    assert overloaded >= 45


def test_the_knee_is_the_capacity() -> None:
    """Two servers of half a second each carry 4 a second."""
    rng = np.random.default_rng(6)
    loads = (1.0, 2.0, 3.0, 6.0, 10.0)
    hits = 0
    for _ in range(40):
        levels = [level(queue(rng, rate, 60.0, np.array([0.5]), servers=2), objective_s=1.5) for rate in loads]
        found = open_saturation(loads, levels, 0.9)
        assert found.knee is not None
        assert found.knee.interval is not None
        hits += found.knee.interval[0] <= 4 <= found.knee.interval[1]
        assert found.promises[0] == "kept"
        assert found.promises[-1] == "broken"
        assert found.greatest_kept in (1.0, 2.0, 3.0)
        assert found.above is None
    assert hits >= 36


def test_a_service_that_collapses_has_its_knee_between_two_loads() -> None:
    """It carries 4 a second, and 1 where 8 come."""
    rng = np.random.default_rng(9)
    loads = (2.0, 3.5, 8.0)
    work_s = (0.25, 0.25, 1.0)
    levels = [level(queue(rng, rate, 60.0, np.array([work]))) for rate, work in zip(loads, work_s, strict=True)]
    found = open_saturation(loads, levels, 0.9)
    assert found.collapses
    assert found.knee is not None
    assert (found.knee.value, found.knee.interval) == (3.5, (3.5, 8.0))


def test_too_few_requests_at_a_light_load_hide_no_promise_kept_at_a_heavier_one() -> None:
    rng = np.random.default_rng(10)
    loads = (0.1, 2.0, 20.0)
    levels = [level(queue(rng, rate, 60.0, np.array([0.1])), objective_s=1.0) for rate in loads]
    found = open_saturation(loads, levels, 0.9)
    assert found.promises == ("undecided", "kept", "broken")
    assert found.greatest_kept == 2.0


def test_below_the_capacity_there_is_no_knee() -> None:
    rng = np.random.default_rng(7)
    loads = (0.5, 1.0)
    levels = [level(queue(rng, rate, 120.0, np.array([0.5]), servers=2)) for rate in loads]
    found = open_saturation(loads, levels, 0.9)
    assert (found.knee, found.above) == (None, 1.0)


def test_the_knee_of_a_closed_loop_is_where_more_in_flight_carry_no_more() -> None:
    """Throughput is the smaller of N / R and the capacity: here R = 1 s and 4 a second."""
    loads = (1.0, 2.0, 4.0, 8.0, 16.0)
    levels = []
    for load in loads:
        gap_s = 1 / min(load, 4.0)
        end_s = np.arange(gap_s, 100.0, gap_s)
        arrivals = Arrivals(
            window_s=100.0,
            at_s=end_s - load * gap_s,
            end_s=end_s,
            ok=np.ones(end_s.size, dtype=bool),
            lag_s=np.zeros(1),
        )
        levels.append(summarise_level(arrivals, objective_s=None, open_loop=False))
    found = closed_saturation(loads, levels, 0.9, np.random.default_rng(8))
    assert found.knee is not None
    assert found.knee.value == 4.0
    assert levels[0].growth is None


def shedding(rng: np.random.Generator, rate: float, window_s: float, capacity: int) -> Arrivals:
    """Each takes a second; what comes while `capacity` are under way is refused at once."""
    served = queue(rng, rate, window_s, np.array([1.0]), servers=10_000)
    end_s, ok, ends = served.end_s.copy(), served.ok.copy(), np.full(capacity, -math.inf)
    for number, at_s in enumerate(served.at_s):
        free = int(ends.argmin())
        ok[number] = ends[free] <= at_s
        end_s[number] = at_s + (1.0 if ok[number] else 0.01)
        if ok[number]:
            ends[free] = end_s[number]
    return Arrivals(window_s=window_s, at_s=served.at_s, end_s=end_s, ok=ok, lag_s=np.zeros(1))


def test_a_service_that_refuses_what_is_too_much_is_overloaded_without_a_queue() -> None:
    rng = np.random.default_rng(11)
    loads = (0.5, 12.0)
    levels = [level(shedding(rng, rate, 60.0, 4)) for rate in loads]
    assert [(one.grows, one.overloaded) for one in levels] == [(False, False), (False, True)]
    found = open_saturation(loads, levels, 0.9)
    assert found.fails_at == 12.0
    assert found.knee is not None
    assert found.knee.value == pytest.approx(4, rel=0.25)


def test_a_dead_service_shows_no_knee_and_is_overloaded() -> None:
    at_s = np.arange(0.0, 60.0, 0.5)
    dead = Arrivals(window_s=60.0, at_s=at_s, end_s=at_s + 0.01, ok=np.zeros(120, dtype=bool), lag_s=np.zeros(0))
    found = open_saturation((2.0,), [level(dead)], 0.9)
    assert (found.knee, found.fails_at) == (None, 2.0)


def test_goodput_is_never_more_than_what_is_carried() -> None:
    """Of ten requests, the last four end in the drain."""
    at_s = np.arange(10.0)
    late = Arrivals(window_s=10.0, at_s=at_s, end_s=at_s + 4.5, ok=np.ones(10, dtype=bool), lag_s=np.zeros(1))
    found = level(late, objective_s=5.0)
    assert found.goodput is not None
    assert (found.goodput.value, found.throughput.value) == (0.6, 0.6)
    assert found.good is not None
    assert found.good.value == 1.0
    assert level(late).goodput is None


def test_a_slow_service_is_not_said_to_grow_where_the_level_is_too_short_for_it() -> None:
    """No queue at all: each takes 50 s of a level of 60."""
    served = queue(np.random.default_rng(12), 2.0, 60.0, np.array([50.0]), servers=10_000)
    found = level(served)
    assert (found.too_short, found.growth, found.grows, found.overloaded) == (True, None, False, False)
    assert not level(queue(np.random.default_rng(12), 20.0, 60.0, np.array([1.0]))).too_short


def test_every_number_of_a_small_level_is_as_counted_by_hand() -> None:
    """Six requests, one a second, in a window of 6 s: one fails at once, one is never answered."""
    at_s = np.arange(6.0)
    end_s = np.array([0.5, 3.5, 2.1, 3.9, math.inf, 7.0])
    ok = np.array([True, True, False, True, False, True])
    found = summarise_level(
        Arrivals(window_s=6.0, at_s=at_s, end_s=end_s, ok=ok, lag_s=np.array([0.01, 0.02])),
        objective_s=2.0,
        open_loop=True,
    )
    assert (found.sent, found.ok, found.failed, found.unanswered) == (6, 4, 1, 1)
    assert (found.arrivals_per_s, found.throughput.value) == (1.0, 0.5)
    assert found.good is not None
    assert found.good.value == pytest.approx(3 / 6)
    assert found.goodput is not None
    assert found.goodput.value == pytest.approx(2 / 6), "the last one ends in the drain"
    assert found.error_share is not None
    assert found.error_share.value == pytest.approx(2 / 6)
    assert found.latency is not None
    assert found.latency.value == pytest.approx((0.9 + 2.0) / 2)
    assert (found.most_in_system, found.left_in_system) == (2, 2)
    assert found.growth is not None
    assert found.growth.value == pytest.approx((3 - 2) / 3)
    assert found.percentiles == {}
    assert found.lag_s == 0.02


def test_a_level_without_an_answer_has_no_latency_and_is_no_success() -> None:
    arrivals = Arrivals(
        window_s=10.0, at_s=np.arange(10.0), end_s=np.full(10, math.inf), ok=np.zeros(10, dtype=bool), lag_s=np.zeros(0)
    )
    found = level(arrivals)
    assert (found.latency, found.ok, found.unanswered, found.left_in_system) == (None, 0, 10, 10)
    assert found.throughput.value == 0
    assert found.grows
    empty = np.zeros(0)
    none = Arrivals(window_s=10.0, at_s=empty, end_s=empty, ok=empty.astype(bool), lag_s=empty)
    nothing = level(none)
    assert (nothing.sent, nothing.good, nothing.grows) == (0, None, False)


def test_the_interval_of_a_count_is_exact() -> None:
    """Garwood's table: of 0 events 0 to 3.69, of 10 events 4.80 to 18.39."""
    assert poisson_rate(0, 1.0).interval == pytest.approx((0.0, 3.689), abs=1e-3)
    assert poisson_rate(10, 1.0).interval == pytest.approx((4.795, 18.39), abs=1e-2)


def test_near_the_knee_and_beyond_it_nothing_is_said_to_be_kept_and_latencies_have_no_interval() -> None:
    """Four servers at 80 % of what they can, of whose requests 93 % are in time; 95 % are asked for."""
    rng = np.random.default_rng(11)
    loads, kept, alone = (1.0, 4.0, 12.0), 0, 0
    many = [queue(rng, 4.0, 60.0, 0.8, servers=4) for _ in range(300)]
    objective_s = float(np.quantile(np.concatenate([one.end_s - one.at_s for one in many]), 0.93))
    for settled in many[:100]:
        light, heavy = (queue(rng, rate, 60.0, 0.8, servers=4) for rate in (1.0, 12.0))
        levels = [level(one, objective_s) for one in (light, settled, heavy)]
        found = open_saturation(loads, levels, 0.95)
        kept += found.promises[1] == "kept"
        alone += promise_of(levels[1], 0.95) == "kept"
        assert [found.is_near(load) for load in (1.0, 12.0)] == [False, True]
    assert alone >= 10, "a level alone often looks better than the service is"
    assert kept <= 2
    told = without_latency_intervals(levels[1])
    assert told.latency is not None
    assert levels[1].latency is not None
    assert (told.latency.value, told.latency.interval) == (levels[1].latency.value, None)
    assert all(found.interval is None for found in told.percentiles.values())
    assert not open_saturation(loads[:1], levels[:1], 0.95).is_near(1.0), "no knee, nothing known"


def test_two_levels_of_one_service_are_rarely_said_to_differ() -> None:
    """Of requests of 32 prompts, at 60 % of what four servers can."""
    rng = np.random.default_rng(12)
    rounds, found, naive = 150, 0, 0
    for _ in range(rounds):
        sides = [queue(rng, 4.0, 120.0, 0.6, servers=4) for _ in range(2)]
        base, candidate = (cost_of(one, may_wait=True) for one in sides)
        ratio, simple = ratio_of(base, candidate), ratio_of(*(cost_of(one, may_wait=False) for one in sides))
        assert ratio is not None
        assert simple is not None
        assert ratio.interval is not None
        assert simple.interval is not None
        assert ratio.value == simple.value
        found += not ratio.interval[0] <= 1 <= ratio.interval[1]
        naive += not simple.interval[0] <= 1 <= simple.interval[1]
    assert found <= 0.08 * rounds
    assert naive >= 0.15 * rounds


def cost_of(arrivals: Arrivals, *, may_wait: bool) -> Measured:
    """As of a table of samples, sorted by prompt as `decisions.columns` does."""
    latency = arrivals.end_s - arrivals.at_s
    prompts = np.arange(latency.size) % 32
    order = np.argsort(prompts, kind="stable")
    text, there = np.full(latency.size, "", dtype=object), np.ones(latency.size, dtype=bool)
    nothing = np.full(latency.size, np.nan)
    values = dict.fromkeys(MEASURED, nothing) | {"end_to_end_s": latency[order]}
    requests = Requests(
        keys=np.arange(latency.size),
        places=order,
        prompts=prompts[order],
        ok=there,
        timing_valid=there,
        local=~there,
        error_type=text,
        usd_basis=text,
        values=values,
    )
    return measured(requests, may_wait=may_wait)["latency"]
