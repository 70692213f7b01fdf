"""The back end interface: four methods. Importing a back end module must import no torch and no client library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kreabench.core.errors import Problem
from kreabench.core.records import HostedCall, Memory, Timings
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


class Backend(Protocol):
    """Made with no arguments, in the worker process (`check` also in the driver, so it imports nothing heavy)."""

    @staticmethod
    def check(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> tuple[Problem, ...]:
        """What this machine lacks for the target (weights, key, device, package). Cheap; loads and sends nothing."""

    def open(
        self, target: TargetSpec, accelerations: Sequence[AccelerationSpec], settings: Sequence[Setting]
    ) -> dict[str, Any]:
        """Load, and return the identity: model, revision, device, dtype, versions (JSON values, no secret, no path).

        All `accelerations` belong to one load group: they differ only in what can be switched between calls.
        Raises GenerationError (stage `load`).
        """

    def generate(self, setting: Setting, request: Request) -> Generation:
        """Draw the pictures of one request. Raises GenerationError; leaves no state that the next call could see."""

    def close(self) -> None:
        """Release everything. Called once, also after a failed open."""
