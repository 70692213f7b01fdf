"""A comparison from the words of a command line, for `kreabench compare` and the library."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.decisions.compare import compare_sides, compare_with_reference, with_metrics
from kreabench.decisions.comparison import Comparison
from kreabench.decisions.opening import open_two, open_with_references


def compare_runs(
    base: str, candidate: str | None = None, *, metrics: Sequence[str] | None = None, force: bool = False
) -> Comparison:
    """Two of `RUN`, `RUN:SELECTION` or a baseline file; `base` alone: every setting against its reference.

    `metrics` None: all that both sides have. Raises ConfigError, RunDirectoryError, and NotComparable unless `force`.
    """
    if candidate is None:
        side, settings = open_with_references(base)
        return compare_with_reference(side if metrics is None else with_metrics(side, metrics), settings)
    here, there = open_two(base, candidate)
    if metrics is not None:
        here, there = with_metrics(here, metrics), with_metrics(there, metrics)
    return compare_sides(here, there, force=force)
