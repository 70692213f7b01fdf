"""What the emulated service has drawn, and who draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kreabench.core.specs import OutputFormat, TaskKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to draw, completely said."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    num_images: int
    output_format: OutputFormat
    acceleration: str
    task: TaskKind = "text-to-image"
    strength: float | None = None
    inputs: tuple[bytes, ...] = ()
    """Input pictures, whole files."""


class Painter(Protocol):
    """Opened, used and closed by one thread."""

    def open(self) -> None:
        """Load whatever is needed. Raises KreabenchError."""

    def paint(self, order: Order) -> list[bytes]:
        """Whole files in the asked format, one a picture."""

    def close(self) -> None:
        """Release everything."""
