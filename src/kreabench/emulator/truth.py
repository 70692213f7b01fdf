"""The truth log: what really happened to each request, for judging how well a client measured it."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

_logger = logging.getLogger(__name__)


def utc(timestamp_s: float) -> str:
    """Seconds since the epoch as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(timestamp_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TruthLog:
    """Appends JSON lines; with no path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        # Unbuffered: each line is one write, and after a failed one nothing is left to fail again at the end.
        self._file = None if path is None else path.open("ab", buffering=0)

    def write(self, entry: dict[str, Any]) -> None:
        """One line. A full disk is reported on stderr and spoils no request."""
        line = json.dumps(entry).encode() + b"\n"
        with self._lock:
            if self._file is None:
                return
            try:
                if self._file.write(line) != len(line):
                    raise OSError("only a part of the line was written")
            except OSError as error:
                _logger.error("the truth log lost request %s: %s", entry.get("request_id"), error)

    def __enter__(self) -> TruthLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
