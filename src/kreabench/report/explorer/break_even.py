"""What the sums of an own GPU or the API start from."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.explorer.data import BreakEvenData
from kreabench.report.explorer.sources import Source


def break_even_of(sources: Sequence[Source]) -> BreakEvenData:
    """Local settings with their seconds, hosted ones with their price."""
    return BreakEvenData(own=(), hosted=(), notes=())
