"""report.json as a file, and inside a page; and its JSON Schema."""

from __future__ import annotations

from typing import Any

import msgspec

from kreabench.report.explorer.data import SCHEMA, ReportData

SCHEMA_FILE = "report.schema.json"
"""Beside this module: what `json_schema` says, kept for readers in other languages."""


def encode(data: ReportData) -> bytes:
    """Bytes of report.json. Every number in it is finite: what is none is None in `data` already."""
    return msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of report.json, with the docstrings of `data` as descriptions of its objects."""
    schema = msgspec.json.schema(ReportData)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **schema}


def encode_schema() -> bytes:
    """Bytes of report.schema.json."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=1) + b"\n"


def for_page(content: bytes) -> str:
    """JSON that can stand in a `<script type="application/json">`: no `<` in it ends the element or opens a comment."""
    return content.decode().replace("<", "\\u003c")
