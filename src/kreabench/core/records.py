"""What happened: one frozen record a line of the journal. Absent is None, never 0.

Kinds: `load`, `warmup`, `submission` (a hosted request is about to be sent, then: has been accepted), `sample` (the
final state of a request), `failure` (a load, warm-up or attempt that failed but does not end its request), `skip`,
`drop` and `look` (of a race). A later `sample` line of the same request replaces the earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 4
"""Of run.json and the journals; raised whenever a reader of today would misread a file of tomorrow."""
READABLE_VERSIONS = frozenset({2, 3, 4})
"""Version 3 added pictures that are noise, notes and dollars of scores, scores of sets, 4 looks of a
race and what it dropped; all older ones read as before."""

FAILURE_TYPES = (
    "out_of_memory",
    "crashed",
    "timeout",
    "device_lost",
    "load_failed",
    "invalid_request",
    "content_policy",
    "authentication",
    "rate_limited",
    "server_error",
    "network",
    "bad_image",
    "wrong_size",
    "truncated",
    "expired",
    "cancelled",
    "storage",
    "picture_lost",
    "duplicate",
    "internal",
)


DEGENERATE = {
    "black": "all black",
    "constant": "of one colour",
    "noise": "noise",
    "nan": "not a number in part",
}
"""What a picture can be that is none → in words."""

CLOCK_SET = "the clock of this machine was set"
"""How the flag of a sample begins before which, or during which, that happened."""

UNANSWERED = ("timeout", "level")
"""Type and stage of the failure of a request to a local target that had no answer when its level of load was ended, and
of what is said of a level at a service that the clock ended with requests in flight.
Nothing else has that stage: a service may time out in its `queue`."""

SHARED = "drawn while other replicas worked on the same processor"
"""Flag of a sample of a local target under load. It is a timing all the same: replicas that share a processor are what
is put under load."""

NEVER_TRIED_STAGES = frozenset({"load", "warmup"})
"""Stages of a failure before the request's own call: nothing was drawn for it, and nothing bought."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why something failed."""

    type: str
    """One of FAILURE_TYPES."""
    stage: str
    message: str
    remedy: str
    transient: bool
    """Whether `resume` tries the request again without being asked to."""
    signal: int | None = None
    """Signal that ended the worker, if one did."""
    peak_allocated_bytes: int | None = None
    """Of torch's allocator on the device until memory ran out; None for other failures and without a device."""
    fetch_again: bool = False
    """The hosted service may hold, or still make, the result: `resume` asks for that and sends nothing new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Where the time of one request went, on one monotonic clock."""

    end_to_end_s: float
    stages_s: dict[str, float]
    """In order of occurrence; with `residual_s` they sum to `end_to_end_s`."""
    residual_s: float
    """Time that no stage explains; may be slightly negative through rounding."""
    steps_s: tuple[float, ...] = ()
    """Each denoising step, local back ends only."""
    first_call: bool = False
    """First call of this setting after a load, or of a hosted service after connecting: never a timing."""
    resolution_s: float | None = None
    """How coarsely the edges of queue and inference of a hosted request could be seen; None for local."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Peaks during one request, in bytes."""

    peak_rss_bytes: int | None
    """Resident memory of the worker process on the host."""
    peak_allocated_bytes: int | None = None
    """Of torch's allocator on the device; None without one."""
    peak_reserved_bytes: int | None = None
    stages_allocated_bytes: dict[str, int] = field(default_factory=dict)
    """Stage → its own peak of `peak_allocated_bytes`; empty without a device."""
    stages_reserved_bytes: dict[str, int] = field(default_factory=dict)
    driver_process_bytes: int | None = None
    """Most that the GPU's driver was seen to hold for this process: torch's, the CUDA context and kernels."""
    driver_device_bytes: int | None = None
    """The same of the whole device, other processes included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceState:
    """What the GPU's driver said during one request. There is none on a processor, and nothing here is ever guessed."""

    energy_j: float | None
    """Of the whole device, from the driver's own counter; of several requests that one call drew each one's part. None
    where the device keeps none."""
    sm_clock_mhz: float | None
    """Median of the clock of the multiprocessors over the readings."""
    sm_clock_min_mhz: float | None
    temperature_c: float | None
    """Highest of the readings."""
    throttle_reasons: tuple[str, ...]
    """Why the driver held the clock down at any reading, in its own words; idling is none."""
    foreign_processes: int | None
    """Other processes that were computing on the device; None where they cannot be told apart."""
    readings: int
    """How often the driver was asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """How much arithmetic a request takes, counted from the model's sizes, and how fast this device could do it.

    Of several requests that one call drew each has its part, but the share of the floor of them all.
    """

    reference_tflop: float
    """Without any work skipped: of the reference's way of drawing the same request. 10¹² operations, two a multiplied
    and added pair."""
    done_tflop: float | None
    """Really done; less than `reference_tflop` where a cache skipped blocks, None where nobody counted these."""
    stages_tflop: dict[str, float]
    """Stage → what was done in it; without a stage whose work nobody counted."""
    floor_s: float | None
    """Seconds for `done_tflop` at the calibrated rates, none overlapping; None without a calibration or a count."""
    share_of_floor: float | None
    """`floor_s` over the seconds measured, a share of 1: how much of what the device can do was used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What the loaded device can do at best: a short measurement at load, outside all timings."""

    tflop_s: dict[str, float]
    """Number format → 10¹² operations a second of a large matrix product, the best of several."""
    copy_gb_s: float
    """10⁹ bytes a second, read and written, of a large copy within the device's memory; the best of several."""
    cache_bytes: int | None
    """Of the device's last cache, which may spare reading as much; None where unknown."""
    seconds: float
    """What the calibration took; not part of `LoadRecord.load_s`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedCall:
    """What a hosted service said about one request."""

    service_request_id: str
    """Empty where the service names none."""
    attempts: int
    """1, and one more for each read (status, result, picture) that a fault of the connection made us repeat; such a
    sample is no timing. The request itself is never sent twice."""
    polls: int
    """Status answers read: by asking, or as events."""
    queue_s: float | None
    inference_s: float | None
    """As the service reports it, on its own clock."""
    runner: str | None
    billable_units: float | None
    observed_by: Literal["status_events", "polling", "response"] = "polling"
    """How the edges of queue and inference were seen; `response`: by one call that answers with the result."""
    model_s: float | None = None
    """The model's own time, `timings.inference` of the result, on the service's clock."""
    timings_s: dict[str, float] = field(default_factory=dict)
    """All of the result's `timings`, as they came."""
    first_on_runner: bool | None = None
    """First request of this session that the runner served; None where the service names no runner."""
    rerouted: bool = False
    """It went back into the queue, or to another runner or endpoint: never a timing."""
    recovered: bool = False
    """Submitted by an earlier session, only fetched by this one: never a timing."""
    in_flight: int | None = None
    """Requests of this session that were under way when it ended, itself included."""
    running: int | None = None
    """Those of them that the service was working on when this one's work ended: what the account's limit allows."""
    prompt: str | None = None
    """The prompt that the service says it used, where that is not the one it was given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """How a local worker came to draw a request under load. Its memory and device are those of the whole call."""

    batch: int
    """Requests that were drawn in the same call, itself included."""
    queue_s: float
    """From its intended start until a worker took it."""
    service_s: float
    """From there until its pictures, and those of the others in the call, were encoded and stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Dollars of one request and where the figure comes from."""

    usd: float | None
    basis: Literal["billed", "price_list", "device_hour", "none"]
    list_usd: float | None = None
    """By the price list, where `basis` is `billed`: a difference is reported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """One delivered picture, as stored."""

    index: int
    path: str
    """Relative to the run directory, with forward slashes."""
    sha256: str
    size_bytes: int
    width: int
    height: int
    format: str
    """What the file is, read from its content: png, jpeg or webp."""
    seed: int | None
    nsfw: bool | None
    """None where no safety checker looked."""
    degenerate: str | None
    """One of DEGENERATE; such pictures are kept out of quality metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRecord:
    """A model was loaded."""

    kind: Literal["load"] = "load"
    group_id: str
    target: str
    started_utc: str
    load_s: float
    identity: dict[str, Any]
    """Back end's own account: model, revision, weights hash where cheap, device, dtype, package versions."""
    calibration: Calibration | None = None
    """None for back ends without a device of their own."""
    worker: str | None = None
    """Which of several workers: `cuda:1`, `cpu #2`; with its node in a cluster; of a job its part's folder below
    `parts/`. None where there is but one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmupRecord:
    """A call that was thrown away on purpose."""

    kind: Literal["warmup"] = "warmup"
    group_id: str
    setting_id: str
    started_utc: str
    timings: Timings
    cost: Cost
    memory: Memory | None = None
    device: DeviceState | None = None
    worker: str | None = None
    """As in `LoadRecord`."""
    batch: int = 1
    """Requests that were drawn in the call; more than 1 only under load."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionRecord:
    """A hosted request: on disk before it is sent, and again as soon as the service has named it.

    Without a later `sample` or `failure` of the request its price counts as spent. Where the service named it, a
    resume fetches its result; where it did not, nobody knows whether it was carried out, and it is not sent again.
    """

    kind: Literal["submission"] = "submission"
    request_id: str
    setting_id: str
    group_id: str
    attempt: int
    at_utc: str
    service_request_id: str | None = None
    """None before it is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRecord:
    """The final state of one request: delivered, or failed for good."""

    kind: Literal["sample"] = "sample"
    request_id: str
    setting_id: str
    group_id: str
    prompt_id: str
    seed: int
    repeat: int
    attempt: int
    """1 for the first; a later attempt is delivered but never a timing."""
    status: Literal["ok", "failed"]
    started_utc: str
    steps_run: int | None = None
    timings: Timings | None = None
    timing_valid: bool = False
    """Whether these timings may enter a median: first attempt, not a first call, nothing in the way."""
    memory: Memory | None = None
    hosted: HostedCall | None = None
    cost: Cost
    images: tuple[ImageRecord, ...] = ()
    error: Failure | None = None
    device: DeviceState | None = None
    work: Work | None = None
    flags: tuple[str, ...] = ()
    """What makes the numbers doubtful, in words: a stage faster than its floor, a cache without effect, a neighbour."""
    safety_check_s: float | None = None
    """Seconds that the safety checker looked at the pictures, after `timings` ended; None where none looked."""
    failed_after_s: float | None = None
    """Of a failed one: seconds from its intended start until it had failed; None where nobody saw that."""
    worker: str | None = None
    """As in `LoadRecord`."""
    beside: tuple[str, ...] = ()
    """Targets that other workers of the run were drawing, or loading, at any time while this request was under way."""
    served: Served | None = None
    """Of a local target under load; None elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRecord:
    """Something failed that does not end a request: a load, a warm-up, an attempt that is tried again."""

    kind: Literal["failure"] = "failure"
    group_id: str
    setting_id: str | None
    request_id: str | None
    attempt: int
    started_utc: str
    error: Failure
    cost: Cost = field(default_factory=lambda: Cost(usd=None, basis="none"))


