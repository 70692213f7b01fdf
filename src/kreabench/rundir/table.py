"""samples.parquet: one row an image, joined from plan, journal and scores; always rebuilt whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan, Request, Setting
from kreabench.core.records import (
    Cost,
    DeviceState,
    Failure,
    HostedCall,
    ImageRecord,
    Memory,
    SampleRecord,
    Timings,
    Work,
)
from kreabench.core.score_records import ScoreRecord
from kreabench.core.specs import Prompt
from kreabench.rundir.directory import TABLE_FILE, RunDirectory
from kreabench.rundir.files import publish, storage_error

if TYPE_CHECKING:
    from pandas import DataFrame

_BATCH_ROWS = 16_384

_TEXT, _INT, _UINT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """Everything one row is made of; a part that does not exist is None."""

    request: Request
    setting: Setting
    prompt: Prompt | None
    sample: SampleRecord
    error: Failure | None
    timings: Timings | None
    memory: Memory | None
    hosted: HostedCall | None
    device: DeviceState | None
    work: Work | None
    cost: Cost
    image: ImageRecord | None


_COLUMNS: tuple[tuple[str, str, str, Any], ...] = (
    ("request_id", "request", "id", _TEXT),
    ("setting_id", "request", "setting_id", _TEXT),
    ("group_id", "sample", "group_id", _TEXT),
    ("target", "setting", "target", _TEXT),
    ("task", "setting", "task", _TEXT),
    ("acceleration", "setting", "acceleration", _TEXT),
    ("steps", "setting", "steps", _INT),
    ("guidance", "setting", "guidance", _FLOAT),
    ("strength", "setting", "strength", _FLOAT),
    ("width", "setting", "width", _INT),
    ("height", "setting", "height", _INT),
    ("num_images", "setting", "num_images", _INT),
    ("output_format", "setting", "output_format", _TEXT),
    ("concurrency", "setting", "concurrency", _INT),
    ("reference_id", "setting", "reference_id", _TEXT),
    ("prompt_id", "request", "prompt_id", _TEXT),
    ("prompt", "request", "prompt", _TEXT),
    ("category", "prompt", "category", _TEXT),
    ("seed", "request", "seed", _INT),
    ("repeat", "request", "repeat", _INT),
    ("attempt", "sample", "attempt", _INT),
    ("status", "sample", "status", _TEXT),
    ("error_type", "error", "type", _TEXT),
    ("error_stage", "error", "stage", _TEXT),
    ("error_message", "error", "message", _TEXT),
    ("started_utc", "sample", "started_utc", _TEXT),
    ("steps_run", "sample", "steps_run", _INT),
    ("timing_valid", "sample", "timing_valid", _BOOL),
    ("first_call", "timings", "first_call", _BOOL),
    ("end_to_end_s", "timings", "end_to_end_s", _FLOAT),
    ("residual_s", "timings", "residual_s", _FLOAT),
    ("resolution_s", "timings", "resolution_s", _FLOAT),
    ("peak_rss_bytes", "memory", "peak_rss_bytes", _INT),
    ("peak_allocated_bytes", "memory", "peak_allocated_bytes", _INT),
    ("peak_reserved_bytes", "memory", "peak_reserved_bytes", _INT),
    ("driver_process_bytes", "memory", "driver_process_bytes", _INT),
    ("driver_device_bytes", "memory", "driver_device_bytes", _INT),
    ("energy_j", "device", "energy_j", _FLOAT),
    ("sm_clock_mhz", "device", "sm_clock_mhz", _FLOAT),
    ("sm_clock_min_mhz", "device", "sm_clock_min_mhz", _FLOAT),
    ("temperature_c", "device", "temperature_c", _FLOAT),
    ("throttle_reasons", "device", "throttle_reasons", _TEXT),
    ("foreign_processes", "device", "foreign_processes", _INT),
    ("reference_tflop", "work", "reference_tflop", _FLOAT),
    ("done_tflop", "work", "done_tflop", _FLOAT),
    ("floor_s", "work", "floor_s", _FLOAT),
    ("share_of_floor", "work", "share_of_floor", _FLOAT),
    ("flags", "sample", "flags", _TEXT),
    ("service_request_id", "hosted", "service_request_id", _TEXT),
    ("service_attempts", "hosted", "attempts", _INT),
    ("polls", "hosted", "polls", _INT),
    ("queue_s", "hosted", "queue_s", _FLOAT),
    ("inference_s", "hosted", "inference_s", _FLOAT),
    ("runner", "hosted", "runner", _TEXT),
    ("billable_units", "hosted", "billable_units", _FLOAT),
    ("observed_by", "hosted", "observed_by", _TEXT),
    ("model_s", "hosted", "model_s", _FLOAT),
    ("first_on_runner", "hosted", "first_on_runner", _BOOL),
    ("rerouted", "hosted", "rerouted", _BOOL),
    ("recovered", "hosted", "recovered", _BOOL),
    ("in_flight", "hosted", "in_flight", _INT),
    ("running", "hosted", "running", _INT),
    ("usd", "cost", "usd", _FLOAT),
    ("usd_basis", "cost", "basis", _TEXT),
    ("list_usd", "cost", "list_usd", _FLOAT),
    ("image_index", "image", "index", _INT),
    ("image_path", "image", "path", _TEXT),
    ("image_sha256", "image", "sha256", _TEXT),
    ("image_size_bytes", "image", "size_bytes", _INT),
    ("image_width", "image", "width", _INT),
    ("image_height", "image", "height", _INT),
    ("image_format", "image", "format", _TEXT),
    ("image_seed", "image", "seed", _UINT),
    ("nsfw", "image", "nsfw", _BOOL),
    ("safety_check_s", "sample", "safety_check_s", _FLOAT),
    ("degenerate", "image", "degenerate", _TEXT),
)
"""Column, part of `_Row`, field of that part, type. Stages follow `resolution_s`, scores come last."""

_KINDS = ("allocated", "reserved")
"""Peaks of each stage that was weighed, which follow `peak_reserved_bytes`."""

_SCORE_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("", "value", _FLOAT),
    ("_status", "status", _TEXT),
    ("_reason", "reason", _TEXT),
    ("_truncated", "truncated", _BOOL),
    ("_untrained", "untrained", _BOOL),
    ("_notes", "notes", _TEXT),
    ("_usd", "usd", _FLOAT),
)
"""What follows `score_<metric>`, field of ScoreRecord, type. All null where the image has no score yet."""

_MAY_BE_NULL = frozenset(
    {"reference_id", "flags", "steps", "guidance", "strength", "safety_check_s", "steps_run", "usd", "list_usd"}
)
_ALWAYS_THERE = frozenset({"request", "setting", "sample", "cost"})

Scores = dict[str, list[ScoreRecord | None]]
"""Metric → its score of each row."""


def rebuild_table(run: RunDirectory, plan: Plan) -> Path:
    """Write samples.parquet anew, whole or not at all, and return its path. Rows are in the order of `plan`.

    One row an image; a failed sample has one row without an image; a request not yet done has none. A score counts
    only for the picture it was made from, and only under the identity that its metric was last run with.

    Raises RunDirectoryError when the journals are damaged or do not belong to `plan`, StorageError when the disk
    refuses the file.
    """
    schema, batches = _joined(run, plan)
    path = run.path / TABLE_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")  # reports of one run may be made side by side
    try:
        with temporary.open("wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # on a read-only disk there is none to remove, and no right to try
            temporary.unlink(missing_ok=True)
    return path


def join_table(run: RunDirectory, plan: Plan) -> DataFrame:
    """What `read_table` would give after `rebuild_table`; writes nothing, so it works on a read-only disk.

    Raises RunDirectoryError when the journals are damaged or do not belong to `plan`.
    """
    schema, batches = _joined(run, plan)
    return _frame(pa.Table.from_batches(batches, schema))


def read_table(run: RunDirectory) -> DataFrame:
    """samples.parquet as it was last rebuilt. Raises RunDirectoryError where it is absent or damaged.

    Columns that are never null have numpy types. Integers and booleans that may be null have pandas' nullable types
    (`Int64`, `UInt64`, `boolean`), so that no seed or byte count turns into a rounded float; absent floats are NaN.
    """
    path = run.path / TABLE_FILE
    remedy = f"Rebuild it with `kreabench score {run.path}`."
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{path} does not exist", remedy=remedy) from error
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}", remedy=remedy) from error
    return _frame(table)


def _frame(table: Any) -> DataFrame:
    import pandas as pd

    nullable = {_INT: pd.Int64Dtype(), _UINT: pd.UInt64Dtype(), _BOOL: pd.BooleanDtype()}
    frame: DataFrame = table.to_pandas(types_mapper=nullable.get)
    plain = {_INT: "int64", _BOOL: "bool"}
    return frame.astype(
        {field.name: plain[field.type] for field in table.schema if not field.nullable and field.type in plain}
    )


def _joined(run: RunDirectory, plan: Plan) -> tuple[Any, Iterator[Any]]:
    """The table's schema and its record batches."""
    rows = _rows(run, plan)
    scores = _scores(run, rows)
    stages = list(dict.fromkeys(stage for row in rows if row.timings is not None for stage in row.timings.stages_s))
    weighed = list(
        dict.fromkeys(s for row in rows if row.memory is not None for s in row.memory.stages_allocated_bytes)
    )
    schema = _schema(stages, weighed, list(scores))

    def batches() -> Iterator[Any]:
        for start in range(0, len(rows), _BATCH_ROWS):
            part = slice(start, start + _BATCH_ROWS)
            some = {name: column[part] for name, column in scores.items()}
            arrays = list(_arrays(rows[part], stages, weighed, some))
            yield pa.record_batch(arrays, schema=schema)

    return schema, batches()


