"""What a reader came for: which setting, what it saves and costs, how sure, and what got worse."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.explorer.data import RegressionData, VerdictData
from kreabench.report.explorer.sources import Source


def verdict_of(
    sources: Sequence[Source], across: tuple[RegressionData, ...] = (), across_sentence: str = ""
) -> VerdictData:
    """Of one run its recommendation; of several what got worse against the first."""
    return VerdictData(
        state="unknown",
        setting=None,
        sentence=across_sentence,
        sureness="",
        assumed=(),
        regressions=across,
        regressions_note="",
        command="",
    )
