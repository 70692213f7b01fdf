"""A canary's latency and price, apart from its pictures."""

from __future__ import annotations

from kreabench.decisions.canary_costs import judge_latency, judge_prices
from kreabench.decisions.canary_days import Asked, Priced
from tests.canary_support import LEVEL, asked, make_day


def latency(*medians_s: float | None) -> list[str]:
    days = [make_day(number, latency_s=median) for number, median in enumerate(medians_s, 1)]
    return [verdict.state for verdict in judge_latency(days, level=LEVEL)]


def test_a_lasting_slowdown_is_called_once() -> None:
    assert latency(1.0, 1.1, 0.95, 3.0, 3.1, 2.9) == ["first", "first", "usual", "slower", "first", "usual"]


def test_faster_is_told_apart() -> None:
    assert latency(3.0, 3.1, 2.9, 1.0) == ["first", "first", "usual", "faster"]


def test_a_day_without_timings_is_no_day_of_latency() -> None:
    assert latency(1.0, None, 1.1, 1.0) == ["first", "not measured", "first", "usual"]


def test_a_little_slower_is_nobodys_alarm() -> None:
    assert latency(*[1.0, 1.001] * 200, 1.15)[-1] == "usual"


def test_where_the_time_went_is_said() -> None:
    days = [make_day(number, queue_s=0.1, inference_s=0.9) for number in (1, 2)]
    slow = make_day(3, latency_s=4.0, queue_s=3.1, inference_s=0.9)
    verdict = judge_latency([*days, slow], level=LEVEL)[-1]
    assert "in the queue 3.1 s, before 0.1 s" in verdict.reason
    assert "at work 0.9 s, before 0.9 s" in verdict.reason
    assert (verdict.days, verdict.median_s, round(verdict.earlier_s or 0, 6)) == (2, 4.0, 1.0)


def priced(usd: float, units: float | None = 1.0, basis: str = "billed", prompts: int = 8) -> dict[Asked, Priced]:
    return {asked(number): Priced(usd=usd, basis=basis, units=units) for number in range(prompts)}


def test_any_other_price_is_a_change_and_says_whose() -> None:
    days = [
        make_day(1, prices=priced(0.025)),
        make_day(2, prices=priced(0.025, prompts=5)),
        make_day(3),
        make_day(4, prices=priced(0.05, units=2.0)),
        make_day(5, prices=priced(0.06, units=2.0)),
        make_day(6, prices=priced(0.06, units=None, basis="price list")),
    ]
    found = judge_prices(days)
    assert [one.state for one in found] == ["first", "same", "not known", "changed", "changed", "not known"]
    assert "5 of 5 requests cost another price: $0.05 a picture, $0.025 on day-2" in found[3].reason
    assert "bills 2 units for what were 1" in found[3].reason
    assert "the price list" in found[4].reason
    assert found[3].earlier_usd_per_image == 0.025