@dataclass(frozen=True, kw_only=True, slots=True)
class SkipRecord:
    """A point of the matrix that this target cannot do."""

    kind: Literal["skip"] = "skip"
    target: str
    acceleration: str
    steps: int | None
    guidance: float | None
    size: str
    num_images: int
    output_format: str
    reason: str
    strength: float | None = None
    """Of image-to-image."""
    concurrency: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class DropRecord:
    """Racing dropped a setting: it cannot be the answer to the question asked. Its open requests are not drawn."""

    kind: Literal["drop"] = "drop"
    setting_id: str
    at_utc: str
    look: int
    """1 for the first look at the scores."""
    looks: int
    """Looks that were planned, for which the level is corrected."""
    prompts: int
    """Prompts behind the decision."""
    constraint: str
    """What it fails, such as `quality loss of clip_score`, or `dominated`."""
    dominated_by: str | None = None
    """Setting that is better by the objective and shown to be good enough."""
    p_value: float | None = None
    """Of the test that decided; None where no chance was involved."""
    level: float
    """That `p_value` was held against, corrected for looks."""
    reason: str
    """In words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookRecord:
    """A look of a race is over: what it dropped stands in the lines before. It is not made again."""

    kind: Literal["look"] = "look"
    at_utc: str
    look: int
    """1 for the first."""
    looks: int
    """Looks that were planned."""
    prompts: int
    """Whose pictures every setting still in the race had drawn."""
    settings: int
    """In the race after it, references included."""


Record = (
    LoadRecord | WarmupRecord | SubmissionRecord | SampleRecord | FailureRecord | SkipRecord | DropRecord | LookRecord
)
