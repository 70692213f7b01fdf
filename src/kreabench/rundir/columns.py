"""The columns of samples.parquet: from which part of what is known each one comes, and its type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Request, Setting
from kreabench.core.records import (
    Cost,
    DeviceState,
    Failure,
    HostedCall,
    ImageRecord,
    Memory,
    SampleRecord,
    Served,
    Timings,
    Work,
)
from kreabench.core.specs import Prompt

TEXT, INT, UINT, FLOAT, BOOL = pa.string(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
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
    served: Served | None
    cost: Cost
    image: ImageRecord | None


COLUMNS: tuple[tuple[str, str, str, Any], ...] = (
    ("request_id", "request", "id", TEXT),
    ("setting_id", "request", "setting_id", TEXT),
    ("group_id", "sample", "group_id", TEXT),
    ("target", "setting", "target", TEXT),
    ("task", "setting", "task", TEXT),
    ("acceleration", "setting", "acceleration", TEXT),
    ("steps", "setting", "steps", INT),
    ("guidance", "setting", "guidance", FLOAT),
    ("strength", "setting", "strength", FLOAT),
    ("width", "setting", "width", INT),
    ("height", "setting", "height", INT),
    ("num_images", "setting", "num_images", INT),
    ("output_format", "setting", "output_format", TEXT),
    ("concurrency", "setting", "concurrency", INT),
    ("batch_size", "setting", "batch_size", INT),
    ("replicas", "setting", "replicas", INT),
    ("rate_per_s", "setting", "rate_per_s", FLOAT),
    ("reference_id", "setting", "reference_id", TEXT),
    ("prompt_id", "request", "prompt_id", TEXT),
    ("prompt", "request", "prompt", TEXT),
    ("category", "prompt", "category", TEXT),
    ("seed", "request", "seed", INT),
    ("repeat", "request", "repeat", INT),
    ("attempt", "sample", "attempt", INT),
    ("status", "sample", "status", TEXT),
    ("error_type", "error", "type", TEXT),
    ("error_stage", "error", "stage", TEXT),
    ("error_message", "error", "message", TEXT),
    ("started_utc", "sample", "started_utc", TEXT),
    ("steps_run", "sample", "steps_run", INT),
    ("timing_valid", "sample", "timing_valid", BOOL),
    ("first_call", "timings", "first_call", BOOL),
    ("end_to_end_s", "timings", "end_to_end_s", FLOAT),
    ("residual_s", "timings", "residual_s", FLOAT),
    ("resolution_s", "timings", "resolution_s", FLOAT),
    ("peak_rss_bytes", "memory", "peak_rss_bytes", INT),
    ("peak_allocated_bytes", "memory", "peak_allocated_bytes", INT),
    ("peak_reserved_bytes", "memory", "peak_reserved_bytes", INT),
    ("driver_process_bytes", "memory", "driver_process_bytes", INT),
    ("driver_device_bytes", "memory", "driver_device_bytes", INT),
    ("energy_j", "device", "energy_j", FLOAT),
    ("sm_clock_mhz", "device", "sm_clock_mhz", FLOAT),
    ("sm_clock_min_mhz", "device", "sm_clock_min_mhz", FLOAT),
    ("temperature_c", "device", "temperature_c", FLOAT),
    ("throttle_reasons", "device", "throttle_reasons", TEXT),
    ("foreign_processes", "device", "foreign_processes", INT),
    ("reference_tflop", "work", "reference_tflop", FLOAT),
    ("done_tflop", "work", "done_tflop", FLOAT),
    ("floor_s", "work", "floor_s", FLOAT),
    ("share_of_floor", "work", "share_of_floor", FLOAT),
    ("flags", "sample", "flags", TEXT),
    ("worker", "sample", "worker", TEXT),
    ("beside", "sample", "beside", TEXT),
    ("batch", "served", "batch", INT),
    ("waited_s", "served", "queue_s", FLOAT),
    ("service_s", "served", "service_s", FLOAT),
    ("service_request_id", "hosted", "service_request_id", TEXT),
    ("service_attempts", "hosted", "attempts", INT),
    ("polls", "hosted", "polls", INT),
    ("queue_s", "hosted", "queue_s", FLOAT),
    ("inference_s", "hosted", "inference_s", FLOAT),
    ("runner", "hosted", "runner", TEXT),
    ("billable_units", "hosted", "billable_units", FLOAT),
    ("observed_by", "hosted", "observed_by", TEXT),
    ("model_s", "hosted", "model_s", FLOAT),
    ("first_on_runner", "hosted", "first_on_runner", BOOL),
    ("rerouted", "hosted", "rerouted", BOOL),
    ("recovered", "hosted", "recovered", BOOL),
    ("in_flight", "hosted", "in_flight", INT),
    ("running", "hosted", "running", INT),
    ("usd", "cost", "usd", FLOAT),
    ("usd_basis", "cost", "basis", TEXT),
    ("list_usd", "cost", "list_usd", FLOAT),
    ("image_index", "image", "index", INT),
    ("image_path", "image", "path", TEXT),
    ("image_sha256", "image", "sha256", TEXT),
    ("image_size_bytes", "image", "size_bytes", INT),
    ("image_width", "image", "width", INT),
    ("image_height", "image", "height", INT),
    ("image_format", "image", "format", TEXT),
    ("image_seed", "image", "seed", UINT),
    ("nsfw", "image", "nsfw", BOOL),
    ("safety_check_s", "sample", "safety_check_s", FLOAT),
    ("degenerate", "image", "degenerate", TEXT),
)
"""Column, part of `Row`, field of that part, type. Stages follow `resolution_s`, scores come last."""

KINDS = ("allocated", "reserved")
"""Peaks of each stage that was weighed, which follow `peak_reserved_bytes`."""

SCORE_COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("", "value", FLOAT),
    ("_status", "status", TEXT),
    ("_reason", "reason", TEXT),
    ("_truncated", "truncated", BOOL),
    ("_untrained", "untrained", BOOL),
    ("_notes", "notes", TEXT),
    ("_usd", "usd", FLOAT),
)
"""What follows `score_<metric>`, field of ScoreRecord, type. All null where the image has no score yet."""

LISTS = frozenset({"flags", "beside", "throttle_reasons", "notes"})
"""Fields that hold several texts."""

_MAY_BE_NULL = frozenset(
    {"reference_id", "flags", "worker", "beside", "steps", "guidance", "strength", "safety_check_s", "steps_run"}
    | {"usd", "list_usd", "rate_per_s"}
)
_ALWAYS_THERE = frozenset({"request", "setting", "sample", "cost"})


def schema_of(stages: Sequence[str], weighed: Sequence[str], metrics: Sequence[str]) -> Any:
    """The table's schema: every stage that was timed or weighed and every metric has columns of its own."""
    fields = []
    for name, part, _, type_ in COLUMNS:
        nullable = part not in _ALWAYS_THERE or name in _MAY_BE_NULL
        fields.append(pa.field(name, type_, nullable=nullable))
        if name == "resolution_s":
            fields += [pa.field(f"stage_{stage}_s", FLOAT) for stage in stages]
        if name == "peak_reserved_bytes":
            fields += [pa.field(f"stage_{stage}_{kind}_bytes", INT) for kind in KINDS for stage in weighed]
    fields += [pa.field(f"score_{metric}{suffix}", type_) for metric in metrics for suffix, _, type_ in SCORE_COLUMNS]
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunDirectoryError(
            f"two metrics would share the columns {', '.join(twice)}",
            remedy="Start the run anew with another name for one of them under metrics.",
        )
    return pa.schema(fields)
