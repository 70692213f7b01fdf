"""The bill, reconciled: what was spent on which basis, where it differs from the price list, and what nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kreabench.core.records import (
    NEVER_TRIED_STAGES,
    FailureRecord,
    Record,
    SampleRecord,
    SubmissionRecord,
    WarmupRecord,
)
from kreabench.core.score_records import ScoreRecord

SAME_USD = 1e-7
"""Differences below are rounding."""
SCORES = "scores"


@dataclass(frozen=True, kw_only=True, slots=True)
class BasisTotal:
    """All that was spent on one basis."""

    basis: str
    """As of `Cost.basis`; `SCORES` for what judges were paid."""
    calls: int
    """Requests, repeated attempts and warm-ups; scores."""
    usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Requests that were billed at something else than the price list says."""

    requests: int
    billed: int
    """Requests that the service told the billed units of, these among them."""
    usd: float
    """Billed less listed, all together; below zero where the service was cheaper."""
    worst_id: str
    """The service's id of the request that is furthest off, ours where it has none."""
    worst_usd: float
    """As billed."""
    worst_list_usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MoneySummary:
    """Everything that a run's journal says of dollars."""

    totals: tuple[BasisTotal, ...]
    """In order of first appearance; only what has dollars."""
    difference: Difference | None
    """None where every billed request cost what the list says, or none was billed by units."""
    unknown: int
    """Hosted requests that were sent and of whose cost nobody knows: they failed, or their end was never seen."""
    unknown_usd: float
    """These, by the price list."""

    @property
    def usd(self) -> float:
        """All of it, what is not known at its list price."""
        return sum(total.usd for total in self.totals) + self.unknown_usd


def summarise_money(records: Iterable[Record], prices: Mapping[str, float]) -> MoneySummary:
    """Add up a journal. `prices`: setting id → list price of one request, of hosted settings alone."""
    ledger = _Ledger(prices)
    for record in records:
        ledger.add(record)
    return ledger.summary()


def with_scores(money: MoneySummary, scores: Iterable[ScoreRecord]) -> MoneySummary:
    """`money` and what was paid for scores, those among them that were made anew since."""
    paid = [score.usd for score in scores if score.usd is not None]
    if not paid:
        return money
    return replace(money, totals=(*money.totals, BasisTotal(basis=SCORES, calls=len(paid), usd=sum(paid))))


class _Ledger:
    def __init__(self, prices: Mapping[str, float]) -> None:
        self._prices = prices
        self._totals: dict[str, tuple[int, float]] = {}
        self._billed = 0
        self._off: list[SampleRecord] = []
        self._open: dict[str, float] = {}
        """Request id → list price of what was sent and not seen to end."""
        self._unknown: list[float] = []

    def add(self, record: Record) -> None:
        if isinstance(record, SubmissionRecord):
            price = self._prices.get(record.setting_id)
            if price is not None:  # without a price nothing can be said of it, delivered or not
                self._open[record.request_id] = price
        elif isinstance(record, SampleRecord | FailureRecord):
            self._add_outcome(record)
        elif isinstance(record, WarmupRecord) and record.cost.usd is not None:
            self._spend(record.cost.basis, record.cost.usd)

    def _add_outcome(self, record: SampleRecord | FailureRecord) -> None:
        price = self._prices.get(record.setting_id or "")
        if record.cost.usd is not None:
            self._open.pop(record.request_id or "", None)
            if record.cost.usd or record.error is None:  # what was refused, or failed for nothing, is no call
                self._spend(record.cost.basis, record.cost.usd)
        elif price is not None and record.request_id is not None and _was_sent(record):
            self._open.pop(record.request_id, None)
            if record.error is not None and record.error.fetch_again:
                self._open[record.request_id] = price
            elif record.error is not None:
                self._unknown.append(price)
        if isinstance(record, SampleRecord) and record.cost.basis == "billed":
            self._compare(record)

    def _spend(self, basis: str, usd: float) -> None:
        calls, total = self._totals.get(basis, (0, 0.0))
        self._totals[basis] = (calls + 1, total + usd)

    def _compare(self, sample: SampleRecord) -> None:
        self._billed += 1
        if abs(_off_by(sample)) > SAME_USD:
            self._off.append(sample)

    def summary(self) -> MoneySummary:
        unknown = [*self._unknown, *self._open.values()]
        return MoneySummary(
            totals=tuple(BasisTotal(basis=b, calls=calls, usd=usd) for b, (calls, usd) in self._totals.items()),
            difference=self._difference(),
            unknown=len(unknown),
            unknown_usd=sum(unknown),
        )

    def _difference(self) -> Difference | None:
        if not self._off:
            return None
        worst = max(self._off, key=lambda sample: abs(_off_by(sample)))
        return Difference(
            requests=len(self._off),
            billed=self._billed,
            usd=sum(map(_off_by, self._off)),
            worst_id=(worst.hosted.service_request_id if worst.hosted else "") or worst.request_id,
            worst_usd=worst.cost.usd or 0.0,
            worst_list_usd=worst.cost.list_usd or 0.0,
        )


def _off_by(sample: SampleRecord) -> float:
    """Dollars billed above the list; 0 where either is not known."""
    if sample.cost.usd is None or sample.cost.list_usd is None:
        return 0.0
    return sample.cost.usd - sample.cost.list_usd


def _was_sent(record: SampleRecord | FailureRecord) -> bool:
    return record.error is None or record.error.stage not in NEVER_TRIED_STAGES
