"""What the metrics of one scoring share: encoders, so that each picture passes each model once, and a purse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kreabench.core.errors import BudgetReached

E = TypeVar("E")

_ROUNDING_USD = 1e-9
"""Sums of dollars are not exact."""


@dataclass(kw_only=True, slots=True)
class Purse:
    """Dollars that scoring may spend, counted together with what the run has spent. Several threads may use it."""

    limit_usd: float | None
    spent_usd: float = 0.0
    """Of the limit, drawing included."""
    held_usd: float = 0.0
    """What calls in flight could cost."""
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def reserve(self, usd: float) -> None:
        """Raises BudgetReached where `usd` more could pass the limit. Reserves nothing for later calls: pay it."""
        with self._changed:
            if self._passes(usd):
                raise self._reached(usd)

    def pay(self, usd: float) -> None:
        """Count what was spent."""
        with self._changed:
            self.spent_usd += usd

    def hold(self, usd: float, *, wait: bool = True) -> None:
        """As `reserve`, and keep `usd` back until `release`.

        Where calls in flight alone stand in the way, wait for them: they may cost less than was held. Who holds
        something already must not `wait`: two such would wait for each other.
        """
        with self._changed:
            while self._passes(usd):
                if not wait or self.held_usd <= _ROUNDING_USD:
                    raise self._reached(usd)
                self._changed.wait()
            self.held_usd += usd

    def release(self, usd: float) -> None:
        """Give back what was held; what was spent of it is paid before."""
        with self._changed:
            self.held_usd -= usd
            self._changed.notify_all()

    def _passes(self, usd: float) -> bool:
        return self.limit_usd is not None and self.spent_usd + self.held_usd + usd > self.limit_usd + _ROUNDING_USD

    def _reached(self, usd: float) -> BudgetReached:
        return BudgetReached(
            f"the next score could cost ${usd:.4f}, with ${self.spent_usd:.4f} of ${self.limit_usd:.4f} spent",
            remedy="`kreabench score RUN --budget-usd X` goes on with more.",
        )


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
