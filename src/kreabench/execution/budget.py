"""The hard cap on what hosted requests may cost: asked before each one is sent, told after each one ended."""

from __future__ import annotations

from kreabench.core.errors import BudgetReached
from kreabench.core.records import FailureRecord, Record, SampleRecord
from kreabench.core.specs import LoadGroup, Plan, Request
from kreabench.pricing import request_price_usd

ROUNDING_USD = 1e-9
"""Sums of prices carry rounding errors of this order; a budget of exactly ten requests must allow ten."""


class Budget:
    """Dollars of hosted requests: spent, under way, and the limit (None: no limit).

    A hosted request that failed without a known cost counts at its list price: the service may have billed it.
    """

    def __init__(self, limit_usd: float | None, plan: Plan) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self._price = {
            setting.id: request_price_usd(group.target, setting) or 0.0
            for group in plan.groups
            if group.target.hosted
            for setting in group.settings
        }
        self._under_way: dict[str, float] = {}

    def admit(self, group: LoadGroup, request: Request | None) -> None:
        """Reserve the price of `request`. Raises BudgetReached when that could pass the limit."""
        if request is None or request.setting_id not in self._price:
            return
        price = self._price[request.setting_id]
        total = self.spent_usd + sum(self._under_way.values()) + price
        if self.limit_usd is not None and total > self.limit_usd + ROUNDING_USD:
            raise BudgetReached(
                f"stopped at the budget: ${self.spent_usd:.4f} spent, the next request costs ${price:.4f}, "
                f"budget.usd is {self.limit_usd:g}"
            )
        self._under_way[request.id] = price

    def record(self, record: Record) -> None:
        """Count what a journalled record cost."""
        if not isinstance(record, SampleRecord | FailureRecord) or record.setting_id not in self._price:
            return
        if record.request_id is not None:
            self._under_way.pop(record.request_id, None)
        if record.cost.usd is not None:
            self.spent_usd += record.cost.usd
        elif isinstance(record, FailureRecord) or record.error is None or record.error.stage != "load":
            self.spent_usd += self._price[record.setting_id]
