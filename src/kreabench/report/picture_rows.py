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
    return f"{row['error_type']}: {message(str(row['error_message']), limit)}"


def flags_of(row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a delivered picture."""
    if is_there(row["degenerate"]):
        yield str(row["degenerate"])
    if is_there(row["nsfw"]) and row["nsfw"]:
        yield "flagged by the safety checker"
    delivered, asked = (row["image_width"], row["image_height"]), (row["width"], row["height"])
    if delivered != asked and all(map(is_there, delivered)):
        yield f"{delivered[0]:.0f} × {delivered[1]:.0f} delivered, {asked[0]:.0f} × {asked[1]:.0f} asked"
