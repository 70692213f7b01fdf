"""The formats of prompt files, read row by row: JSONL, JSON, CSV, TSV, Parquet, plain text.

What a row means is not known here: `prompt_rows` checks it. Nothing is read through OmegaConf, so nothing in a file is
interpolated. Importing this module imports nothing heavy: `kreabench list prompts` counts with it.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_TEXT_BYTES = 64 * 2**20
"""Of any file but Parquet, which is not read as a whole."""
MAX_PROMPTS = 100_000
_PARQUET_BATCH = 256
"""Rows in memory at once."""


class BadPromptFile(ValueError):
    """A prompt file cannot be used; said by place, so that whoever asked for the file names the key."""

    def __init__(self, where: str, found: str, expected: str, remedy: str = "") -> None:
        super().__init__(f"{where}: found {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a prompt file, as it stands there."""

    number: int
    """The line in a file of lines, the row from 1 elsewhere."""
    where: str
    """For messages: the file's name and `number`."""
    fields: dict[str, Any]


def read_rows(path: Path, *, columns: Sequence[str] | None = None, name: str | None = None) -> Iterator[Row]:
    """Rows of `path`, by its ending, in file order; empty lines are none. Raises BadPromptFile.

    `columns`: the only ones wanted, each of which must be there; None for all. `name`: of the file in messages.
    """
    shown = name or path.name
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        numbered = _parquet(path, shown, columns)
    elif suffix in _TEXT_READERS:
        numbered = _TEXT_READERS[suffix](shown, _content(path, shown))
    else:
        raise BadPromptFile(shown, f"the ending {path.suffix!r}", "one of " + ", ".join(ENDINGS))
    unit = "row" if suffix in {".parquet", ".json"} else "line"
    for count, (number, fields) in enumerate(numbered, start=1):
        if count > MAX_PROMPTS:
            raise BadPromptFile(shown, f"more than {MAX_PROMPTS:,} prompts", f"at most {MAX_PROMPTS:,}")
        where = f"{shown} {unit} {number}"
        yield Row(number=number, where=where, fields=_chosen(fields, columns, where))


def _chosen(fields: dict[str, Any], columns: Sequence[str] | None, where: str) -> dict[str, Any]:
    if columns is None:
        return fields
    _check_columns(fields, columns, where)
    return {column: fields[column] for column in columns}


def _check_columns(there: Iterable[str], wanted: Sequence[str], where: str) -> None:
    names = list(there)
    missing = [column for column in wanted if column not in names]
    if missing:
        raise BadPromptFile(where, f"no column {missing[0]!r}", f"one of its columns: {', '.join(map(str, names))}")


def _content(path: Path, name: str) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise BadPromptFile(name, f"{size:,} bytes", f"at most {MAX_TEXT_BYTES:,}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadPromptFile(name, f"a byte that is not UTF-8 at offset {error.start}", "a UTF-8 text file") from error
    except OSError as error:
        raise BadPromptFile(name, f"unreadable ({error.strerror})", "a readable file") from error


_Numbered = Iterator[tuple[int, dict[str, Any]]]


def _jsonl(name: str, content: str) -> _Numbered:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            where = f"{name} line {number}"
            yield number, _object(where, _json(where, line, 'e.g. {"id": "cat", "prompt": "A cat"}'))


def _json_list(name: str, content: str) -> _Numbered:
    expected = "a list of objects or of texts"
    values = _json(name, content, expected)
    if not isinstance(values, list):
        raise BadPromptFile(name, type(values).__name__, expected)
    for number, value in enumerate(values, start=1):
        yield number, {"prompt": value} if isinstance(value, str) else _object(f"{name} row {number}", value)


def _json(where: str, text: str, expected: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:  # JSONDecodeError, or nested or long beyond Python's limits
        raise BadPromptFile(where, f"no JSON ({getattr(error, 'msg', error)})", expected) from error


def _object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadPromptFile(where, type(value).__name__, "a JSON object")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key given twice, of which Python would drop the first."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} twice in one object")
    return dict(pairs)


def _csv(name: str, content: str) -> _Numbered:
    # Not splitlines(): it also splits at form feeds and U+2028, which a prompt may hold.
    return _table(name, csv.DictReader(io.StringIO(content, newline=""), strict=True), "commas")


def _tsv(name: str, content: str) -> _Numbered:
    """Quoted as CSV where that fits the whole file; else plain: one row a line, quotes are part of the text."""
    try:
        for _ in csv.reader(io.StringIO(content, newline=""), delimiter="\t", strict=True):
            pass
        quoting: Any = csv.QUOTE_MINIMAL
    except csv.Error:
        quoting = csv.QUOTE_NONE
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter="\t", strict=True, quoting=quoting)
    return _table(name, reader, "tabs")


def _table(name: str, reader: csv.DictReader[str], separators: str) -> _Numbered:
    try:
        columns = list(reader.fieldnames or ())
        repeated = [column for column, count in Counter(columns).items() if count > 1]
        if repeated:
            raise BadPromptFile(f"{name} line 1", f"the column {repeated[0]!r} more than once", "each column once")
        for row in reader:
            where = f"{name} line {reader.line_num}"
            if None in row:
                raise BadPromptFile(where, "more cells than columns", f"quotes around {separators}")
            yield reader.line_num, {key: value or "" for key, value in row.items()}
    except csv.Error as error:
        where = f"{name} line {reader.line_num}"
        raise BadPromptFile(where, f"no CSV ({error})", "cells in closed double quotes") from error


def _text(name: str, content: str) -> _Numbered:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield number, {"prompt": line.strip()}


def _parquet(path: Path, name: str, columns: Sequence[str] | None) -> _Numbered:
    """A few rows at a time, and no column but those wanted: a set may hold pictures beside its prompts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            if columns is not None:
                _check_columns(file.schema_arrow.names, columns, name)
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH, columns=columns and list(columns)):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except BadPromptFile:
        raise
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise BadPromptFile(f"{name} after row {number}", f"no Parquet ({reason})", "a whole Parquet file") from error


_TEXT_READERS: dict[str, Callable[[str, str], _Numbered]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".txt": _text,
    ".tsv": _tsv,
    ".json": _json_list,
}
ENDINGS = (*_TEXT_READERS, ".parquet")
