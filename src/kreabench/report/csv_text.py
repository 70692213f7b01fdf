"""CSV for spreadsheets and scripts: numbers unrounded, what is absent empty, text that is no formula."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kreabench.analysis.estimates import Estimate
from kreabench.core.redaction import redact

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters that make a spreadsheet take text for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""


def guard(text: str) -> str:
    """`text` that no spreadsheet takes for a formula: an apostrophe goes before a dangerous first character.

    A carriage return becomes a line feed: the csv module writes it unquoted (until Python 3.13), and readers would end
    the row there and begin the next with whatever follows.
    """
    guarded = f"'{text}" if text.startswith(_FORMULA) else text
    return guarded.replace("\r\n", "\n").replace("\r", "\n")


def csv_text(rows: Iterable[Mapping[str, Any]], heads: Sequence[str] = (), brand: str = "") -> str:
    """`rows` below their heads: first `heads`, which are there even without a row, then what else the rows have.

    A `brand`, what keeps the numbers from being real, is repeated in every row under `notice`: rows are copied out of
    a file without their report.
    """
    branded = [{**row, "notice": brand} if brand else row for row in rows]
    names = list(dict.fromkeys([*heads, *(name for row in branded for name in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in branded)
    return buffer.getvalue()


def joined_csv(runs: Mapping[str, str]) -> str:
    """The rows of one file of several runs (id → text) in one, below the heads of all, each with its `run` first.

    Cells stay as they are; a column that a run does not have is empty there.
    """
    read = {run: list(csv.reader(io.StringIO(text))) for run, text in runs.items()}
    heads = list(dict.fromkeys(["run", *(name for rows in read.values() for name in rows[0])]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, heads, lineterminator="\n")
    writer.writeheader()
    for run, (names, *rows) in read.items():
        writer.writerows({"run": run, **dict(zip(names, row, strict=True))} for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return guard(redact(value)) if isinstance(value, str) else value


def estimate_cells(name: str, value: Estimate | None) -> dict[str, float | int | None]:
    """The value under `name`, and beside it the ends of its interval and its n."""
    if value is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None, f"{name}_n": None}
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high, f"{name}_n": value.n}
