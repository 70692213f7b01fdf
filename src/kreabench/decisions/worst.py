"""The prompts where a candidate does worst by one metric: where to look first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kreabench.decisions.comparison import MetricComparison
from kreabench.decisions.qualities import SIGNS


@dataclass(frozen=True, kw_only=True, slots=True)
class WorstPrompt:
    """One prompt of a comparison, in the metric's unit."""

    prompt_id: str
    base: float
    """Mean over its pairs; NaN where all of its scores are infinite."""
    candidate: float
    difference: float
    pairs: int


def worst_prompts(metric: MetricComparison, number: int) -> tuple[WorstPrompt, ...]:
    """The worst first: the greatest loss, or of a metric without a better side the greatest shift either way."""
    d = metric.scores.difference
    oriented = -np.abs(d) if metric.better == "reference" else SIGNS[metric.better] * d
    return tuple(
        WorstPrompt(
            prompt_id=metric.scores.prompts[index],
            base=float(metric.scores.base[index]),
            candidate=float(metric.scores.candidate[index]),
            difference=float(d[index]),
            pairs=int(metric.scores.pairs[index]),
        )
        for index in np.argsort(oriented, kind="stable")[:number].tolist()
    )
