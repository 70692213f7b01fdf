"""What the columns of a run's frames mean, and their types; the words are those of the report's data dictionary."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from kreabench.report.dictionary import described

Frame = Literal["samples", "scores", "settings"]

TYPES = {"text": "string", "integer": "Int64", "number": "float64", "boolean": "boolean"}
"""Type of the dictionary → of pandas, all of which have room for what is absent."""


def describe(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a column of a run's `samples`, `scores` or `settings`: its type, unit and meaning.

    Columns of your own have neither unit nor meaning.
    """
    names = list(map(str, frame.columns))
    table: Frame = "scores" if {"metric", "value"} <= set(names) else "samples"
    found = described("settings" if "is_reference" in names else table, names, ())
    return pd.DataFrame(
        [
            {"column": one.column, "dtype": str(dtype), "unit": one.unit, "meaning": one.meaning}
            for one, dtype in zip(found, frame.dtypes, strict=True)
        ],
        columns=["column", "dtype", "unit", "meaning"],
    )


def typed(frame: pd.DataFrame, table: Frame) -> pd.DataFrame:
    """`frame` with the types that are documented: a column that is empty in this run has the type it has in others."""
    known = described(table, list(map(str, frame.columns)), ())
    return frame.astype({one.column: TYPES[one.type] for one in known if one.type})
