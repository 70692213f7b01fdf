"""The truth log: what really happened to each request, for judging how well a client measured it."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

_logger = logging.getLogger(__name__)


def utc(timestamp_s: float) -> str:
    """Seconds since the epoch as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(timestamp_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TruthLog:
    """Appends JSON lines; with no path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        if path is not None:
            self._file = path.open("a", encoding="utf-8")

    def write(self, entry: dict[str, Any]) -> None:
        """One line. A full disk is reported on stderr and spoils no request."""
        if self._file is None:
            return
        with self._lock:
            try:
                self._file.write(json.dumps(entry) + "\n")
                self._file.flush()
            except OSError as error:
                _logger.error("the truth log lost request %s: %s", entry.get("request_id"), error)

    def __enter__(self) -> TruthLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
