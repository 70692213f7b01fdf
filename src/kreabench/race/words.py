"""Why a setting was dropped, as the journal keeps it and people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kreabench.analysis.estimates import p_in_words
from kreabench.analysis.racing import Drop
from kreabench.core.planned import Setting
from kreabench.core.policies import COSTS
from kreabench.core.questions import QuestionSpec
from kreabench.core.records import DropRecord
from kreabench.metrics.table import MetricRow

COST_WORDS = {
    "latency": "median latency",
    "peak_memory": "median peak memory",
    "energy": "median energy of a request",
    "usd_per_image": "median dollars an image",
}


def drop_record(
    drop: Drop,
    settings: Sequence[Setting],
    question: QuestionSpec,
    rows: Mapping[str, MetricRow | None],
    *,
    look: int,
    looks: int,
    at_utc: str,
) -> DropRecord:
    """The journal's line. `settings` are those that `drop` counts; `rows` what is known of each metric."""
    better = None if drop.dominated_by is None else settings[drop.dominated_by]
    is_cost = drop.constraint in COSTS
    constraint = "dominated" if better else drop.constraint if is_cost else f"quality loss of {drop.constraint}"
    units = {name: row.unit if row is not None else "" for name, row in rows.items()}
    said = _dominated(drop, better, question, units) if better else _failed(drop, units)
    return DropRecord(
        setting_id=settings[drop.setting].id,
        at_utc=at_utc,
        look=look,
        looks=looks,
        prompts=drop.prompts,
        constraint=constraint,
        dominated_by=better.id if better else None,
        p_value=drop.p_value,
        level=drop.level,
        reason=f"{said} ({p_in_words(drop.p_value)}, tested at {drop.level:.2g}, {drop.prompts} prompts)",
    )


def _failed(drop: Drop, units: Mapping[str, str]) -> str:
    if drop.constraint in COSTS:
        value, against = _amount(drop.constraint, drop.value), _amount(drop.constraint, drop.against)
        return f"its {COST_WORDS[drop.constraint]} of {value} is more than the {against} allowed"
    unit = f" ({units[drop.constraint]})" if units.get(drop.constraint) else ""
    return (
        f"it loses {drop.value:.3g} of {drop.constraint}{unit} against its reference, more than the {drop.against:.3g} "
        "allowed"
    )


def _dominated(drop: Drop, better: Setting, question: QuestionSpec, units: Mapping[str, str]) -> str:
    enough = "is within the limits and " if question.max_quality_loss or drop.constraint == "quality" else ""
    if drop.constraint == "quality":
        metric = str(question.quality_metric)
        unit = f" ({units[metric]})" if units.get(metric) else ""
        return f"{better.label} {enough}is better by {drop.value:.3g} of {metric}{unit}"
    value, against = _amount(drop.constraint, drop.value), _amount(drop.constraint, drop.against)
    return f"{better.label} {enough}takes less: {COST_WORDS[drop.constraint]} {against} against {value}"


def _amount(cost: str, value: float) -> str:
    if cost == "peak_memory":
        return f"{value / 2**30:.3g} GiB"
    return {"latency": f"{value:.3g} s", "energy": f"{value:.3g} J", "usd_per_image": f"${value:.4g}"}[cost]
