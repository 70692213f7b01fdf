"""The files of a history: page, Markdown, CSV, JSON and PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kreabench.decisions.history import History
from kreabench.report.csv_text import csv_text, estimate_cells
from kreabench.report.files import page_files, write_files
from kreabench.report.history.page import history_page
from kreabench.report.json_text import json_text


def write_history(history: History, out: Path) -> Path:
    """Write the report of `history` into the folder `out` and return the path of its index.html.

    Files of an earlier one are replaced, others left alone; index.html comes last. Raises StorageError when `out`
    cannot be written.
    """
    tables = {
        "history.csv": history_csv(history).encode(),
        "steps.csv": steps_csv(history).encode(),
        "history.json": history_json(history).encode(),
    }
    return write_files(out, {**tables, **dict(page_files(history_page(history), markdown="history.md"))})


def history_csv(history: History) -> str:
    """One row a run and quantity, unrounded; absent values are empty."""
    return csv_text(
        (
            {
                "run": number + 1,
                "name": run.name,
                "created_utc": run.created_utc,
                "setting": run.setting,
                "changed": "; ".join(run.changed),
                "quantity": one.name,
                "unit": one.unit,
                "better": one.better,
                "untrained": one.untrained,
                **estimate_cells("value", one.values[number]),
                "not_comparable_with_before": any(brk.after == number for brk in one.breaks),
                "step": any(step.after == number for step in one.steps),
                "differs_from_before": any(change.after == number for change in one.changes),
                "odd": number in one.odd,
            }
            for number, run in enumerate(history.runs)
            for one in history.series
        ),
        brand=history.brand,
    )


def steps_csv(history: History) -> str:
    """One row a step, and a run that differs from the one before."""
    return csv_text(_found(history), ("kind", "quantity", "before", "after"), history.brand)


def _found(history: History) -> Iterator[dict[str, Any]]:
    runs = history.runs
    for one in history.series:
        for step in one.steps:
            yield {
                "kind": "step", "quantity": one.name, "unit": one.unit, "before": runs[step.before].name,
                "after": runs[step.after].name, **estimate_cells("difference", step.difference),
                "p_adjusted": step.p_value, "exact": step.p_value is None, "changed": "; ".join(step.versions),
            }  # fmt: skip
        for change in one.changes:
            yield {
                "kind": "differs_from_before", "quantity": one.name, "unit": one.unit,
                "before": runs[change.after - 1].name, "after": runs[change.after].name,
                **estimate_cells("difference", change.difference), "p_adjusted": change.p_value, "exact": False,
                "changed": "; ".join(runs[change.after].changed),
            }  # fmt: skip


def history_json(history: History) -> str:
    """All of it for scripts, with numbers unrounded."""
    content = {
        "notice": history.brand or None,
        "notices": list(history.notices),
        "prompts": history.prompts,
        "comparisons": history.comparisons,
        "runs": [
            {
                "name": run.name, "created_utc": run.created_utc, "setting": run.setting, "changed": list(run.changed),
            }
            for run in history.runs
        ],
        "quantities": [
            {
                "name": one.name,
                "unit": one.unit,
                "better": one.better,
                "untrained": one.untrained,
                "basis": one.basis,
                "values": [estimate_cells("value", value) for value in one.values],
                "not_comparable": [{"after": brk.after, "reason": brk.reason} for brk in one.breaks],
                "odd": list(one.odd),
                "obstacle": one.obstacle or None,
            }
            for one in history.series
        ],
        "found": list(_found(history)),
    }  # fmt: skip
    return json_text(content)
