"""report.json as a file, and inside a page; and its JSON Schema."""

from __future__ import annotations

import ast
import inspect
import itertools
from typing import Any

import msgspec

from kreabench.report.explorer import data
from kreabench.report.explorer.data import SCHEMA, ReportData

SCHEMA_FILE = "report.schema.json"
"""Beside this module: what `json_schema` says, kept for readers in other languages."""


def encode(report: ReportData) -> bytes:
    """Bytes of report.json. Every number in it is finite: what is none is None in `report` already."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of report.json, with the docstrings of `data` as descriptions."""
    schema = msgspec.json.schema(ReportData)
    parts: dict[str, Any] = schema["$defs"]
    for name, fields in _field_docs().items():
        for field, text in fields.items():
            if (properties := parts.get(name, {}).get("properties")) and field in properties:
                properties[field]["description"] = text
    whole = parts[ReportData.__name__]
    whole["properties"]["schema"] = {"const": SCHEMA}
    whole["required"] = ["schema", *whole["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **schema}


def _field_docs() -> dict[str, dict[str, str]]:
    """Class of `data` → field → the text below it, which Python itself forgets."""
    found: dict[str, dict[str, str]] = {}
    for part in ast.parse(inspect.getsource(data)).body:
        if isinstance(part, ast.ClassDef):
            for field, text in itertools.pairwise(part.body):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    match text:
                        case ast.Expr(value=ast.Constant(value=str(said))):
                            found.setdefault(part.name, {})[field.target.id] = inspect.cleandoc(said)
    return found


def encode_schema() -> bytes:
    """Bytes of report.schema.json."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=1) + b"\n"


def for_page(content: bytes) -> str:
    """JSON that can stand in a `<script type="application/json">`: no `<` in it ends the element or opens a comment."""
    return content.decode().replace("<", "\\u003c")
