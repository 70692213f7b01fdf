"""How a report is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

MAX_PICTURES = 240
"""Of one report, unless asked otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """Choices of whoever writes a report."""

    images: Literal["embed", "link"] = "embed"
    """`embed`: index.html holds its pictures; `link`: they lie in the folder `pictures` beside it."""
    max_pictures: int = MAX_PICTURES
    today: date | None = None
    """When the report is written; None: nothing is said of the age of prices."""
