"""Knees: from how many steps on more of them buy little."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.explorer.data import KneeData, QuantityData
from kreabench.report.explorer.sources import Source


def knees_of(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[KneeData, ...]:
    """One for each metric with a better side and each line of settings that differ in steps alone."""
    return ()
