"""samples.parquet: one row an image, joined from plan, journal and scores; always rebuilt whole."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kreabench.core.errors import RunDirectoryError
from kreabench.core.planned import Plan
from kreabench.rundir.columns import BOOL, INT, UINT
from kreabench.rundir.directory import TABLE_FILE, RunDirectory
from kreabench.rundir.files import publish, storage_error
from kreabench.rundir.fingerprint import Statement, asked_of, decode_statement, encode_statement, journals_of
from kreabench.rundir.join import join
from kreabench.rundir.seal import OPEN, is_whole, seal

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ProvenTable:
    """A table that is what the journals say now."""

    frame: DataFrame
    statement: Statement


def rebuild_table(run: RunDirectory, plan: Plan) -> Path:
    """Write samples.parquet anew, whole or not at all, and return its path. Rows are in the order of `plan`.

    One row an image; a failed sample has one row without an image; a request not yet done has none. A score counts
    only for the picture it was made from, and only under the identity that its metric was last run with.

    Raises RunDirectoryError when the journals are damaged or do not belong to `plan`, StorageError when the disk
    refuses the file.
    """
    journals = journals_of(run)  # before they are read: where a line is added meanwhile, the table is stale at birth
    joined = join(run, plan)
    path = run.path / TABLE_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")  # reports of one run may be made side by side
    try:
        with temporary.open("wb+") as file:
            with pq.ParquetWriter(file, joined.schema, compression="zstd", write_page_checksum=True) as writer:
                for batch in joined.batches:
                    writer.write_batch(batch)
                statement = Statement(
                    asked=asked_of(run, plan.hash),
                    journals=journals,
                    identities=dict(joined.identities),
                    loads=joined.loads,
                    drops=joined.drops,
                )
                writer.add_key_value_metadata(encode_statement(statement) | OPEN)
            seal(file)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # on a read-only disk there is none to remove, and no right to try
            temporary.unlink(missing_ok=True)
    return path


def join_table(run: RunDirectory, plan: Plan) -> DataFrame:
    """What `read_table` would give after `rebuild_table`; writes nothing, so it works on a read-only disk.

    The journals are joined only where samples.parquet is not provably that already. Raises RunDirectoryError when they
    are damaged or do not belong to `plan`.
    """
    proven = read_proven_table(run) if plan.hash == run.info.plan_hash else None
    if proven is not None:
        return proven.frame
    joined = join(run, plan)
    return frame_of(pa.Table.from_batches(joined.batches, joined.schema))


def read_table(run: RunDirectory) -> DataFrame:
    """samples.parquet as it was last rebuilt. Raises RunDirectoryError where it is absent or damaged.

    Columns that are never null have numpy types. Integers and booleans that may be null have pandas' nullable types
    (`Int64`, `UInt64`, `boolean`), so that no seed or byte count turns into a rounded float; absent floats are NaN.
    """
    path = run.path / TABLE_FILE
    remedy = f"Rebuild it with `kreabench score {run.path}`."
    try:
        with path.open("rb") as file:
            if is_whole(file) is False:
                raise RunDirectoryError(f"{path} is damaged", remedy=remedy)
            table = pq.read_table(file, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{path} does not exist", remedy=remedy) from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"cannot read {path}: {error}", remedy=remedy) from error
    return frame_of(table)


def read_proven_table(run: RunDirectory) -> ProvenTable | None:
    """samples.parquet where it is provably whole and what `rebuild_table` would write now; otherwise None.

    That is so where it was joined by this layout from journals of the same content, for the same plan, and nothing in
    it was damaged since. Raises RunDirectoryError where a journal cannot be read.
    """
    asked = asked_of(run, run.info.plan_hash)
    try:
        with (run.path / TABLE_FILE).open("rb") as file:
            if not is_whole(file):
                return None
            with pq.ParquetFile(file) as parquet:
                statement = decode_statement(parquet.metadata.metadata)
                if statement is None or statement.asked != asked or statement.journals != journals_of(run):
                    return None
                return ProvenTable(frame=frame_of(parquet.read()), statement=statement)
    except (OSError, pa.ArrowException):  # absent, or of another parquet: the journals have it all
        return None


def frame_of(table: Any) -> DataFrame:
    """`table` as pandas has it; takes it apart, so that its memory is not needed twice."""
    import pandas as pd

    nullable = {INT: pd.Int64Dtype(), UINT: pd.UInt64Dtype(), BOOL: pd.BooleanDtype()}
    plain = {INT: "int64", BOOL: "bool"}
    never_null = {field.name: plain[field.type] for field in table.schema if not field.nullable and field.type in plain}
    frame: DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame.astype(never_null)
