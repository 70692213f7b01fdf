"""Plan, journal and scores of a run, joined to the rows of samples.parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import pyarrow as pa

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import DropRecord, ImageRecord, LoadRecord, SampleRecord
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import Prompt
from kreabench.rundir.columns import COLUMNS, FLOAT, INT, KINDS, LISTS, SCORE_COLUMNS, Row, schema_of
from kreabench.rundir.directory import RunDirectory

_BATCH_ROWS = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """A run as its journals have it."""

    schema: Any
    batches: Iterator[Any]
    """Record batches of `schema`, in the order of the plan; to be taken once."""
    identities: Mapping[str, str]
    """Metric → identity that it was last run with."""
    loads: tuple[LoadRecord, ...]
    drops: tuple[DropRecord, ...]


_FIELDS = tuple(field for _, field, _ in SCORE_COLUMNS)
_CELLS = attrgetter(*_FIELDS)


class _ScoreColumns:
    """The scores of one metric, a list a column: a record each would take several times the memory."""

    def __init__(self, rows: int) -> None:
        self.cells: tuple[list[Any], ...] = tuple([None] * rows for _ in _FIELDS)
        self._identities: list[str | None] = [None] * rows

    def hold(self, position: int, score: ScoreRecord, identity: str) -> None:
        """Put `score` into a row; `identity` is its own, as one text for all rows."""
        self._identities[position] = identity
        for column, value in zip(self.cells, _CELLS(score), strict=True):
            column[position] = value

    def drop_others(self, identity: str) -> None:
        """Leave only the scores of `identity`."""
        for position, held in enumerate(self._identities):
            if held is not None and held != identity:
                for column in self.cells:
                    column[position] = None


def join(run: RunDirectory, plan: Plan) -> Joined:
    """One row an image; a failed sample has one row without an image; a request not yet done has none.

    Raises RunDirectoryError when the journals are damaged or do not belong to `plan`.
    """
    samples: dict[str, SampleRecord] = {}
    loads: list[LoadRecord] = []
    drops: list[DropRecord] = []
    for record in run.records():
        if isinstance(record, SampleRecord):
            samples[record.request_id] = _without_steps(record)
        elif isinstance(record, LoadRecord):
            loads.append(record)
        elif isinstance(record, DropRecord):
            drops.append(record)
    rows = _rows(run, plan, samples)
    scores, identities = _scores(run, rows)
    stages = list(dict.fromkeys(stage for row in rows if row.timings is not None for stage in row.timings.stages_s))
    weighed = list(
        dict.fromkeys(s for row in rows if row.memory is not None for s in row.memory.stages_allocated_bytes)
    )
    schema = schema_of(stages, weighed, list(scores))

    def batches() -> Iterator[Any]:
        for start in range(0, len(rows), _BATCH_ROWS):
            part = slice(start, start + _BATCH_ROWS)
            yield pa.record_batch(list(_arrays(rows[part], stages, weighed, scores, part)), schema=schema)

    return Joined(schema=schema, batches=batches(), identities=identities, loads=tuple(loads), drops=tuple(drops))


def _without_steps(sample: SampleRecord) -> SampleRecord:
    """No column is made of the seconds of each step, which are most of a large journal's memory."""
    if sample.timings is None or not sample.timings.steps_s:
        return sample
    return replace(sample, timings=replace(sample.timings, steps_s=()))


def _rows(run: RunDirectory, plan: Plan, samples: dict[str, SampleRecord]) -> list[Row]:
    """In the order of the plan; empties `samples`. Raises RunDirectoryError for a sample that the plan lacks."""
    prompts = {prompt.id: prompt for prompt in run.info.experiment.prompts}
    rows = []
    for group in plan.groups:
        settings = {setting.id: setting for setting in group.settings}
        for request in group.requests:
            sample = samples.pop(request.id, None)
            if sample is not None:
                setting, prompt = settings[request.setting_id], prompts.get(request.prompt_id)
                rows += [_row(request, setting, prompt, sample, image) for image in sample.images or (None,)]
    if samples:
        raise RunDirectoryError(
            f"{run.path} holds {len(samples)} samples of another plan, request {next(iter(samples))!r} among them",
            remedy="Read the run with the kreabench that wrote it.",
        )
    return rows


def _row(
    request: Request, setting: Setting, prompt: Prompt | None, sample: SampleRecord, image: ImageRecord | None
) -> Row:
    return Row(
        request=request,
        setting=setting,
        prompt=prompt,
        sample=sample,
        error=sample.error,
        timings=sample.timings,
        memory=sample.memory,
        hosted=sample.hosted,
        device=sample.device,
        work=sample.work,
        served=sample.served,
        cost=sample.cost,
        image=image,
    )


def _scores(run: RunDirectory, rows: Sequence[Row]) -> tuple[dict[str, _ScoreColumns], dict[str, str]]:
    """The scores that hold, by metric: configured metrics first, then any others in order of appearance.

    A score counts only for the picture it was made from, and only under the identity that its metric was last run with.
    """
    positions = {
        (row.request.id, row.image.index): (number, row.image.sha256)
        for number, row in enumerate(rows)
        if row.image is not None
    }
    scores = {metric.name: _ScoreColumns(len(rows)) for metric in run.info.experiment.metrics if metric.per == "image"}
    identities: dict[str, str] = {}
    for score in run.score_lines():
        identity = identities.get(score.metric)
        if identity != score.identity:
            identity = identities[score.metric] = score.identity
        if score.metric not in scores:
            scores[score.metric] = _ScoreColumns(len(rows))
        position, sha256 = positions.get((score.request_id, score.image_index), (None, ""))
        if position is not None and sha256 == score.image_sha256:
            scores[score.metric].hold(position, score, identity)
    for name, column in scores.items():
        column.drop_others(identities.get(name, ""))
    return scores, identities


def _arrays(
    rows: Sequence[Row], stages: Sequence[str], weighed: Sequence[str], scores: Mapping[str, _ScoreColumns], part: slice
) -> Iterator[Any]:
    """The columns of `rows`, which are `part` of the table, in the order of the schema."""
    for name, owner, field, type_ in COLUMNS:
        parts = [getattr(row, owner) for row in rows]
        yield _array([None if one is None else getattr(one, field) for one in parts], field, type_)
        if name == "resolution_s":
            for stage in stages:
                yield pa.array([row.timings and row.timings.stages_s.get(stage) for row in rows], FLOAT)
        if name == "peak_reserved_bytes":
            for kind in KINDS:
                by_stage = [{} if row.memory is None else getattr(row.memory, f"stages_{kind}_bytes") for row in rows]
                for stage in weighed:
                    yield pa.array([peaks.get(stage) for peaks in by_stage], INT)
    for columns in scores.values():
        for cells, (_, field, type_) in zip(columns.cells, SCORE_COLUMNS, strict=True):
            yield _array(cells[part], field, type_)


def _array(cells: Sequence[Any], field: str, type_: Any) -> Any:
    return pa.array([_one_text(cell) for cell in cells] if field in LISTS else cells, type_)


def _one_text(texts: tuple[str, ...] | None) -> str | None:
    """Several texts in one cell, set apart by semicolons; none is an empty cell."""
    return "; ".join(text.replace(";", ",") for text in texts or ()) or None
