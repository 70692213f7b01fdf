"""What a scoring did, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kreabench.core.errors import ExitCode, Problem
from kreabench.core.score_records import ScoreRecord, SetScoreRecord
from kreabench.core.specs import MetricSpec

REUSED = "reused"
"""What became of a score that was held already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCounts:
    """What became of one metric's scores; together they are all pictures of the run, all settings with pictures, or all
    pairs of the reference's pictures."""

    metric: str
    per: Literal["image", "set", "floor"] = "image"
    """`floor`: over the pairs of a noise floor."""
    scored: int = 0
    """Computed now."""
    reused: int = 0
    """Held already, whatever their status; they still applied."""
    not_applicable: int = 0
    infinite: int = 0
    failed: int = 0
    left: int = 0
    """Not asked for: the budget was reached before."""
    usd: float = 0.0
    """Paid now."""
    first_failure: str = ""
    """Why the first of those computed now failed; empty where none did."""
    notes: tuple[tuple[str, int], ...] = ()
    """What readers of the scores must know, of those computed now, with how many have it, most first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringSummary:
    """What a scoring did."""

    metrics: tuple[MetricCounts, ...]
    """In the order asked."""
    problems: tuple[Problem, ...]
    """Why metrics could not be opened; their missing scores are recorded as failed."""
    budget_message: str | None = None
    """Which metric stopped at the budget, and at which sum; None where none did."""
    floors: tuple[MetricCounts, ...] = ()
    """Of the noise floors, for metrics that have one."""

    @property
    def failed(self) -> int:
        return sum(counts.failed for counts in (*self.metrics, *self.floors))

    @property
    def first_trouble(self) -> str:
        """Why the first metric that could not be opened could not, or the first score that failed; empty without."""
        troubles = (*map(str, self.problems), *(counts.first_failure for counts in (*self.metrics, *self.floors)))
        return next(filter(None, troubles), "")

    @property
    def usd(self) -> float:
        return sum(counts.usd for counts in self.metrics)

    @property
    def exit_code(self) -> ExitCode:
        """Of `kreabench score`. A metric that could not be opened is a failure, even where its older scores stay."""
        if self.budget_message is not None:
            return ExitCode.BUDGET
        return ExitCode.FAILED_SAMPLES if self.failed or self.problems else ExitCode.DONE


class Tally:
    """What becomes of each score, by metric and picture or setting; what is said later holds."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, object], str] = {}
        self._usd: dict[str, float] = {}
        self._notes: dict[str, Counter[str]] = {}
        self._first_failure: dict[str, str] = {}

    def reused(self, metric: str, what: object) -> None:
        """A score that was held still applies."""
        self._outcomes.setdefault((metric, what), REUSED)

    def computed(self, record: ScoreRecord | SetScoreRecord, what: object) -> None:
        """A score was journalled."""
        self._outcomes[record.metric, what] = record.status
        if record.status == "failed":
            self._first_failure.setdefault(record.metric, record.reason)
        notes = self._notes.setdefault(record.metric, Counter())
        notes.update(record.notes)
        if isinstance(record, ScoreRecord):
            self._usd[record.metric] = self._usd.get(record.metric, 0.0) + (record.usd or 0.0)
            notes.update(["the prompt was cut"] if record.truncated else [])
        if record.untrained and record.status == "ok":
            notes.update(["random weights of the metric's own: the value means nothing"])

    def counts(self, spec: MetricSpec, whats: Iterable[object]) -> MetricCounts:
        """Of the metric of `spec` over these pictures or settings."""
        found: Mapping[str, int] = Counter(self._outcomes.get((spec.name, what), "left") for what in whats)
        return MetricCounts(
            metric=spec.name,
            per=spec.per,
            scored=found.get("ok", 0),
            reused=found.get(REUSED, 0),
            not_applicable=found.get("not_applicable", 0),
            infinite=found.get("infinite", 0),
            failed=found.get("failed", 0),
            left=found.get("left", 0),
            usd=self._usd.get(spec.name, 0.0),
            first_failure=self._first_failure.get(spec.name, ""),
            notes=tuple(self._notes.get(spec.name, Counter()).most_common()),
        )
