"""Service times as data: a number of seconds, or a distribution that each job draws its own from."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

FORMS = "seconds such as 2, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceTime:
    """Seconds that the emulator lets pass, at least."""

    kind: Literal["fixed", "uniform", "lognormal"]
    first: float
    """The seconds themselves, the least of them, or their median."""
    second: float
    """Of `uniform` the most seconds, of `lognormal` the standard deviation of the logarithm."""

    def draw(self, rng: random.Random) -> float:
        """Seconds of one job."""
        if self.kind == "uniform":
            return rng.uniform(self.first, self.second)
        if self.kind == "lognormal":
            return self.first * math.exp(rng.gauss(0.0, self.second))
        return self.first


def parse_time(text: float | str) -> ServiceTime:
    """`2`, `uniform:1,2` or `lognormal:0.7,0.3`. Raises ValueError saying which forms are accepted."""
    kind, colon, numbers = str(text).strip().partition(":")
    if not colon:
        return ServiceTime(kind="fixed", first=_number(kind, text), second=0.0)
    low, comma, high = numbers.partition(",")
    first, second = _number(low, text), _number(high, text) if comma else -1.0
    if kind == "uniform" and first <= second:
        return ServiceTime(kind="uniform", first=first, second=second)
    if kind == "lognormal" and first > 0 and second >= 0:
        return ServiceTime(kind="lognormal", first=first, second=second)
    raise ValueError(_complaint(text))


def _number(part: str, text: object) -> float:
    try:
        value = float(part)
    except ValueError:
        raise ValueError(_complaint(text)) from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(_complaint(text))
    return value


def _complaint(text: object) -> str:
    return f"found {str(text)!r}; expected {FORMS}"
