"""samples.parquet and settings.parquet: the same columns as the CSV files, with their types."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kreabench.analysis.settings import SettingSummary
from kreabench.core.redaction import redact
from kreabench.report.dictionary import described
from kreabench.report.tables import is_from_outside, settings_rows

_TYPES = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


def samples_parquet(table: pd.DataFrame, brand: str = "") -> bytes:
    """The table of samples, one row a picture; what came from outside is redacted, as in samples.csv.

    Nothing is guarded: no reader of parquet takes text for a formula. `brand` as in `tables.samples_csv`.
    """
    shown = table.assign(**{name: _redacted(table[name]) for name in table.columns if is_from_outside(str(name))})
    if brand:
        shown = shown.assign(notice=brand)
    return _bytes(pa.Table.from_pandas(shown, preserve_index=False))


def settings_parquet(summaries: Sequence[SettingSummary], brand: str = "") -> bytes:
    """One row a setting, the columns of settings.csv with the types that the data dictionary says; absent is null.

    Text is redacted, as there.
    """
    rows = [{**row, "notice": brand} if brand else row for row in settings_rows(summaries)]
    columns = list(dict.fromkeys(["setting_id", *(name for row in rows for name in row)]))
    types = {one.column: _TYPES.get(one.type, pa.string()) for one in described("settings.csv", columns, ())}
    plain = [{name: _plain(row.get(name)) for name in columns} for row in rows]
    return _bytes(pa.Table.from_pylist(plain, schema=pa.schema(types.items())))


def _redacted(column: pd.Series) -> pd.Series:
    return column.map({text: redact(text) for text in column.dropna().unique()}).astype(column.dtype)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bytes(table: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    return buffer.getvalue()
