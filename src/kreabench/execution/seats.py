"""Where workers may run: what the pool needs to know of places, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kreabench.execution.steps import Ask, WorkerHandle


class Seat(Protocol):
    """Room for one worker at a time."""

    name: str | None
    """As records say it: `cuda:1`, `cpu #2`; None where there is but one and its target says where it draws."""
    host: str
    """Seats of one host share its processor."""
    holds: str | None
    """Id of the load group whose model is loaded here from before a resume, until a worker is launched."""
    on_processor: bool
    """Whether its worker draws with the processor, so that others of the host would disturb its timings."""

    def usable(self) -> bool:
        """Whether a worker can be launched here; a seat that was lost never is again."""

    def launch(self, log_path: Path, label: str) -> WorkerHandle:
        """Start a worker with nothing loaded. Raises StorageError and EnvironmentProblem as `WorkerProcess` does."""


class Seats(Protocol):
    """All seats of an engine."""

    def taken(self) -> Sequence[Seat]:
        """Those that are usable now; there may be others the next time. Raises EnvironmentProblem where there is no
        hope of any."""

    def wait(self, asks: Sequence[Ask], limit_s: float) -> None:
        """Until one of `asks` may be answered, or there may be another seat; at most `limit_s`."""

    def watch(self, asks: Sequence[Ask]) -> None:
        """Have `fileno` tell of these."""

    def fileno(self) -> int:
        """Can be read as soon as one of those last watched may have been answered."""

    def close(self) -> None:
        """Give everything back."""
