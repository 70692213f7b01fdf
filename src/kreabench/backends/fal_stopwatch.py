"""Where the time of one hosted request went: stages from moments on one clock."""

from __future__ import annotations

import math

from kreabench.core.records import Timings


class Stopwatch:
    """Stage lengths from laps. What lies between a lap and a `skip` after it is left to the residual."""

    def __init__(self, begun: float) -> None:
        self._begun = self._last = begun
        self.stages: dict[str, float] = {}

    def lap(self, stage: str, at: float) -> None:
        """`stage` lasted from the lap or skip before until `at`."""
        self.stages[stage] = at - self._last
        self._last = at

    def skip(self, at: float) -> None:
        """The next stage begins at `at`."""
        self._last = at

    def timings(self, *, resolution_s: float | None, first_call: bool) -> Timings:
        """End-to-end is up to the last lap."""
        total = self._last - self._begun
        return Timings(
            end_to_end_s=total,
            stages_s=dict(self.stages),
            residual_s=total - math.fsum(self.stages.values()),
            first_call=first_call,
            resolution_s=resolution_s,
        )
