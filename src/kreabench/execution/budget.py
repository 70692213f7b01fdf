"""The hard cap on what hosted requests may cost: asked before each one is sent, told after each one ended."""

from __future__ import annotations

import math

from kreabench.core.errors import BudgetReached
from kreabench.core.planned import LoadGroup, Plan, Request
from kreabench.core.records import NEVER_TRIED_STAGES, FailureRecord, Record, SampleRecord, SubmissionRecord
from kreabench.pricing import request_price_usd

ROUNDING_USD = 1e-9
"""Sums of prices carry rounding errors of this order; a budget of exactly ten requests must allow ten."""


class Budget:
    """Dollars of hosted requests: spent, reserved, and the limit (None: no limit).

    From before a request is sent until it is settled its list price is reserved, over a crash and a resume too: the
    journal's submissions say so. One that failed without a known cost counts at its list price: the service may have
    billed it. Where the service was seen to bill more than the list price, that is what the next ones reserve.
    """

    def __init__(self, limit_usd: float | None, plan: Plan, *, scores_usd: float = 0.0) -> None:
        """`scores_usd`: what scores have cost before, and whatever else counts against the limit."""
        self.limit_usd = limit_usd
        self.scores_usd = scores_usd
        self.spent_usd = 0.0
        """On hosted requests alone."""
        self._price = {
            setting.id: request_price_usd(group.target, setting) or 0.0
            for group in plan.groups
            if group.target.hosted
            for setting in group.settings
        }
        self._dearest = dict(self._price)
        """Setting id → the list price, or the most that a request of it was billed at, where that is more."""
        self._reserved: dict[str, float] = {}

    @property
    def reserved_usd(self) -> float:
        """What requests that may have been sent and are not settled are taken to cost."""
        return math.fsum(self._reserved.values())

    def admit(self, group: LoadGroup, request: Request | None) -> None:
        """Reserve the price of `request`. Raises BudgetReached when that could pass the limit."""
        if request is None or request.setting_id not in self._price:
            return
        price = self._dearest[request.setting_id]
        # An earlier session's submission of the same request, to a service that died with it, gives way to this one.
        reserved = self.reserved_usd - self._reserved.get(request.id, 0.0)
        used = self.spent_usd + self.scores_usd
        if self.limit_usd is not None and used + reserved + price > self.limit_usd + ROUNDING_USD:
            under_way = f", ${reserved:.4f} reserved for requests under way" if reserved > ROUNDING_USD else ""
            raise BudgetReached(
                f"stopped at the budget: ${used:.4f} spent{under_way}, the next request costs ${price:.4f}, "
                f"budget.usd is {self.limit_usd:g}"
            )
        self._reserved[request.id] = price

    def reserve(self, request: Request) -> None:
        """It may have been sent before, as a journal says that is not recorded here, and is not settled."""
        if request.setting_id in self._price:
            self._reserved[request.id] = self._dearest[request.setting_id]

    def record(self, record: Record) -> None:
        """Count what a journalled record says about money."""
        if not isinstance(record, SubmissionRecord | SampleRecord | FailureRecord):
            return
        if record.setting_id not in self._price:
            return
        price = self._price[record.setting_id]
        if isinstance(record, SubmissionRecord):
            self._reserved[record.request_id] = self._dearest[record.setting_id]
            return
        if record.error is not None and record.error.fetch_again:
            return  # stays reserved until it is fetched
        if record.request_id is not None:
            self._reserved.pop(record.request_id, None)
        if record.cost.usd is not None:
            self.spent_usd += record.cost.usd
            self._dearest[record.setting_id] = max(self._dearest[record.setting_id], record.cost.usd)
        elif isinstance(record, FailureRecord) or record.error is None or record.error.stage not in NEVER_TRIED_STAGES:
            self.spent_usd += price
