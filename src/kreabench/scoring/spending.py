"""Dollars of a run: what drawing and scoring together may spend, and have."""

from __future__ import annotations

from kreabench.core.planned import Plan
from kreabench.execution.budget import Budget
from kreabench.metrics.shared import Purse
from kreabench.rundir.directory import RunDirectory


def scores_usd(run: RunDirectory) -> float:
    """What all scores ever written have cost, replaced and failed ones too."""
    return sum(record.usd or 0.0 for record in run.score_lines())


def spent_usd(run: RunDirectory, plan: Plan) -> float:
    """Of the budget: scores, and hosted requests as `execution.budget` counts them, open ones included."""
    budget = Budget(None, plan)
    for record in run.records():
        budget.record(record)
    return budget.spent_usd + budget.reserved_usd + scores_usd(run)


def purse_of(run: RunDirectory, plan: Plan) -> Purse:
    """What scoring may spend now. Without a limit nothing is counted: millions of lines would be read for nothing."""
    limit_usd = run.info.experiment.budget_usd
    return Purse(limit_usd=limit_usd, spent_usd=0.0 if limit_usd is None else spent_usd(run, plan))