def _rows(run: RunDirectory, plan: Plan) -> list[_Row]:
    """One row an image, in the order of the plan. Raises RunDirectoryError for a sample that the plan lacks."""
    samples = run.samples()
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
            f"{run.path} holds {len(samples)} samples of another plan, request {next(iter(samples))} among them",
            remedy="Read the run with the kreabench that wrote it.",
        )
    return rows


def _row(
    request: Request, setting: Setting, prompt: Prompt | None, sample: SampleRecord, image: ImageRecord | None
) -> _Row:
    return _Row(
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
        cost=sample.cost,
        image=image,
    )


def _scores(run: RunDirectory, rows: Sequence[_Row]) -> Scores:
    """The scores that hold, by metric and row: configured metrics first, then any others in order of appearance."""
    positions = {(row.request.id, row.image.index): number for number, row in enumerate(rows) if row.image is not None}
    scores: Scores = {
        metric.name: [None] * len(rows) for metric in run.info.experiment.metrics if metric.per == "image"
    }
    identities: dict[str, str] = {}
    for score in run.score_lines():
        identities[score.metric] = score.identity
        if score.metric not in scores:
            scores[score.metric] = [None] * len(rows)
        position = positions.get((score.request_id, score.image_index))
        if position is None:
            continue
        image = rows[position].image
        if image is not None and image.sha256 == score.image_sha256:
            scores[score.metric][position] = score
    for name, column in scores.items():
        for position, held in enumerate(column):
            if held is not None and held.identity != identities[name]:
                column[position] = None
    return scores


