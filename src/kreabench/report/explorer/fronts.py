"""Fronts: for each cost and metric the settings that none beats in both, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.explorer.data import FrontData, QuantityData
from kreabench.report.explorer.sources import Source


def fronts_of(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[FrontData, ...]:
    """One for each cost and metric with a better side that settings have."""
    return ()
