"""What the emulated account is charged, by the shipped price list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from kreabench.core.errors import EnvironmentProblem, Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Of one endpoint; exact, so that the account's total is right to the cent."""

    first: Fraction
    """Dollars of the first megapixel of each picture, or of each picture whatever its size."""
    further: Fraction
    """Dollars of each megapixel after it."""
    by_megapixel: bool
    round_up: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """What one delivered job costs."""

    units: float
    usd: Fraction


def read_prices(file: Path) -> dict[str, Price]:
    """Endpoint id → price; endpoints whose entry has none of the known keys are left out.

    Raises EnvironmentProblem when the file cannot be read.
    """
    try:
        entries = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("endpoints") or {}
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        problem = Problem(key=str(file), found=" ".join(str(error).split()), expected="a price list in YAML")
        raise EnvironmentProblem([problem]) from error
    prices = {str(name): _price(entry) for name, entry in entries.items() if isinstance(entry, dict)}
    return {name: price for name, price in prices.items() if price is not None}


def _price(entry: Mapping[str, Any]) -> Price | None:
    flat, image = entry.get("usd_per_megapixel"), entry.get("usd_per_image")
    first = entry.get("usd_first_megapixel", flat)
    further = entry.get("usd_further_megapixel")
    round_up = bool(entry.get("round_up", True))
    if first is not None:
        rest = first if further is None else further
        return Price(first=_dollars(first), further=_dollars(rest), by_megapixel=True, round_up=round_up)
    if image is not None:
        return Price(first=_dollars(image), further=_dollars(image), by_megapixel=False, round_up=True)
    return None


def _dollars(value: Any) -> Fraction:
    return Fraction(str(value))


def bill(price: Price | None, size: tuple[int, int], num_images: int, megapixel_pixels: int, *, extra: int = 0) -> Bill:
    """The units and dollars of `num_images` pictures; `extra` units are charged besides."""
    each = Fraction(size[0] * size[1], megapixel_pixels)
    if price is not None and not price.by_megapixel:
        each = Fraction(1)
    elif price is None or price.round_up:
        each = Fraction(math.ceil(each))
    units = each * num_images + extra
    if price is None:
        return Bill(units=float(units), usd=Fraction(0))
    further = max(each - 1, Fraction(0))
    picture_usd = price.first * (each - further) + price.further * further
    return Bill(units=float(units), usd=picture_usd * num_images + price.further * extra)
