"""The files of a comparison."""

from __future__ import annotations

from pathlib import Path

from kreabench.decisions.comparison import Comparison
from kreabench.report.comparison.csv_files import comparison_csv, prompts_csv
from kreabench.report.comparison.page import build_comparison
from kreabench.report.files import page_files, write_files


def write_comparison(comparison: Comparison, out: Path, *, worst: int) -> Path:
    """Write index.html, comparison.md, comparison.csv and prompts.csv into `out`; returns the path of index.html.

    Files of an earlier comparison are replaced, others are left alone. Raises StorageError.
    """
    page = build_comparison(comparison, worst=worst)
    tables = {
        "comparison.csv": comparison_csv(comparison).encode(),
        "prompts.csv": prompts_csv(comparison).encode(),
    }
    return write_files(out, {**tables, **dict(page_files(page, markdown="comparison.md"))})
