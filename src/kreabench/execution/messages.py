"""What the driver and a worker say to each other: one JSON object a line, told apart by `kind`.

The driver sends an order and waits for its answer. Only orders to `generate` at a hosted target may overlap: up to
`Open.concurrency` of them before `Received`, whose answers come in any order and name their request.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kreabench.core.planned import LoadGroup, Request, Setting
from kreabench.core.records import Calibration, DeviceState, Failure, HostedCall, ImageRecord, Memory, Timings, Work
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.rundir import codec


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """Load the model of one load group. Answered by `Opened` or `Failed`."""

    kind: Literal["open"] = "open"
    target: TargetSpec
    accelerations: tuple[AccelerationSpec, ...]
    settings: tuple[Setting, ...]
    run_path: str
    concurrency: int = 1
    """Orders to `generate` that may be under way at once; more than 1 only at hosted targets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Warmup:
    """Make a call and throw its pictures away. Answered by `Done` or `Failed`."""

    kind: Literal["warmup"] = "warmup"
    setting_id: str
    request: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Generate:
    """Draw and store the pictures of one request. Answered by `Done` or `Failed`, at a hosted target by `Submitted`
    and `Received` before that."""

    kind: Literal["generate"] = "generate"
    setting_id: str
    request: Request
    earlier_id: str | None = None
    """The service's id of what an earlier session submitted: fetch that, submit nothing."""
    intended_s: float | None = None
    """When it is meant to start, on this machine's `time.perf_counter`, which its processes share; the order may come
    earlier. None: when it is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateBatch:
    """Draw several requests of one setting in one call. Answered by `BatchDone` or `Failed`. Local targets alone."""

    kind: Literal["generate_batch"] = "generate_batch"
    setting_id: str
    requests: tuple[Request, ...]
    store: bool = True
    """Whether their pictures are kept; a warm-up throws them away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    """Release everything and end. Not answered; orders under way are cut short and answered first."""

    kind: Literal["close"] = "close"


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The model is loaded."""

    kind: Literal["opened"] = "opened"
    started_utc: str
    load_s: float
    identity: dict[str, Any]
    calibration: Calibration | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What a call gave, in the terms of a sample's record."""

    timings: Timings
    memory: Memory | None
    steps_run: int | None
    hosted: HostedCall | None
    images: tuple[ImageRecord, ...] = ()
    """As stored; empty for a warm-up."""
    device: DeviceState | None = None
    work: Work | None = None
    flags: tuple[str, ...] = ()
    safety_check_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """A hosted service has accepted a request; not the last answer to its order."""

    kind: Literal["submitted"] = "submitted"
    request_id: str
    service_request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """All that a hosted service had to send for a request is here; it is now checked and stored. Not the last answer
    to its order, but another order may take its place."""

    kind: Literal["received"] = "received"
    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """The order was carried out."""

    kind: Literal["done"] = "done"
    started_utc: str
    delivery: Delivery
    request_id: str | None = None
    """Whose order it answers, where several may be under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchDone:
    """A batch was drawn."""

    kind: Literal["batch_done"] = "batch_done"
    started_utc: str
    began_s: float
    """When the order was read, on this machine's `time.perf_counter`, which its processes share."""
    ended_s: float
    """When the last picture was encoded and stored."""
    deliveries: tuple[Delivery, ...]
    """In the order of the requests."""
    errors: tuple[Failure | None, ...]
    """As `deliveries`: why pictures that were drawn could not be kept; None where they were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The order failed; the worker is still there."""

    kind: Literal["failed"] = "failed"
    started_utc: str
    elapsed_s: float
    error: Failure
    fatal: bool
    """Whether the worker must be replaced before the next order."""
    delivery: Delivery | None = None
    """Set where the back end had delivered and something went wrong afterwards."""
    request_id: str | None = None
    """Whose order it answers, where several may be under way."""
    retry_after_s: float | None = None
    """Of `rate_limited`: what the service asked us to wait."""


Order = Open | Warmup | Generate | GenerateBatch | Close
Answer = Opened | Submitted | Received | Done | BatchDone | Failed


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    kind: str


_ORDERS: dict[str, type[Order]] = {
    "open": Open,
    "warmup": Warmup,
    "generate": Generate,
    "generate_batch": GenerateBatch,
    "close": Close,
}
_ANSWERS: dict[str, type[Answer]] = {
    "opened": Opened,
    "submitted": Submitted,
    "received": Received,
    "done": Done,
    "batch_done": BatchDone,
    "failed": Failed,
}


def open_order(group: LoadGroup, run_path: Path) -> Open:
    """What has a worker load the model of `group`."""
    return Open(target=group.target, accelerations=group.accelerations, settings=group.settings, run_path=str(run_path))


def encode_line(message: Order | Answer) -> bytes:
    """The message as one line. Raises TypeError or ValueError for values that JSON cannot carry."""
    return codec.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """Raises KeyError for an unknown kind and msgspec.MsgspecError for damage."""
    return codec.decode(line, _ORDERS[codec.decode(line, _Kind).kind])


def decode_answer(line: bytes) -> Answer:
    """Raises KeyError for an unknown kind and msgspec.MsgspecError for damage, such as a time that is not a number."""
    return codec.decode(line, _ANSWERS[codec.decode(line, _Kind).kind])
