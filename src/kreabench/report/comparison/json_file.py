"""A comparison for scripts: every number with its unit, interval and n; what is absent is null."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from kreabench.core.planned import Setting
from kreabench.core.redaction import redact
from kreabench.decisions.comparison import (
    Comparison,
    CostComparison,
    Fidelity,
    FidelityComparison,
    MetricComparison,
    RateComparison,
    SettingComparison,
)
from kreabench.decisions.sides import Side
from kreabench.decisions.worst import worst_prompts
from kreabench.report.comparison.words import LEVEL, finding
from kreabench.report.json_text import estimate_json, finite
from kreabench.report.tables import axes_of

SCHEMA_VERSION = 1
"""Raised when a key changes its meaning or goes; new keys may come without."""


def comparison_json(comparison: Comparison, *, worst: int) -> str:
    """One JSON object, with a line feed at its end. `worst`: how many of the worst prompts of a metric are listed."""
    return json.dumps(_comparison(comparison, worst), allow_nan=False) + "\n"


def _comparison(comparison: Comparison, worst: int) -> dict[str, Any]:
    return {
        "kind": "comparison",
        "schema_version": SCHEMA_VERSION,
        "base": _side(comparison.base),
        "candidate": _side(comparison.candidate),
        "within_run": comparison.within_run,
        "forced": [
            {"key": one.key, "base": one.base, "candidate": one.candidate, "why": one.why} for one in comparison.forced
        ],
        "caveats": [redact(text) for text in comparison.caveats],
        "family": comparison.family,
        "correction": "holm",
        "level": LEVEL,
        "confidence": 0.95,
        "versions": [{"name": one.name, "base": one.base, "candidate": one.candidate} for one in comparison.versions],
        "one_sided_metrics": [{"metric": one.metric, "side": one.side} for one in comparison.one_sided],
        "base_only": [_setting(setting) for setting in comparison.base_only],
        "candidate_only": [_setting(setting) for setting in comparison.candidate_only],
        "settings": [_two(two, worst) for two in comparison.settings],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": redact(side.name),
        "run": side.run_name,
        "created_utc": side.created_utc,
        "notice": side.notice,
        "facts": dict(side.facts),
        "unfinished_requests": side.unfinished,
        "dropped": dict(side.dropped),
    }


def _setting(setting: Setting) -> dict[str, Any]:
    return {"id": setting.id, "label": setting.label, **axes_of(setting)}


def _two(two: SettingComparison, worst: int) -> dict[str, Any]:
    return {
        "base": _setting(two.base),
        "candidate": _setting(two.candidate),
        "pairs": two.pairs,
        "identical_pairs": two.identical,
        "pairs_of_two_sizes": two.resized,
        "requests_failed_on_both_sides": two.both_failed,
        "unpaired": [
            {
                "side": row.side,
                "prompt_id": row.prompt_id,
                "seed": row.seed,
                "repeat": row.repeat,
                "image_index": row.image_index,
                "reason": redact(row.reason),
            }
            for row in two.unpaired
        ],
        "metrics": [_metric(metric, worst) for metric in two.metrics],
        "costs": [_cost(cost) for cost in two.costs],
        "rates": [_rate(rate) for rate in two.rates],
        "fidelity": [_fidelity(one) for one in two.fidelity],
    }


def _metric(metric: MetricComparison, worst: int) -> dict[str, Any]:
    scores, left = metric.scores, metric.scores.left_out
    return {
        "name": metric.spec.name,
        "kind": metric.spec.kind,
        "unit": metric.unit,
        "better": metric.better,
        "untrained": metric.untrained,
        "n_prompts": len(scores.prompts),
        "n_pairs": metric.pairs,
        "base_mean": metric.base_mean,
        "candidate_mean": metric.candidate_mean,
        "difference": estimate_json(metric.difference),
        "effect_size": metric.effect_size,
        "share_of_prompts_better": metric.share_better,
        "p_value": metric.p_value,
        "p_adjusted": metric.p_adjusted,
        "finding": finding(metric),
        "seed_sd": metric.seed_sd,
        "obstacle": redact(metric.obstacle) or None,
        "missing_because": [redact(reason) for reason in metric.reasons],
        "left_out": {
            "base_only": left.base_only,
            "candidate_only": left.candidate_only,
            "neither": left.neither,
            "infinite_gains": left.infinite_gains,
            "infinite_losses": left.infinite_losses,
        },
        "worst_prompts": [one.prompt_id for one in worst_prompts(metric, worst)],
        "prompts": {
            "prompt_id": list(scores.prompts),
            "base": _numbers(scores.base),
            "candidate": _numbers(scores.candidate),
            "difference": _numbers(scores.difference),
            "spread": _numbers(scores.spread),
            "pairs": scores.pairs.tolist(),
        },
    }


def _cost(cost: CostComparison) -> dict[str, Any]:
    return {
        "name": cost.quantity,
        "unit": cost.unit,
        "base_median": estimate_json(cost.base_median),
        "candidate_median": estimate_json(cost.candidate_median),
        "base_kind": cost.base_kind or None,
        "candidate_kind": cost.candidate_kind or None,
        "base_n": cost.base_n,
        "candidate_n": cost.candidate_n,
        "ratio": estimate_json(cost.ratio),
        "percentiles": [
            {"p": pair.p, "base": estimate_json(pair.base), "candidate": estimate_json(pair.candidate)}
            for pair in cost.percentiles
        ],
        "obstacle": cost.obstacle or None,
    }


def _rate(rate: RateComparison) -> dict[str, Any]:
    return {
        "name": rate.quantity,
        "unit": "share",
        "base_count": rate.base_count,
        "base_n": rate.base_n,
        "candidate_count": rate.candidate_count,
        "candidate_n": rate.candidate_n,
        "difference": estimate_json(rate.difference),
        "obstacle": rate.obstacle or None,
    }


def _fidelity(one: FidelityComparison) -> dict[str, Any]:
    return {
        "name": one.spec.name,
        "kind": one.spec.kind,
        "unit": one.unit,
        "better": one.better,
        "to_reference": _closeness(one.to_reference),
        "floors": {kind: _closeness(floor) for kind, floor in one.floors.items()},
        "verdict": one.verdict,
        "reason": redact(one.reason),
    }


def _closeness(one: Fidelity) -> dict[str, Any]:
    counts = {"pairs": one.pairs, "infinite": one.infinite, "identical": one.identical, "left_out": one.left_out}
    return {"mean": estimate_json(one.mean), **counts}


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    found: list[float | None] = finite(values.tolist())
    return found
