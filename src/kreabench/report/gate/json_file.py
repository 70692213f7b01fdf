"""A gate as JSON, for programs: everything that the other outputs say, with numbers as numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kreabench.analysis.estimates import Estimate
from kreabench.core.planned import Setting
from kreabench.decisions.comparison import CostComparison, MetricComparison, SettingComparison
from kreabench.decisions.gate import GateCheck, GateResult
from kreabench.decisions.sides import Side
from kreabench.report.gate.rows import value_pair, verdict
from kreabench.report.json_text import finite, json_text
from kreabench.report.text import message

SCHEMA_VERSION = 1
"""Rises when a field changes its meaning or goes."""


def render_json(result: GateResult) -> str:
    """One object; a number that is not there is null."""
    comparison = result.comparison
    document = {
        "schema_version": SCHEMA_VERSION,
        "outcome": result.outcome,
        "exit_code": int(result.exit_code),
        "verdict": verdict(result),
        "obstacles": list(result.obstacles),
        "policy": asdict(result.policy),
        "confidence": 1 - 2 * result.policy.level,
        "family": result.family,
        "base": _side(comparison.base),
        "candidate": _side(comparison.candidate),
        "forced": [asdict(mismatch) for mismatch in comparison.forced],
        "differing_versions": [asdict(difference) for difference in comparison.versions],
        "caveats": list(comparison.caveats),
        "base_only": [_setting(setting) for setting in comparison.base_only],
        "candidate_only": [_setting(setting) for setting in comparison.candidate_only],
        "settings": [_pair(setting, result) for setting in comparison.settings],
    }
    return json_text(finite(document))


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "run": side.run_name,
        "created_utc": side.created_utc,
        "unfinished": side.unfinished,
        "dropped": dict(side.dropped),
        "notice": side.notice,
        "facts": dict(side.facts),
        "versions": dict(side.versions),
    }


def _setting(setting: Setting) -> dict[str, str]:
    return {"id": setting.id, "label": setting.label}


def _pair(setting: SettingComparison, result: GateResult) -> dict[str, Any]:
    return {
        "base": _setting(setting.base),
        "candidate": _setting(setting.candidate),
        "pairs": setting.pairs,
        "identical": setting.identical,
        "resized": setting.resized,
        "unpaired": len(setting.unpaired),
        "both_failed": setting.both_failed,
        "checks": [_check(check) for check in result.checks if check.setting is setting],
        "left_out": [{"name": x.name, "reason": x.reason} for x in result.left_out if x.setting is setting],
    }


def _check(check: GateCheck) -> dict[str, Any]:
    compared, judgement = check.compared, check.judgement
    base, candidate = value_pair(check)
    metric = compared if isinstance(compared, MetricComparison) else None
    return {
        "name": check.name,
        "outcome": check.outcome,
        "reason": message(judgement.reason),
        "prompts_to_decide": judgement.n_to_decide,
        "sides": check.spec.sides,
        "margin": check.margin,
        "noise_floor": metric.seed_sd if metric else None,
        "better": metric.better if metric else "lower",
        "unit": compared.unit if isinstance(compared, MetricComparison | CostComparison) else "share",
        "base": base,
        "candidate": candidate,
        # A difference; of a cost the ratio of both.
        "change": _estimate(judgement.change),
        "p_loss": judgement.p_loss,
        "p_inside": judgement.p_inside,
        "pairs": metric.pairs if metric else None,
        "untrained": metric.untrained if metric else False,
    }


def _estimate(value: Estimate | None) -> dict[str, float | int | None] | None:
    return None if value is None else {"value": value.value, "low": value.low, "high": value.high, "prompts": value.n}
