"""What the columns of a run's frames mean: one line a column, `name|type|unit|meaning`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pandas import DataFrame

Frame = Literal["samples", "scores", "settings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnInfo:
    """One column, or all columns of a pattern."""

    table: Frame
    name: str
    """`{stage}`, `{metric}`, `{percent}` and `{quantity}` stand for names of a run."""
    dtype: str
    """As pandas calls it; `text` is a string or absent."""
    unit: str
    """Empty where it has none."""
    text: str
    """What it means."""


_SAMPLES = """\
request_id|text||hash of setting, prompt, seed and repeat
setting_id|text||hash of the setting; the same in every run
group_id|text||the load of the model that drew it
target|text||what drew it
task|text||text-to-image, image-to-image or redux
acceleration|text||name of its profile
steps|Int64||denoising steps asked for; absent where the endpoint has no such input
guidance|float64||guidance asked for; absent as steps
strength|float64||of image-to-image: 1 keeps nothing of the input picture
width|int64|px|asked for
height|int64|px|asked for
num_images|int64||pictures a request
output_format|text||of the picture's file, as asked
concurrency|int64||requests in flight at once
reference_id|text||the setting that fidelity is measured against
prompt_id|text||its id in the prompt set
prompt|text||its text
category|text||of the prompt
seed|int64||of the request; picture k is drawn with seed + k
repeat|int64||0 for the first
attempt|int64||1 for the first; a later one is never a timing
status|text||ok or failed
error_type|text||of a failed request
error_stage|text||where it failed
error_message|text||in words
started_utc|text||when it began
steps_run|Int64||steps that really ran
timing_valid|bool||whether its timings may enter a median
first_call|boolean||whether it was its setting's first call after a load
end_to_end_s|float64|s|the whole request
residual_s|float64|s|of the whole, in no stage
resolution_s|float64|s|how coarsely queue and inference of a hosted request could be told apart
stage_{stage}_s|float64|s|one stage of the request
peak_rss_bytes|Int64|bytes|resident memory of the worker
peak_allocated_bytes|Int64|bytes|of torch on the device
peak_reserved_bytes|Int64|bytes|of torch on the device, with what it keeps for later
stage_{stage}_allocated_bytes|Int64|bytes|peak within the stage
stage_{stage}_reserved_bytes|Int64|bytes|peak within the stage
driver_process_bytes|Int64|bytes|what the driver held for this process
driver_device_bytes|Int64|bytes|what the driver held for all processes
energy_j|float64|J|of the whole device
sm_clock_mhz|float64|MHz|median clock of the multiprocessors
sm_clock_min_mhz|float64|MHz|lowest clock seen
temperature_c|float64|°C|highest seen
throttle_reasons|text||why the driver held the clock down
foreign_processes|Int64||others that computed on the device
reference_tflop|float64|TFLOP|arithmetic without any work skipped
done_tflop|float64|TFLOP|arithmetic really done
floor_s|float64|s|least time for it on this device
share_of_floor|float64|share of 1|floor over measured time
flags|text||what makes the numbers doubtful
service_request_id|text||the hosted service's name of it
service_attempts|Int64||reads, 1 where none was repeated
polls|Int64||status answers read
queue_s|float64|s|in the service's queue
inference_s|float64|s|as the service reports it
runner|text||who served it
billable_units|float64||as the service counts them
observed_by|text||how the edges of queue and inference were seen
model_s|float64|s|the model's own time, on the service's clock
first_on_runner|boolean||the runner's first request of this session
rerouted|boolean||it went back into the queue, or elsewhere
recovered|boolean||fetched after a crash
in_flight|Int64||requests under way when it ended
running|Int64||of these, worked on by the service
usd|float64|$|of the request
usd_basis|text||billed, price_list, device_hour or none
list_usd|float64|$|by the price list, where it was billed
image_index|Int64||which picture of the request; absent where none was delivered
image_path|text||within the run directory
image_sha256|text||of the file
image_size_bytes|Int64|bytes|of the file
image_width|Int64|px|delivered
image_height|Int64|px|delivered
image_format|text||what the file is
image_seed|UInt64||as the back end or service says
nsfw|boolean||by a safety checker; absent where none looked
safety_check_s|float64|s|what that took, after the timing
degenerate|text||black, constant, noise or nan; absent where it is a picture
score_{metric}|float64|the metric's|value; absent wherever the status is not ok
score_{metric}_status|text||ok, infinite, not_applicable or failed; absent: not scored yet
score_{metric}_reason|text||why there is no value
score_{metric}_truncated|boolean||the prompt was cut
score_{metric}_untrained|boolean||the metric's weights are random: the value means nothing
score_{metric}_notes|text||what a reader of the value must know
score_{metric}_usd|float64|$|what the score cost
"""

_SCORES = """\
metric|text||name in the run
value|float64|the metric's|absent wherever the status is not ok
status|text||ok, infinite, not_applicable, failed or unscored
reason|text||why there is no value
truncated|boolean||the prompt was cut
untrained|boolean||the metric's weights are random: the value means nothing
notes|text||what a reader of the value must know
usd|float64|$|what the score cost
"""

_SETTINGS = """\
is_reference|bool||whether others are measured against it
requested|Int64||requests planned
ok|int64||requests delivered
failed|int64||requests failed for good
images|int64||pictures delivered
degenerate|int64||pictures that are none
degenerate_kinds|text||which, with counts
latency_median_s|float64|s|median of the valid timings
latency_p{percent}_s|float64|s|a percentile of them
stage_{stage}_mean_s|float64|s|mean of a stage
peak_memory_kind|text||which memory: device or process
peak_memory_max_bytes|Int64|bytes|of the highest request
peak_memory_median_bytes|float64|bytes|median of the requests
usd_per_image|float64|$|mean of delivered pictures
usd_total|float64|$|of delivered requests
usd_failed|float64|$|of failed ones
usd_basis|text||where the dollars come from
reference_tflop|float64|TFLOP|arithmetic of a request without any work skipped
done_share|float64|share of 1|work done over that
floor_s|float64|s|least time for it on this device
share_of_floor|float64|share of 1|floor over measured time
sm_clock_mhz|float64|MHz|median clock of the multiprocessors
sm_clock_min_mhz|float64|MHz|lowest clock seen
throttle_reasons|text||why the driver held the clock down, with counts
peak_reserved_bytes|Int64|bytes|of torch on the device, with what it keeps for later
driver_process_bytes|Int64|bytes|what the driver held for this process
driver_device_bytes|Int64|bytes|what the driver held for all processes
flags|text||what makes the numbers doubtful, with counts
energy_per_image_j|float64|J|median
temperature_max_c|float64|°C|highest seen
score_{metric}_mean|float64|the metric's|mean over prompts
score_{metric}_scored|int64||pictures with a value
score_{metric}_infinite|int64||pictures equal to the reference's
score_{metric}_not_applicable|int64||pictures that cannot be scored
score_{metric}_failed|int64||pictures whose scoring failed
score_{metric}_unscored|int64||pictures not scored yet
score_{metric}_truncated|int64||pictures whose prompt was cut
score_{metric}_untrained|bool||the metric's weights are random
{quantity}_low|float64|as the quantity|lower end of its 95 % interval
{quantity}_high|float64|as the quantity|upper end of its 95 % interval
{quantity}_n|Int64||values behind it
"""


def _columns(table: Frame, lines: str) -> Iterator[ColumnInfo]:
    for line in lines.strip().split("\n"):
        name, dtype, unit, text = line.split("|")
        yield ColumnInfo(table=table, name=name, dtype=dtype, unit=unit, text=text)


def _shared(names: tuple[str, ...]) -> Iterator[str]:
    """Lines of columns that another table has from the samples."""
    lines = {line.split("|", 1)[0]: line for line in _SAMPLES.strip().split("\n")}
    return (lines[name] for name in names)


_OF_PICTURE = ("request_id", "image_index", "setting_id", "prompt_id", "category", "seed", "repeat")
_OF_SETTING = (
    *("setting_id", "target", "task", "acceleration", "steps", "guidance", "strength", "width", "height"),
    *("num_images", "output_format", "concurrency", "reference_id"),
)

COLUMNS: tuple[ColumnInfo, ...] = (
    *_columns("samples", _SAMPLES),
    *_columns("scores", "\n".join([*_shared(_OF_PICTURE), _SCORES])),
    *_columns("settings", "\n".join([*_shared(_OF_SETTING), _SETTINGS])),
)
"""Of all frames, in the order of the columns."""


def describe(frame: DataFrame) -> DataFrame:
    """A row a column of a run's `samples`, `scores` or `settings`: its type, unit and meaning.

    Columns of your own have neither unit nor meaning.
    """
    import pandas as pd

    names = list(map(str, frame.columns))
    table: Frame = "scores" if {"metric", "value"} <= set(names) else "samples"
    table = "settings" if "is_reference" in names else table
    found = [column_of(table, name) for name in names]
    return pd.DataFrame(
        {
            "column": names,
            "dtype": [str(dtype) for dtype in frame.dtypes],
            "unit": [info.unit if info else "" for info in found],
            "meaning": [info.text if info else "" for info in found],
        }
    )


def column_of(table: Frame, name: str) -> ColumnInfo | None:
    """What the column of this name is; None where it is not ours. A pattern with more of the name in it goes first."""
    fitting = [info for info in COLUMNS if info.table == table and _pattern(info.name).fullmatch(name)]
    return max(fitting, key=lambda info: len(re.sub(r"{\w+}", "", info.name)), default=None)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "(.+)", re.escape(name)))
