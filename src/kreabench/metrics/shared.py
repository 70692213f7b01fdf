"""What the metrics of one scoring share: encoders, so that each picture passes each model once, and a purse."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kreabench.core.errors import BudgetReached

E = TypeVar("E")


@dataclass(kw_only=True, slots=True)
class Purse:
    """Dollars that scoring may spend, counted together with what the run has spent."""

    limit_usd: float | None
    spent_usd: float = 0.0
    """Of the limit, drawing included."""

    def reserve(self, usd: float) -> None:
        """Raises BudgetReached where `usd` more could pass the limit. Reserves nothing for later calls: pay it."""
        if self.limit_usd is not None and self.spent_usd + usd > self.limit_usd + 1e-9:
            raise BudgetReached(
                f"the next score could cost ${usd:.4f}, with ${self.spent_usd:.4f} of ${self.limit_usd:.4f} spent",
                remedy="`kreabench score RUN --budget-usd X` goes on with more.",
            )

    def pay(self, usd: float) -> None:
        """Count what was spent."""
        self.spent_usd += usd


@dataclass(kw_only=True, slots=True)
class Shared:
    """Made once a scoring, given to every metric's `open`."""

    environ: Mapping[str, str]
    purse: Purse = field(default_factory=lambda: Purse(limit_usd=None))
    _encoders: dict[Hashable, Any] = field(default_factory=dict)

    def encoder(self, key: Hashable, load: Callable[[], E]) -> E:
        """The encoder under `key`, which names model, weights (by hash) and device; loaded by the first who asks."""
        if key not in self._encoders:
            self._encoders[key] = load()
        encoder: E = self._encoders[key]
        return encoder

    def close(self) -> None:
        """Drop every encoder."""
        self._encoders.clear()
