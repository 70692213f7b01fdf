"""What services say of themselves, read without trust: amounts, times by name, seeds, and how long to wait."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_MOST_NAMES = 50
_LONGEST_NAME = 60
_SEEDS = 2**64
"""So many the table of samples can hold; any other number is no seed that could be asked for again."""
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]+)?")


def amount(value: Any) -> float | None:
    """An amount (seconds, billed units) that may come as text; None where there is none that can be true."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def amounts_by_name(found: Any) -> dict[str, float]:
    """The amounts of a JSON object, without what can be none; empty for anything else."""
    if not isinstance(found, Mapping):
        return {}
    parts = itertools.islice(found.items(), _MOST_NAMES)
    # JSON may name half a character, which no record can hold.
    named = {str(name)[:_LONGEST_NAME].encode("utf-8", "replace").decode(): amount(value) for name, value in parts}
    return {name: value for name, value in named.items() if value is not None}


def seed_of(value: Any) -> int | None:
    """A seed that a record can hold; None for anything else."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 0 <= value < _SEEDS else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a `Retry-After` header (RFC 9110) asks to wait: a number, or what is left until a date.

    None without one that is readable; a number below zero is none.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
