"""A canary as JSON, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from kreabench.core.errors import ExitCode
from kreabench.decisions.canary import CanaryResult
from kreabench.report.canary.words import headline
from kreabench.report.gate import json_file
from kreabench.report.json_text import finite, json_text

SCHEMA_VERSION = 1
"""Rises when a field changes its meaning or goes."""


def render_json(result: CanaryResult, target: str, exit_code: ExitCode) -> str:
    """One object; a number that is not there is null."""
    scores = result.scores
    document = {
        "schema_version": SCHEMA_VERSION,
        "target": target,
        "exit_code": int(exit_code),
        "alarms": list(result.alarms),
        "verdict": headline(result),
        "false_alarms_per_year": result.false_alarms_per_year,
        "level": result.level,
        "day": _day(result, len(result.days) - 1),
        "pictures": asdict(result.pictures[-1]),
        "latency": asdict(result.latency[-1]),
        "price": asdict(result.prices[-1]),
        "scores": {
            "outcome": None if scores.gate is None else scores.gate.outcome,
            "base": None if scores.base is None else scores.base.name,
            "comparable": scores.comparable,
            "reason": scores.reason,
            "gate": None if scores.gate is None else json.loads(json_file.render_json(scores.gate)),
        },
        "differing": list(result.differing),
        "notices": list(result.notices),
        "days": [_day(result, number) for number in range(len(result.days))],
    }
    return json_text(finite(document))


def _day(result: CanaryResult, number: int) -> dict[str, Any]:
    day, latency = result.days[number], result.latency[number]
    return {
        "name": day.name,
        "created_utc": day.created_utc,
        "pictures": result.pictures[number].state,
        "latency": latency.state,
        "price": result.prices[number].state,
        "requests": day.requests,
        "delivered": day.delivered,
        "failures": dict(day.failures),
        "median_s": latency.median_s,
        "queue_s": day.queue_s,
        "inference_s": day.inference_s,
        "usd_per_image": result.prices[number].usd_per_image,
        "runners": list(day.runners),
    }