def _schema(stages: Sequence[str], weighed: Sequence[str], metrics: Sequence[str]) -> Any:
    fields = []
    for name, part, _, type_ in _COLUMNS:
        nullable = part not in _ALWAYS_THERE or name in _MAY_BE_NULL
        fields.append(pa.field(name, type_, nullable=nullable))
        if name == "resolution_s":
            fields += [pa.field(f"stage_{stage}_s", _FLOAT) for stage in stages]
        if name == "peak_reserved_bytes":
            fields += [pa.field(f"stage_{stage}_{kind}_bytes", _INT) for kind in _KINDS for stage in weighed]
    fields += [pa.field(f"score_{metric}{suffix}", type_) for metric in metrics for suffix, _, type_ in _SCORE_COLUMNS]
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunDirectoryError(
            f"two metrics would share the columns {', '.join(twice)}",
            remedy="Start the run anew with another name for one of them under metrics.",
        )
    return pa.schema(fields)


def _arrays(rows: Sequence[_Row], stages: Sequence[str], weighed: Sequence[str], scores: Scores) -> Iterator[Any]:
    """The columns of `rows`, in the order of `_schema`."""
    for name, part, field, type_ in _COLUMNS:
        yield _array([getattr(row, part) for row in rows], field, type_)
        if name == "resolution_s":
            for stage in stages:
                yield pa.array([row.timings and row.timings.stages_s.get(stage) for row in rows], _FLOAT)
        if name == "peak_reserved_bytes":
            for kind in _KINDS:
                by_stage = [{} if row.memory is None else getattr(row.memory, f"stages_{kind}_bytes") for row in rows]
                for stage in weighed:
                    yield pa.array([peaks.get(stage) for peaks in by_stage], _INT)
    for column in scores.values():
        for _, field, type_ in _SCORE_COLUMNS:
            yield _array(column, field, type_)


def _array(parts: Sequence[Any], field: str, type_: Any) -> Any:
    return pa.array([None if part is None else _plain(getattr(part, field)) for part in parts], type_)


def _plain(value: Any) -> Any:
    """Several texts in one cell, set apart by semicolons; none is an empty cell."""
    return ("; ".join(text.replace(";", ",") for text in value) or None) if isinstance(value, tuple) else value
