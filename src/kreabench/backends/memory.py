"""The peak of the process's resident memory during one call, from the kernel's own high-water mark (Linux)."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc/self")
_RESET_HIGH_WATER_MARK = "5"
"""See proc(5), /proc/pid/clear_refs: sets VmHWM to the present size; takes microseconds whatever the size."""


class PeakRss:
    """`reset`, then the call, then `bytes`."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._since_reset = False

    def reset(self) -> None:
        """Begin a new peak. Some containers forbid it; then there is no peak of a single call to report."""
        try:
            (self._proc / "clear_refs").write_text(_RESET_HIGH_WATER_MARK)
        except OSError:
            self._since_reset = False
        else:
            self._since_reset = True

    def bytes(self) -> int | None:
        """Peak since the last `reset`; None where the kernel did not let us begin one or keeps none."""
        if not self._since_reset:
            return None
        try:
            status = (self._proc / "status").read_text()
        except OSError:
            return None
        marks = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
        return next((int(words[1]) * 1024 for words in marks), None)
