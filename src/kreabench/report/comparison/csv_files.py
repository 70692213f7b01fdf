"""comparison.csv and prompts.csv: the numbers of a comparison, unrounded; absent values are empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kreabench.analysis.estimates import Estimate
from kreabench.core.redaction import redact
from kreabench.decisions.comparison import Comparison, SettingComparison
from kreabench.report.comparison.words import finding
from kreabench.report.csv_text import csv_text

HEADS = (
    "base_setting_id", "candidate_setting_id", "base_setting", "candidate_setting", "what", "name", "unit", "better",
    "base", "candidate", "estimate", "value", "low", "high", "n_prompts", "n_pairs", "base_n", "candidate_n",
    "effect_size", "share_of_prompts_better", "p_value", "p_adjusted", "finding", "seed_sd", "left_out", "untrained",
    "remark", "forced", "notice",
)  # fmt: skip

PROMPT_HEADS = (
    "base_setting_id", "candidate_setting_id", "metric", "prompt_id", "base", "candidate", "difference", "spread",
    "pairs", "forced", "notice",
)  # fmt: skip


def comparison_csv(comparison: Comparison) -> str:
    """One row a pair of settings and metric, cost or rate. What was forced, and what brands the numbers, is repeated
    in every row: rows are copied out of a file without their report."""
    brand = _brand(comparison)
    rows = ({**_settings(two), **row, **brand} for two in comparison.settings for row in _rows(two))
    return csv_text(rows, HEADS)


def prompts_csv(comparison: Comparison) -> str:
    """One row a pair of settings, metric and prompt. `forced` and `notice` as in `comparison_csv`."""
    brand = _brand(comparison)
    return csv_text(({**row, **brand} for two in comparison.settings for row in _prompt_rows(two)), PROMPT_HEADS)


def _brand(comparison: Comparison) -> dict[str, str]:
    forced = "; ".join(f"{one.key}: {one.base} against {one.candidate}" for one in comparison.forced)
    notices = dict.fromkeys(side.notice for side in (comparison.base, comparison.candidate) if side.notice)
    return {"forced": redact(forced), "notice": "; ".join(notices)}


def _settings(two: SettingComparison) -> dict[str, Any]:
    return {
        "base_setting_id": two.base.id,
        "candidate_setting_id": two.candidate.id,
        "base_setting": two.base.label,
        "candidate_setting": two.candidate.label,
    }


def _rows(two: SettingComparison) -> Iterator[dict[str, Any]]:
    for metric in two.metrics:
        yield {
            **{"what": "metric", "name": metric.spec.name, "unit": metric.unit, "better": metric.better},
            **{"base": metric.base_mean, "candidate": metric.candidate_mean},
            **_estimate("difference of means", metric.difference),
            **{"n_prompts": len(metric.scores.prompts), "n_pairs": metric.pairs},
            **{"effect_size": metric.effect_size, "share_of_prompts_better": metric.share_better},
            **{"p_value": metric.p_value, "p_adjusted": metric.p_adjusted, "finding": finding(metric)},
            **{"seed_sd": metric.seed_sd, "left_out": metric.scores.left_out.total, "untrained": metric.untrained},
            "remark": redact("; ".join(filter(None, (metric.obstacle, *metric.reasons)))),
        }
    for cost in two.costs:
        kinds = dict.fromkeys(filter(None, (cost.base_kind, cost.candidate_kind)))
        yield {
            **{"what": "cost", "name": cost.quantity, "unit": cost.unit, "better": "lower"},
            **{"base": cost.base, "candidate": cost.candidate, **_estimate("ratio of medians", cost.ratio)},
            **{"n_prompts": cost.ratio.n if cost.ratio else None},
            **{"base_n": cost.base_n, "candidate_n": cost.candidate_n},
            "remark": "; ".join(filter(None, (cost.obstacle, " against ".join(kinds)))),
        }
        for pair in cost.percentiles:
            yield {
                **{"what": "percentile", "name": f"{cost.quantity}_p{100 * pair.p:g}", "unit": cost.unit},
                **{"better": "lower", "base": pair.base and pair.base.value},
                **{"candidate": pair.candidate and pair.candidate.value},
                **{"base_n": cost.base_n, "candidate_n": cost.candidate_n},
            }
    for rate in two.rates:
        yield {
            **{"what": "rate", "name": rate.quantity, "unit": "share", "better": "lower"},
            **{"base": rate.base_count / rate.base_n if rate.base_n else None},
            **{"candidate": rate.candidate_count / rate.candidate_n if rate.candidate_n else None},
            **_estimate("difference of shares", rate.difference),
            "n_prompts": rate.prompts if rate.difference else None,
            **{"base_n": rate.base_n, "candidate_n": rate.candidate_n, "remark": rate.obstacle},
        }
    yield from _fidelity_rows(two)


def _fidelity_rows(two: SettingComparison) -> Iterator[dict[str, Any]]:
    for one in two.fidelity:
        for kind, closeness in (("reference", one.to_reference), *one.floors.items()):
            yield {
                **{"what": "fidelity", "name": one.spec.name, "unit": one.unit, "better": one.better},
                **_estimate(f"mean, to {kind}" if kind == "reference" else f"mean, floor: {kind}", closeness.mean),
                **{"n_pairs": closeness.pairs, "finding": one.verdict if kind == "reference" else ""},
                "remark": redact(one.reason) if kind == "reference" else "",
            }


def _estimate(name: str, value: Estimate | None) -> dict[str, Any]:
    if value is None:
        return {"estimate": name}
    return {"estimate": name, "value": value.value, "low": value.low, "high": value.high, "n_prompts": value.n}


def _prompt_rows(two: SettingComparison) -> Iterator[dict[str, Any]]:
    for metric in two.metrics:
        scores = metric.scores
        columns = (scores.base, scores.candidate, scores.difference, scores.spread, scores.pairs)
        for values in zip(scores.prompts, *(column.tolist() for column in columns), strict=True):
            ids = (two.base.id, two.candidate.id, metric.spec.name)
            yield dict(zip(PROMPT_HEADS, (*ids, *values), strict=False))
