"""Files of a recommendation: JSON and CSV unrounded, figures, Markdown and the page."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kreabench.analysis.estimates import Estimate
from kreabench.core.planned import Setting
from kreabench.core.policies import COSTS
from kreabench.decisions.recommend import Verdict, against_reference
from kreabench.decisions.recommend_checks import Check
from kreabench.report.drawing.figures import draw
from kreabench.report.recommend_content import RecommendReport, ordered
from kreabench.report.recommend_figures import curve_points
from kreabench.report.recommend_page import recommend_document, render_recommend_html, render_recommend_markdown
from kreabench.report.recommend_words import answer_sentence, reason_of, remarks
from kreabench.report.text import visible
from kreabench.report.write import INDEX
from kreabench.rundir.files import storage_error

SCHEMA = 1


def write_json(report: RecommendReport, path: Path) -> None:
    """All of it, unrounded. Raises StorageError."""
    _write(path.parent, {path.name: _json(report)})


def write_page(report: RecommendReport, out: Path) -> Path:
    """Write everything into the folder `out` and return the path of its index.html. Raises StorageError."""
    _write(out, dict(_files(report)))
    return out / INDEX


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Every file is made first, beside the place where it goes, and only then moved there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".recommend-", dir=out) as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            for name in files:
                (out / name).parent.mkdir(exist_ok=True)
                Path(folder, name).replace(out / name)
    except OSError as error:
        raise storage_error(out, error) from error


def _files(report: RecommendReport) -> Iterator[tuple[str, bytes]]:
    document = recommend_document(report)
    yield "recommend.json", _json(report)
    yield "recommend_settings.csv", _csv(_settings_head(report), _settings_rows(report)).encode()
    yield "front.csv", _csv(_FRONT_HEAD, _front_rows(report)).encode()
    if not isinstance(report.hosting, str):
        head = ("curve", "images_per_day", "usd_per_image", "brand")
        brand = "; ".join(filter(None, (report.notice, *report.hosting.warnings)))
        yield "local_or_hosted.csv", _csv(head, ((*row, brand) for row in curve_points(report.hosting))).encode()
    for figure in document.figures:
        yield f"figures/{figure.name}.png", draw(figure, format="png")
    yield "recommend.md", render_recommend_markdown(document).encode()
    yield INDEX, render_recommend_html(document).encode()


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return buffer.getvalue()


_CHECK_HEAD = ("outcome", "value", "low", "high", "n", "limit", "p", "prompts_to_decide")


def _settings_head(report: RecommendReport) -> list[str]:
    names = [check.name for check in report.recommendation.verdicts[0].checks]
    return [
        *("setting_id", "setting", "class", "probability", "reason", "brand"),
        *(f"{cost}_{part}" for cost in COSTS for part in ("median", "low", "high", "n")),
        *(f"check_{name}_{part}" for name in names for part in _CHECK_HEAD),
    ]


def _settings_rows(report: RecommendReport) -> Iterator[list[object]]:
    for verdict in ordered(report.recommendation):
        entrant = verdict.entrant
        row: list[object] = [entrant.setting.id, entrant.setting.label, verdict.standing, verdict.probability]
        row += [visible(reason_of(verdict)), report.notice]
        for cost in COSTS:
            row += _estimate_cells(entrant.costs[cost].median)
        for check in verdict.checks:
            limit = check.limit if math.isfinite(check.limit) else None
            row += [check.outcome, *_estimate_cells(check.value), limit, check.p_value, check.prompts_to_decide]
        yield row


def _estimate_cells(value: Estimate | None) -> list[object]:
    return [None] * 4 if value is None else [value.value, value.low, value.high, value.n]


_FRONT_HEAD = (
    "setting_id",
    "setting",
    "axis",
    "value",
    "on_front",
    "p_not_dominated",
    "dominated_by",
    "p_dominated",
    "brand",
)


def _front_rows(report: RecommendReport) -> Iterator[list[object]]:
    front = report.front
    for point in front.points:
        setting, by = point.entrant.setting, point.dominated_by
        for axis, value in zip(front.axes, point.values, strict=True):
            yield [
                setting.id,
                setting.label,
                front.metric if axis == "quality" else axis,
                value.value,
                point.on_front,
                point.probability,
                None if by is None else by.setting.id,
                point.p_dominated,
                report.notice,
            ]


def _json(report: RecommendReport) -> bytes:
    text = json.dumps(_content(report), indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    return f"{text}\n".encode()


def _plain(value: object) -> object:
    raise TypeError(f"cannot write {type(value).__name__}")


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
        "override": None if override is None else _finite(asdict(override)),
        "question": _finite(asdict(recommendation.question)),
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
        "objective": _estimate(verdict.objective),
        "costs": {cost: _estimate(measured.median) for cost, measured in verdict.entrant.costs.items()},
        "costs_over_reference": {cost: _estimate(ratio) for cost, ratio in ratios.items()},
        "checks": [_check(check) for check in verdict.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    return {**_finite(asdict(check)), "excess": check.excess if math.isfinite(check.excess) else None}


def _estimate(value: Estimate | None) -> dict[str, Any] | None:
    return None if value is None else _finite(asdict(value))


def _front(report: RecommendReport) -> dict[str, Any]:
    front = report.front
    return {
        "axes": [front.metric if axis == "quality" else axis for axis in front.axes],
        "points": [
            {
                "setting": point.entrant.setting.id,
                "values": [_estimate(value) for value in point.values],
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
        "assumptions": [_finite(asdict(one)) for one in hosting.assumptions],
        "break_even": [_finite(asdict(one)) for one in hosting.results],
        "warnings": list(hosting.warnings),
    }


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
