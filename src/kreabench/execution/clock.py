"""The wall clock of records."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """UTC with milliseconds, as every record carries it: `2026-01-02T03:04:05.678Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
