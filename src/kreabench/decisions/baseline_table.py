"""The table of samples as rows of a baseline file, and out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow as pa

from kreabench.core.ids import stable_hash
from kreabench.core.planned import Setting
from kreabench.core.redaction import redact
from kreabench.decisions.baseline_file import BaselineHeader, BaselineRow, Cell, ScoreState
from kreabench.rundir.columns import COLUMNS, schema_of
from kreabench.rundir.table import frame_of

_KEPT = {
    "setting_id": "setting",
    "prompt_id": "prompt",
    "seed": "seed",
    "repeat": "repeat",
    "status": "status",
    "error_type": "error",
    "image_index": "index",
    "image_sha256": "sha256",
    "image_width": "width",
    "image_height": "height",
    "image_seed": "image_seed",
    "end_to_end_s": "latency_s",
    "timing_valid": "timed",
    "peak_allocated_bytes": "peak_allocated_bytes",
    "peak_rss_bytes": "peak_rss_bytes",
    "energy_j": "energy_j",
    "usd": "usd",
    "usd_basis": "usd_basis",
    "nsfw": "nsfw",
    "degenerate": "degenerate",
}
"""Column of the table → field of a row. Besides these a table has what follows: the setting's columns, an id of the
request, and whether a hosted service served it."""

States = dict[str, ScoreState]


def rows_of(
    table: pd.DataFrame, settings: Sequence[Setting], metrics: Sequence[str]
) -> tuple[list[BaselineRow], dict[str, str], States]:
    """The rows, by setting and in the table's order; the usual state of each metric's numbers; all states by name."""
    columns = {field: _plain(table[name]) for name, field in _KEPT.items() if name in table.columns}
    hosted = _plain(table["service_request_id"].notna())
    scores = {metric: list(_scores(table, metric)) for metric in metrics if f"score_{metric}" in table.columns}
    usual, states = _usual(scores)
    by_id = {setting.id: (number, setting) for number, setting in enumerate(settings)}
    places = sorted(range(len(table)), key=lambda place: by_id[columns["setting"][place]][0])
    rows = []
    for place in places:
        values = {field: column[place] for field, column in columns.items()}
        cells = {metric: _cell(column[place], usual.get(metric)) for metric, column in scores.items()}
        there = {metric: cell for metric, cell in cells.items() if cell is not None}
        setting = by_id[values["setting"]][1]
        rows.append(BaselineRow(**_without_known(values, setting), hosted=hosted[place], scores=there))
    return rows, usual, states


def _without_known(values: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """The fields of a row, without what a reader puts in again."""
    known = {"width": setting.width, "height": setting.height}
    if values["index"] is not None:
        known["image_seed"] = values["seed"] + values["index"]
    found = {name: None if known.get(name) == value else value for name, value in values.items()}
    return {**found, "index": values["index"] or 0}


def _scores(table: pd.DataFrame, metric: str) -> Iterator[tuple[float | None, ScoreState] | None]:
    names = [f"score_{metric}{suffix}" for suffix in ("", "_status", "_reason", "_truncated", "_untrained")]
    for value, status, reason, truncated, untrained in zip(*(_plain(table[name]) for name in names), strict=True):
        if status is None:
            yield None
        else:
            state = ScoreState(
                status=status, reason=redact(reason or ""), truncated=bool(truncated), untrained=bool(untrained)
            )
            yield value, state


def _usual(scores: Mapping[str, Sequence[tuple[float | None, ScoreState] | None]]) -> tuple[dict[str, str], States]:
    usual: dict[str, str] = {}
    states: States = {}
    for metric, column in scores.items():
        counts = Counter(score[1] for score in column if score is not None)
        states |= {_name(state): state for state in counts}
        finite = [state for state, _ in counts.most_common() if state.status == "ok"]
        if finite:
            usual[metric] = _name(finite[0])
    return usual, dict(sorted(states.items()))


@lru_cache
def _name(state: ScoreState) -> str:
    """Short, and the same in every file."""
    return stable_hash(state, length=8)


def _cell(score: tuple[float | None, ScoreState] | None, usual: str | None) -> Cell | None:
    if score is None:
        return None
    value, state = score
    name = _name(state)
    if value is None:
        return name
    return value if name == usual else (value, name)


def _plain(column: pd.Series[Any]) -> list[Any]:
    """Values of Python, None where there is none."""
    return [None if absent else value for value, absent in zip(column.tolist(), column.isna(), strict=True)]


def table_of(header: BaselineHeader, rows: Sequence[BaselineRow]) -> pd.DataFrame:
    """The columns of `rundir.table` that a baseline keeps, with the same types."""
    settings = {setting.id: setting for setting in header.settings}
    of_setting = {name: field for name, owner, field, _ in COLUMNS if owner == "setting"}
    columns: dict[str, list[Any]] = {name: [] for name in ("request_id", "service_request_id", *of_setting, *_KEPT)}
    for row in rows:
        setting = settings[row.setting]
        for name, value in _cells(row, setting).items():
            columns[name].append(value)
        for name, field in of_setting.items():
            columns[name].append(getattr(setting, field))
    for spec in header.metrics:
        columns |= _score_columns(spec.name, header, rows)
    schema = schema_of((), (), [spec.name for spec in header.metrics])
    kept = [field for field in schema if field.name in columns]
    return frame_of(pa.table([pa.array(columns[one.name], one.type) for one in kept], schema=pa.schema(kept)))


def _cells(row: BaselineRow, setting: Setting) -> dict[str, Any]:
    """Those that are not the setting's, and no scores."""
    values = {name: getattr(row, field) for name, field in _KEPT.items()}
    if row.sha256 is None:
        values["image_index"] = None
    else:
        values["image_width"] = setting.width if row.width is None else row.width
        values["image_height"] = setting.height if row.height is None else row.height
        values["image_seed"] = row.seed + row.index if row.image_seed is None else row.image_seed
    request = f"{row.setting}/{row.prompt}/{row.seed}/{row.repeat}"
    return {**values, "request_id": request, "service_request_id": request if row.hosted else None}


def _score_columns(metric: str, header: BaselineHeader, rows: Sequence[BaselineRow]) -> dict[str, list[Any]]:
    found = [_score(row.scores.get(metric), metric, header) for row in rows]
    names = (f"score_{metric}{suffix}" for suffix in ("", "_status", "_reason", "_truncated", "_untrained"))
    return {name: [score[number] for score in found] for number, name in enumerate(names)}


def _score(cell: Cell | None, metric: str, header: BaselineHeader) -> tuple[Any, ...]:
    if cell is None:
        return (None,) * 5
    value, name = _parts(cell, header.usual.get(metric, ""))
    state = header.states[name]
    return value, state.status, state.reason, state.truncated, state.untrained


def _parts(cell: Cell, usual: str) -> tuple[float | None, str]:
    """Value and name of the state."""
    if isinstance(cell, tuple):
        return cell
    return (None, cell) if isinstance(cell, str) else (cell, usual)
