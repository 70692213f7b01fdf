"""Numbers for people: three significant digits, an interval to match, units chosen once a column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it loads scipy, which `kreabench plan` does not need
    from kreabench.analysis.estimates import Estimate

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LEAST_PLAIN = 1e-4
"""Differences below it are shown with a power of ten."""

ABSENT = "—"
"""Stands for a number that is not there, never for zero; always beside a note that says why."""

MIB, GIB = 2**20, 2**30


def significant(value: float, digits: int = 3) -> str:
    """`value` with at least `digits` significant digits, never in exponent form, thousands set off by commas."""
    return fixed(value, decimals(value, digits))


def general(value: float | None) -> str:
    """A number of an axis as it was asked, or `ABSENT` where the endpoint has no such axis."""
    return ABSENT if value is None else f"{value:g}"


def decimals(value: float, digits: int = 3) -> int:
    """Decimal places that show `value` with `digits` significant digits; 0 for large values, at most 12."""
    if value == 0 or not math.isfinite(value):
        return 0
    exponent = math.floor(math.log10(abs(value)))
    if round(abs(value), digits - 1 - exponent) >= 10 ** (exponent + 1):  # 0.9996 is shown as 1.00
        exponent += 1
    return min(max(digits - 1 - exponent, 0), 12)


def fixed(value: float, places: int) -> str:
    """`value` with that many decimals, thousands set off by commas, and no negative zero."""
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def estimate(value: Estimate, digits: int = 3) -> tuple[str, str | None]:
    """The value, and its interval as `0.49 – 0.53` in as many decimals; None without an interval."""
    low, high = value.interval or (value.value, value.value)
    largest = max(abs(value.value), abs(low), abs(high))
    # As the value alone would be shown, unless it is nearly nothing beside its own interval.
    places = decimals(value.value if abs(value.value) >= largest / 100 else largest, digits)
    if high > low:  # decimals enough to show the width, but no more than two beyond those of the value
        places = min(max(places, decimals(high - low, 1)), places + 2)
    interval = None if value.interval is None else f"{fixed(low, places)} – {fixed(high, places)}"
    return fixed(value.value, places), interval


def difference(value: Estimate, digits: int = 2) -> tuple[str, str | None]:
    """A signed difference and its interval, in as many digits as the larger of both deserves.

    Where both are nearly nothing they have a power of ten: `+1.3 × 10⁻⁷` and `(-0.4 – 3.0) × 10⁻⁷`. An end that is not
    0 is not rounded to 0 where the interval leaves 0 out.
    """
    low, high = value.interval or (value.value, value.value)
    largest = max(abs(value.value), abs(low), abs(high))
    exponent = math.floor(math.log10(largest)) if 0 < largest < _LEAST_PLAIN else 0
    centre, low, high = (number * 10.0**-exponent for number in (value.value, low, high))
    places = decimals(largest * 10.0**-exponent, digits)
    if high > low:
        places = min(max(places, decimals((high - low) / 2, 1)), places + 2)
    nearest = min(abs(low), abs(high)) if low * high > 0 else 0.0
    if nearest and round(nearest, places) == 0:
        places = min(decimals(nearest, 1), places + 2)
    sign = "+" if round(centre, places) > 0 else ""
    power = f" × 10{str(exponent).translate(_SUPERSCRIPTS)}" if exponent else ""
    interval = None if value.interval is None else f"{fixed(low, places)} – {fixed(high, places)}"
    if power and interval is not None:
        interval = f"({interval})"
    return f"{sign}{fixed(centre, places)}{power}", None if interval is None else f"{interval}{power}"


def scaled(value: Estimate, by: float) -> Estimate:
    """In a unit that is so many times as large."""
    low, high = value.interval or (None, None)
    return replace(
        value,
        value=value.value / by,
        low=None if low is None else low / by,
        high=None if high is None else high / by,
    )


def shown_unit(unit: str) -> str:
    """Empty for a pure number, which tables of metrics call `1`."""
    return "" if unit == "1" else unit


def usd(value: float) -> str:
    """Dollars: cents from a dollar up, three significant digits below."""
    return f"${fixed(value, 2)}" if value == 0 or abs(value) >= 1 else f"${significant(value)}"


def duration(seconds: float) -> str:
    """A span of time at a glance: `0.52 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{significant(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def memory_unit(values: Iterable[float]) -> tuple[str, int]:
    """The unit of a whole column of bytes, and how many bytes it is."""
    return ("GiB", GIB) if max(values, default=0) >= GIB else ("MiB", MIB)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 picture`, `1,200 pictures`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
