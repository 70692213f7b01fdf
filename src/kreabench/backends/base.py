"""The back end interface: four methods. Importing a back end module must import no torch and no client library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kreabench.core.errors import Problem
from kreabench.core.records import DeviceState, HostedCall, Memory, Timings, Work
from kreabench.core.specs import AccelerationSpec, Request, Setting, TargetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedImage:
    """One picture as the service delivered it, or as encoded after the clock stopped."""

    content: bytes
    """A whole PNG, JPEG or WebP file. Hosted images are kept byte for byte, never encoded again."""
    seed: int | None
    nsfw: bool | None


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
