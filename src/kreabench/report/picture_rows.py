"""What a row of the table of samples says of its picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from kreabench.report.text import message


def is_there(value: Any) -> bool:
    """Whether a cell of the table holds something: pandas marks an absent one with None, NaN or NA."""
    return not (value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)))


def failure_of(row: Mapping[str, Any], limit: int = 120) -> str:
    """Type and message of the error of a failed sample."""
    return message(f"{row['error_type']}: {row['error_message']}", limit)


def flags_of(row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a delivered picture; its size is judged where the row has it."""
    if is_there(row["degenerate"]):
        yield str(row["degenerate"])
    if is_there(row["nsfw"]) and row["nsfw"]:
        yield "flagged by the safety checker"
    sizes = [row.get(name) for name in ("image_width", "image_height", "width", "height")]
    if all(map(is_there, sizes)) and sizes[:2] != sizes[2:]:
        width, height, asked_width, asked_height = sizes
        yield f"{width:.0f} × {height:.0f} delivered, {asked_width:.0f} × {asked_height:.0f} asked"
