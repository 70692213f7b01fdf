"""Files of a recommendation: JSON and CSV unrounded, figures, Markdown and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kreabench.analysis.estimates import Estimate
from kreabench.core.planned import Setting
from kreabench.core.policies import COSTS
from kreabench.decisions.recommend import Verdict, against_reference
from kreabench.decisions.recommend_checks import Check
from kreabench.report.csv_text import csv_text, estimate_cells
from kreabench.report.files import page_files, write_files, write_one
from kreabench.report.json_text import estimate_json, finite, json_text
from kreabench.report.recommend.content import RecommendReport, ordered
from kreabench.report.recommend.figures import curve_points
from kreabench.report.recommend.page import recommend_page
from kreabench.report.recommend.remarks import remarks
from kreabench.report.recommend.words import answer_sentence, reason_of
from kreabench.report.text import visible

SCHEMA = 1


def write_json(report: RecommendReport, path: Path) -> None:
    """All of it, unrounded. Raises StorageError."""
    write_one(path, json_text(_content(report)))


def write_page(report: RecommendReport, out: Path) -> Path:
    """Write everything into the folder `out` and return the path of its index.html. Raises StorageError."""
    return write_files(out, dict(_files(report)))


def _files(report: RecommendReport) -> Iterator[tuple[str, bytes]]:
    brand = report.notice or ""
    yield "recommend.json", json_text(_content(report)).encode()
    yield "recommend_settings.csv", csv_text(_settings_rows(report), brand=brand).encode()
    yield "front.csv", csv_text(_front_rows(report), _FRONT_HEAD, brand).encode()
    if not isinstance(report.hosting, str):
        brand = "; ".join(filter(None, (brand, *report.hosting.warnings)))
        heads = ("curve", "images_per_day", "usd_per_image")
        rows = (dict(zip(heads, row, strict=True)) for row in curve_points(report.hosting))
        yield "local_or_hosted.csv", csv_text(rows, heads, brand).encode()
    yield from page_files(recommend_page(report), markdown="recommend.md")


def _settings_rows(report: RecommendReport) -> Iterator[dict[str, Any]]:
    for verdict in ordered(report.recommendation):
        entrant = verdict.entrant
        row: dict[str, Any] = {
            "setting_id": entrant.setting.id,
            "setting": entrant.setting.label,
            "class": verdict.standing,
            "probability": verdict.probability,
            "reason": visible(reason_of(verdict)),
        }
        for cost in COSTS:
            row |= _parts(cost, "median", entrant.costs[cost].median)
        for check in verdict.checks:
            name = f"check_{check.name}"
            row |= {f"{name}_outcome": check.outcome, **_parts(name, "value", check.value)}
            row |= {f"{name}_limit": check.limit, f"{name}_p": check.p_value}
            row[f"{name}_prompts_to_decide"] = check.prompts_to_decide
        yield row


def _parts(name: str, centre: str, value: Estimate | None) -> dict[str, Any]:
    cells = estimate_cells("", value)
    return {f"{name}{part or f'_{centre}'}": cell for part, cell in cells.items()}


_FRONT_HEAD = ("setting_id", "setting", "axis", "value", "on_front", "p_not_dominated", "dominated_by", "p_dominated")


def _front_rows(report: RecommendReport) -> Iterator[dict[str, Any]]:
    front = report.front
    for point in front.points:
        setting, by = point.entrant.setting, point.dominated_by
        for axis, value in zip(front.axes, point.values, strict=True):
            yield {
                "setting_id": setting.id,
                "setting": setting.label,
                "axis": front.metric if axis == "quality" else axis,
                "value": value.value,
                "on_front": point.on_front,
                "p_not_dominated": point.probability,
                "dominated_by": None if by is None else by.setting.id,
                "p_dominated": point.p_dominated,
            }


def _content(report: RecommendReport) -> dict[str, Any]:
    recommendation, override = report.recommendation, report.override
    answer, runner_up, nearest = recommendation.answer, recommendation.runner_up, recommendation.nearest
    return {
        "schema": SCHEMA,
        "run": report.name,
        "brand": report.notice,
        "sentence": answer_sentence(report.contest, recommendation),
        "answer": _id(answer),
        "runner_up": _id(runner_up),
        "nearest": _id(nearest),
        "undecided_but_better": [_id(verdict) for verdict in recommendation.undecided_but_better],
        "override": None if override is None else finite(asdict(override)),
        "question": finite(asdict(recommendation.question)),
        "assumed": list(report.asked.assumed),
        "remarks": list(remarks(report.contest, recommendation)),
        "unfinished_requests": report.unfinished,
        "dropped": dict(report.dropped),
        "prompts": recommendation.prompts,
        "resamples": recommendation.draws,
        "p_none": recommendation.p_none,
        "settings": [_verdict(report, verdict) for verdict in ordered(recommendation)],
        "front": _front(report),
        "local_or_hosted": _hosting(report),
    }


def _id(verdict: Verdict | None) -> str | None:
    return None if verdict is None else verdict.entrant.setting.id


def _verdict(report: RecommendReport, verdict: Verdict) -> dict[str, Any]:
    setting: Setting = verdict.entrant.setting
    ratios = against_reference(report.contest, verdict.entrant)
    return {
        "setting": asdict(setting),
        "label": setting.label,
        "class": verdict.standing,
        "reason": reason_of(verdict),
        "probability": verdict.probability,
        "objective": estimate_json(verdict.objective),
        "costs": {cost: estimate_json(measured.median) for cost, measured in verdict.entrant.costs.items()},
        "costs_over_reference": {cost: estimate_json(ratio) for cost, ratio in ratios.items()},
        "checks": [_check(check) for check in verdict.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    return {**finite(asdict(check)), "excess": check.excess if math.isfinite(check.excess) else None}


def _front(report: RecommendReport) -> dict[str, Any]:
    front = report.front
    return {
        "axes": [front.metric if axis == "quality" else axis for axis in front.axes],
        "points": [
            {
                "setting": point.entrant.setting.id,
                "values": [estimate_json(value) for value in point.values],
                "on_front": point.on_front,
                "p_not_dominated": point.probability,
                "dominated_by": None if point.dominated_by is None else point.dominated_by.setting.id,
                "p_dominated": point.p_dominated,
            }
            for point in front.points
        ],
        "left_out": [{"setting": entrant.setting.id, "lacks": axis} for entrant, axis in front.left_out],
    }


def _hosting(report: RecommendReport) -> dict[str, Any]:
    hosting = report.hosting
    if isinstance(hosting, str):
        return {"reason": hosting}
    return {
        "own": hosting.own.setting.id,
        "api": None if hosting.api is None else hosting.api.setting.id,
        "assumptions": [finite(asdict(one)) for one in hosting.assumptions],
        "break_even": [finite(asdict(one)) for one in hosting.results],
        "warnings": list(hosting.warnings),
    }
