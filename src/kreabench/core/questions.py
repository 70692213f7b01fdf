"""What a recommendation, or a race, is asked: what must hold, and what shall then be least or best."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kreabench.core.policies import Cost, MarginKind, MarginSpec

Objective = Cost | Literal["quality"]
"""A cost to be least, or the metric of `quality_metric` to be best."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityLoss:
    """How much worse than its reference a setting may be by one metric."""

    metric: str
    """As configured; a metric that has a better side and needs no reference."""
    margin: MarginSpec


_LOSS = re.compile(r"([^=]+)=(\d+(?:\.\d*)?|\.\d+)(|unit|%|noise)")
_KINDS: dict[str, MarginKind] = {"": "absolute", "unit": "absolute", "%": "relative", "noise": "noise_floor"}


def read_loss(word: str) -> QualityLoss:
    """`METRIC=NUMBER`, in the metric's unit, or with `%` or `noise` behind it. Raises ValueError saying so."""
    match = _LOSS.fullmatch(word)
    if match is None:
        raise ValueError(f"found {word!r}; expected METRIC=NUMBER, METRIC=NUMBER% or METRIC=NUMBERnoise")
    kind = _KINDS[match[3]]
    value = float(match[2]) / (100 if kind == "relative" else 1)
    return QualityLoss(metric=match[1], margin=MarginSpec(kind=kind, value=value))


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionSpec:
    """Constraints and an objective. None constrains nothing."""

    objective: Objective
    quality_metric: str | None
    """Of the objective `quality`, and the quality axis of a front."""
    max_latency_s: float | None = None
    """Median, end to end."""
    max_usd_per_image: float | None = None
    max_peak_memory_bytes: float | None = None
    max_energy_j: float | None = None
    """Median of a request."""
    min_images_per_day: float | None = None
    """By the median latency and the requests in flight, around the clock."""
    max_quality_loss: tuple[QualityLoss, ...] = ()
    level: float = 0.05
    """Error rate of `good enough`, and of dropping a setting that is good enough."""
