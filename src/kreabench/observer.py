"""Whoever watches a run."""

from __future__ import annotations

from kreabench.core.records import Record


class Observer:
    """Told what happens, so that somebody can draw it. Does nothing by itself."""

    def generating(self, total: int, done: int, failed: int) -> None:
        """Generation begins: `done` of `total` requests are final, `failed` of them as failed; the rest is drawn."""

    def record(self, record: Record, spent_usd: float) -> None:
        """A record was journalled."""

    def dropped(self, requests: int) -> None:
        """A race has dropped settings, so that so many requests less are to be drawn."""

    def stage(self, name: str) -> None:
        """A stage begins: scoring or report."""

    def scoring(self, done: int, total: int) -> None:
        """Scoring goes on."""

    def note(self, text: str) -> None:
        """Something happens that whoever waits should know."""
