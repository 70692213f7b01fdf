"""report.json as a file, and inside a page."""

from __future__ import annotations

import msgspec

from kreabench.report.explorer.data import ReportData


def encode(data: ReportData) -> bytes:
    """Bytes of report.json; numbers that are none become null."""
    return msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n"


def for_page(content: bytes) -> str:
    """JSON that can stand in a `<script type="application/json">`: no `<` in it ends the element or opens a comment."""
    return content.decode().replace("<", "\\u003c")
