"""Numbers as people read them."""

from __future__ import annotations

import pytest

from kreabench.analysis.estimates import Estimate
from kreabench.report.format import count, difference, duration, estimate, memory_unit, significant, usd


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0000567, "0.0000567"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (12.345, "12.3"),
        (999.7, "1,000"),
        (1234.5, "1,234"),
        (-0.02514, "-0.0251"),
    ],
)
def test_three_significant_digits_and_never_an_exponent(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.5123, 0.4981, 0.5302, ("0.512", "0.498 – 0.530")),
        (25.0, 24.96, 25.04, ("25.00", "24.96 – 25.04")),
        (25.0, 25.0, 25.0, ("25.0", "25.0 – 25.0")),
        (0.00012, -0.21, 0.2, ("0.000", "-0.210 – 0.200")),
        (-0.0004, -0.5, 0.5, ("0.000", "-0.500 – 0.500")),
        (3.14159, None, None, ("3.14", None)),
        (0.0440, 0.0430, 0.1380, ("0.0440", "0.0430 – 0.1380")),
        (2.6, 0.0, 10.5, ("2.60", "0.00 – 10.50")),
    ],
)
def test_value_and_interval_have_the_same_decimals(
    value: float, low: float | None, high: float | None, text: tuple[str, str | None]
) -> None:
    assert estimate(Estimate(value=value, low=low, high=high, n=9)) == text


def test_an_interval_far_narrower_than_its_value_does_not_grow_without_end() -> None:
    assert estimate(Estimate(value=25.0, low=24.999999, high=25.000001, n=9)) == ("25.000", "25.000 – 25.000")


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.463, -1.647, 2.573, ("+0.5", "-1.6 – 2.6")),
        (-0.0369, -0.2067, 0.1328, ("-0.04", "-0.21 – 0.13")),
        (-1.27e-7, -2.95e-7, 4.1e-8, ("-1.3 × 10⁻⁷", "(-2.9 – 0.4) × 10⁻⁷")),
        (9.49e-7, -1.008e-6, 2.907e-6, ("+0.9 × 10⁻⁶", "(-1.0 – 2.9) × 10⁻⁶")),
        (-12.34, -12.4, -12.28, ("-12.34", "-12.40 – -12.28")),
        (0.33, 0.004, 0.656, ("+0.330", "0.004 – 0.656")),
        (1e-5, -0.02, 0.02, ("0.000", "-0.020 – 0.020")),
        (0.0, 0.0, 0.0, ("0", "0 – 0")),
        (1.5, None, None, ("+1.5", None)),
        (-3.2e-9, None, None, ("-3.2 × 10⁻⁹", None)),
        (1234.0, 1200.0, 1268.0, ("+1,234", "1,200 – 1,268")),
    ],
)
def test_differences_have_a_sign_few_digits_and_a_power_where_they_are_tiny(
    value: float, low: float | None, high: float | None, text: tuple[str, str | None]
) -> None:
    assert difference(Estimate(value=value, low=low, high=high, n=9)) == text


@pytest.mark.parametrize(("value", "text"), [(0, "$0.00"), (0.025, "$0.0250"), (1.5, "$1.50"), (1234.567, "$1,234.57")])
def test_dollars(value: float, text: str) -> None:
    assert usd(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.518, "0.52 s"), (59.4, "59 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7501, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_column_of_memory_has_one_unit() -> None:
    assert memory_unit([2**29, 2**20])[0] == "MiB"
    assert memory_unit([2**29, 2**30])[0] == "GiB"
    assert memory_unit([])[0] == "MiB"


def test_counts_agree_with_their_noun() -> None:
    assert (count(1, "step"), count(2000, "step"), count(2, "box", "boxes")) == ("1 step", "2,000 steps", "2 boxes")
