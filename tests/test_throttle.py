"""How a service's limit is found: by halving at a refusal, by one more after a window of successes."""

from __future__ import annotations

import pytest

from kreabench.execution.throttle import LONGEST_ASKED_S, LONGEST_PAUSE_S, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make_throttle(concurrency: int, chance: float = 0.0) -> tuple[Throttle, Clock]:
    clock = Clock()
    return Throttle(concurrency, clock=clock, chance=lambda: chance), clock


def test_nothing_is_held_back_before_a_refusal() -> None:
    throttle, _ = make_throttle(8)
    assert [throttle.free(in_flight) for in_flight in (0, 5, 8, 9)] == [8, 3, 0, 0]


def test_refusals_of_requests_that_were_sent_together_count_once() -> None:
    throttle, clock = make_throttle(8)
    clock.now = 1.0
    for _ in range(5):
        throttle.refused(0.0, None)
    assert throttle.limit == 4
    assert throttle.free(0) == 0
    assert throttle.pause_s() == pytest.approx(1.0)
    clock.now = 2.0
    assert throttle.free(1) == 3


def test_pauses_double_up_to_the_longest_and_the_limit_never_falls_below_one() -> None:
    throttle, clock = make_throttle(4)
    pauses = []
    for _ in range(7):
        throttle.refused(clock.now, None)
        pauses.append(throttle.pause_s())
        clock.now += throttle.pause_s()
    assert pauses == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S])
    assert throttle.limit == 1


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 7.0), (1.0, 8.75)])
def test_the_service_s_own_word_is_never_cut_short(chance: float, pause_s: float) -> None:
    throttle, _ = make_throttle(4, chance)
    throttle.refused(0.0, 7.0)
    assert throttle.pause_s() == pytest.approx(pause_s)


def test_a_window_of_successes_allows_one_more_up_to_what_was_asked_for() -> None:
    throttle, clock = make_throttle(4)
    clock.now = 1.0
    throttle.refused(0.5, None)
    throttle.served(0.5)
    throttle.served(0.5)
    assert throttle.limit == 2, "these were sent before the refusal"
    limits = []
    for _ in range(8):
        throttle.served(2.0)
        limits.append(throttle.limit)
    assert limits == [2, 3, 3, 3, 4, 4, 4, 4]


def test_a_success_ends_a_row_of_refusals() -> None:
    throttle, clock = make_throttle(4)
    for _ in range(4):
        throttle.refused(clock.now, None)
        clock.now += throttle.pause_s()
    throttle.served(clock.now)
    throttle.refused(clock.now, None)
    assert throttle.pause_s() == pytest.approx(1.0)


def test_a_wait_without_end_is_cut_short() -> None:
    throttle, _ = make_throttle(4, chance=1.0)
    throttle.refused(0.0, 1e9)
    assert throttle.pause_s() == pytest.approx(1.25 * LONGEST_ASKED_S)


def test_refusals_may_go_on_for_ever() -> None:
    throttle, clock = make_throttle(4)
    for _ in range(1100):
        throttle.refused(clock.now, 0.0)
        clock.now += 1.0
    throttle.refused(clock.now, None)
    assert throttle.pause_s() == pytest.approx(LONGEST_PAUSE_S)


def test_what_was_under_way_at_a_refusal_had_fewer_beside_it() -> None:
    throttle, clock = make_throttle(4)
    assert not throttle.refused_since(0.0)
    clock.now = 1.0
    throttle.refused(0.0, None)
    assert throttle.refused_since(0.0)
    assert not throttle.refused_since(2.0)
