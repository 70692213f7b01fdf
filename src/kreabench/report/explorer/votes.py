"""What the blind votes on a run's pictures say."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.explorer.data import VotesData
from kreabench.report.explorer.sources import Source


def votes_of(sources: Sequence[Source]) -> VotesData | None:
    """None without a vote."""
    return None
