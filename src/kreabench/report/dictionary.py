"""data_dictionary.csv: every column of every table beside the report, with its type, unit and meaning."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import row_of
from kreabench.report.csv_text import csv_text
from kreabench.report.dictionary_rows import COMMON, ESTIMATE_PARTS, OF_FILE, Meaning

DICTIONARY = "data_dictionary.csv"
_HEADS = ("file", "column", "type", "unit", "meaning")


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """One column of one file."""

    file: str
    column: str
    type: str
    """text, integer, number (floating point) or boolean."""
    unit: str
    """Empty where there is none; 1 for a share or a ratio."""
    meaning: str
    """Empty for a column that nobody described."""


def data_dictionary(files: Mapping[str, bytes], metrics: Sequence[MetricSpec]) -> str:
    """Of all of `files` that are CSV, by name; parquet files of the same name have the same columns."""
    rows = []
    for name, content in files.items():
        if name.endswith(".csv") and name != DICTIONARY:
            for one in described(name, head_of(content), metrics):
                rows.append({head: getattr(one, head) for head in _HEADS})
    return csv_text(rows, _HEADS)


def head_of(content: bytes) -> list[str]:
    """The columns of a CSV file."""
    end = content.find(b"\n")
    line = content if end < 0 else content[:end]
    return next(csv.reader(io.StringIO(line.decode())), [])


def described(file: str, columns: Sequence[str], metrics: Sequence[MetricSpec]) -> Iterator[Described]:
    """One entry a column, in order."""
    known = [*OF_FILE.get(file.removesuffix(".csv"), ()), *COMMON]
    units = {spec.name: row.unit for spec in metrics if (row := row_of(spec)) is not None}
    for column in columns:
        yield _described(file, column, known, units)


def _described(file: str, column: str, known: Sequence[Meaning], units: Mapping[str, str]) -> Described:
    for one in known:
        match = re.fullmatch(one.column, column, re.DOTALL)
        if match is not None:
            name = match.groupdict().get("name") or ""
            unit = one.unit.format(metric=units.get(name, ""))
            part = ESTIMATE_PARTS.get(match.groupdict().get("part") or "")
            if part is not None:
                count, suffix = part
                return Described(
                    file=file,
                    column=column,
                    type="integer" if count else "number",
                    unit="" if count else unit,
                    meaning=f"{one.meaning.format(name=name)}: {suffix}",
                )
            return Described(file=file, column=column, type=one.type, unit=unit, meaning=one.meaning.format(name=name))
    return Described(file=file, column=column, type="", unit="", meaning="")
