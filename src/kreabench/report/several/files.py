"""The files of several runs as one each, with the run of every row."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from kreabench.report.csv_text import joined_csv


def joined(runs: Mapping[str, Mapping[str, bytes]]) -> dict[str, bytes]:
    """Id of a run → name of a file → its content; every file with the rows of all runs that have it."""
    found = {}
    for name in dict.fromkeys(name for files in runs.values() for name in files):
        those = {run: files[name] for run, files in runs.items() if name in files}
        if name.endswith(".parquet"):
            found[name] = _joined_parquet(those)
        else:
            found[name] = joined_csv({run: content.decode() for run, content in those.items()}).encode()
    return found


def _joined_parquet(runs: Mapping[str, bytes]) -> bytes:
    """Below the columns of all; one that a run does not have is null there."""
    tables = []
    for run, content in runs.items():
        table = pq.read_table(io.BytesIO(content))
        tables.append(table.add_column(0, "run", pa.array([run] * table.num_rows, pa.string())))
    buffer = io.BytesIO()
    pq.write_table(pa.concat_tables(tables, promote_options="permissive"), buffer, compression="zstd")
    return buffer.getvalue()
