"""The files of a history: page, Markdown, CSV, JSON and PNG."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kreabench.analysis.estimates import Estimate
from kreabench.decisions.history import History
from kreabench.report.drawing.figures import draw
from kreabench.report.history import HistoryDocument, history_document
from kreabench.report.html_page import figure_images, render_template
from kreabench.report.markdown_page import escape, markdown_list, markdown_table
from kreabench.report.tables import guard
from kreabench.rundir.files import storage_error

INDEX = "index.html"


def write_history(history: History, out: Path) -> Path:
    """Write the report of `history` into the folder `out` and return the path of its index.html.

    Files of an earlier one are replaced, others left alone; index.html comes last. Raises StorageError when `out`
    cannot be written.
    """
    files = dict(history_files(history))
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".history-", dir=out) as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            for name in files:
                (out / name).parent.mkdir(exist_ok=True)
                Path(folder, name).replace(out / name)
    except OSError as error:
        raise storage_error(out, error) from error
    return out / INDEX


def history_files(history: History) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file, index.html last."""
    document = history_document(history)
    yield "history.csv", history_csv(history).encode()
    yield "steps.csv", steps_csv(history).encode()
    yield "history.json", history_json(history).encode()
    yield f"figures/{document.figure.name}.png", draw(document.figure, format="png")
    yield "history.md", history_markdown(document).encode()
    yield INDEX, history_html(document).encode()


def history_html(document: HistoryDocument) -> str:
    """The page: one file, no script, no request to anywhere; all text is escaped."""
    return render_template("history.html.j2", document, [(document.figure, figure_images(document.figure))])


def history_markdown(document: HistoryDocument) -> str:
    """The same for a pull request, with the figure by relative path."""
    parts = [f"# {escape(document.title)}", escape(document.subtitle)]
    for notice in document.notices:
        parts.append(f"> [!{'WARNING' if notice.level == 'warning' else 'NOTE'}]\n> {escape(notice.text)}")
    parts += ["## What changed", *markdown_list(document.sentences)]
    parts += [f"![{escape(document.figure.alt)}](figures/{document.figure.name}.png)", escape(document.figure.caption)]
    for title, table in document.tables:
        parts += [f"## {escape(title)}", *markdown_table(table, folds=True)]
    parts += ["## Method", *markdown_list(document.method)]
    return "\n\n".join(parts) + "\n"


def history_csv(history: History) -> str:
    """One row a run and quantity, unrounded; absent values are empty."""
    return _csv(
        [
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
                **_estimate("value", one.values[number]),
                "not_comparable_with_before": any(brk.after == number for brk in one.breaks),
                "step": any(step.after == number for step in one.steps),
                "differs_from_before": any(change.after == number for change in one.changes),
                "odd": number in one.odd,
                **({"notice": history.brand} if history.brand else {}),
            }
            for number, run in enumerate(history.runs)
            for one in history.series
        ]
    )


def steps_csv(history: History) -> str:
    """One row a step, and a run that differs from the one before."""
    return _csv(list(_found(history))) if any(_found(history)) else "kind,quantity,before,after\n"


def _found(history: History) -> Iterator[dict[str, Any]]:
    runs = history.runs
    for one in history.series:
        for step in one.steps:
            yield {
                "kind": "step", "quantity": one.name, "unit": one.unit, "before": runs[step.before].name,
                "after": runs[step.after].name, **_estimate("difference", step.difference),
                "p_adjusted": step.p_value, "exact": step.p_value is None, "changed": "; ".join(step.versions),
            }  # fmt: skip
        for change in one.changes:
            yield {
                "kind": "differs_from_before", "quantity": one.name, "unit": one.unit,
                "before": runs[change.after - 1].name, "after": runs[change.after].name,
                **_estimate("difference", change.difference), "p_adjusted": change.p_value, "exact": False,
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
                "values": [_estimate("value", value) for value in one.values],
                "not_comparable": [{"after": brk.after, "reason": brk.reason} for brk in one.breaks],
                "odd": list(one.odd),
                "obstacle": one.obstacle or None,
            }
            for one in history.series
        ],
        "found": list(_found(history)),
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["run"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: guard(value) if isinstance(value, str) else value for key, value in row.items()})
    return buffer.getvalue()


def _estimate(name: str, value: Estimate | None) -> dict[str, float | int | None]:
    if value is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None, f"{name}_n": None}
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high, f"{name}_n": value.n}
