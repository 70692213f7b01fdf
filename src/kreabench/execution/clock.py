"""The wall clock of records, and whether somebody set it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from kreabench.core.records import CLOCK_SET

TOLERANCE_S = 1.0
"""Between two looks; a clock that is slewed (at most 0.05 %) gains less in half an hour."""


def utc_now() -> str:
    """UTC with milliseconds, as every record carries it: `2026-01-02T03:04:05.678Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Notices when the wall clock is set: it then runs apart from one that only counts on, asleep or not."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _since_boot_s) -> None:
        """Both in seconds."""
        self._wall, self._steady = wall, steady
        self._lock = threading.Lock()
        self._apart_s = wall() - steady()

    def flags(self) -> tuple[str, ...]:
        """What to say on a sample that ends now: that the clock was set since the last look; empty where it was not."""
        with self._lock:
            apart_s = self._wall() - self._steady()
            step_s, self._apart_s = apart_s - self._apart_s, apart_s
        if abs(step_s) < TOLERANCE_S:
            return ()
        where = "back" if step_s < 0 else "forward"
        return (f"{CLOCK_SET} {where} by {abs(step_s):.1f} s: durations hold, times of day do not, no drift is judged",)
