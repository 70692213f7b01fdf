"""The back end interface: four methods. Importing a back end module must import no torch and no client library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kreabench.core.errors import Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.records import DeviceState, HostedCall, Memory, Timings, Work
from kreabench.core.specs import AccelerationSpec, TargetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedImage:
    """One picture as the service delivered it, or as encoded after the clock stopped."""

    content: bytes
    """A whole PNG, JPEG or WebP file. Hosted images are kept byte for byte, never encoded again."""
    seed: int | None
    nsfw: bool | None
    nan: bool = False
    """Whether what the picture was made of had a value that is not a finite number, as far as the back end sees it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What one call of a back end gives."""

    images: tuple[GeneratedImage, ...]
    timings: Timings
    memory: Memory | None
    steps_run: int | None
    hosted: HostedCall | None
    device: DeviceState | None = None
    work: Work | None = None
    flags: tuple[str, ...] = ()
    """As in the sample's record."""
    safety_check_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """How one call of a hosted back end is tied to the driver."""

    intended_s: float
    """When the request was meant to start, on `time.perf_counter` of the worker: `end_to_end_s` counts from here, so
    that waiting inside the client is seen (stage `client`)."""
    submitted: Callable[[str], None]
    """To be told the service's id of the request, as soon as it is known. Returns at once."""
    earlier_id: str | None = None
    """The service's id of a request that an earlier session submitted: fetch its result, submit nothing."""


class Backend(Protocol):
    """Made with no arguments, in the worker process (`check` also in the driver, so it imports nothing heavy)."""

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What this machine lacks for the target (weights, key, device, package). Cheap; loads and sends nothing."""

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """Load, and return the identity: model, revision, device, dtype, versions (JSON values, no secret, no path).

        All `accelerations` belong to one load group: they differ only in what can be switched between calls.
        `inputs` is the folder with the input pictures of the requests to come, each under its `file_name`; None
        where there are none. A back end that calibrated its device adds `calibration`, the fields of
        `records.Calibration`, which is no part of the identity: the worker takes it out. Raises GenerationError
        (stage `load`).
        """

    def generate(self, setting: Setting, request: Request) -> Generation:
        """Draw the pictures of one request. Raises GenerationError; leaves no state that the next call could see."""

    def close(self) -> None:
        """Release everything. Called once, also after a failed open."""


class BatchingBackend(Backend, Protocol):
    """A local back end that can draw several requests in one call; which tasks, its row of the table says."""

    def generate_batch(self, setting: Setting, requests: Sequence[Request]) -> tuple[Generation, ...]:
        """The pictures of each of `requests`, of one setting, from its own seed as if it were alone, up to rounding.

        Timings, memory and device are of the whole call, in each of the results; of energy and work each has its part.
        Raises GenerationError as `generate`, for all of them.
        """


class HostedBackend(Protocol):
    """As `Backend`, for a service that is asked over the network: several requests may be in flight at once."""

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """As of `Backend`."""

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        concurrency: int,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        """As of `Backend`; up to `concurrency` calls will be in flight at once."""

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        """Draw the pictures of one request. Called from several threads at once. Raises GenerationError."""

    def close(self) -> None:
        """Release everything. May be called while calls are in flight: what is still queued at the service is
        cancelled (its call raises GenerationError, type `cancelled`), what it is working on is left to be fetched
        later (`cancelled` with `fetch_again`), and the calls end soon. Called once, also after a failed open.
        """
