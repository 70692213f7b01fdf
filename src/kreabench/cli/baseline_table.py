"""What a baseline file says, on a terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Console

from kreabench.analysis.scores import delivered_images, finite_scores, untrained_scores
from kreabench.cli.terminal import make_table, say
from kreabench.core.planned import Setting
from kreabench.decisions.sides import Side
from kreabench.report.text import visible


def print_baseline(out: Console, side: Side) -> None:
    """Where it is from, its settings and its metrics."""
    if side.notice:
        say(out, side.notice, style="bold")
    say(out, f"run {side.run_name}, begun {side.created_utc}, {len(side.prompts)} prompts")
    for name, fact in side.facts.items():
        say(out, f"{name}: {fact}")
    out.print()
    _print_settings(out, side)
    out.print()
    _print_metrics(out, side)
    out.print()
    say(out, "versions: " + ", ".join(f"{name} {version}" for name, version in side.versions.items()))


def _print_settings(out: Console, side: Side) -> None:
    table = make_table(("setting", "l"), ("images", "r"), ("failed", "r"), ("missing", "r"))
    parts = {str(key): rows for key, rows in side.table.groupby("setting_id")}
    for setting in side.settings:
        rows = parts.get(setting.id, side.table.iloc[:0])
        table.add_row(*map(str, (visible(_label(setting)), *_counts(rows, side.requested[setting.id]))))
    out.print(table)
    for id_, reason in side.dropped.items():
        say(out, f"dropped {id_}: {reason}")


def _label(setting: Setting) -> str:
    return f"{setting.label} (reference)" if setting.id == setting.reference_id else setting.label


def _counts(rows: pd.DataFrame, requested: int) -> tuple[int, int, int]:
    requests = rows.drop_duplicates("request_id")
    return len(delivered_images(rows)), int((requests["status"] == "failed").sum()), requested - len(requests)


def _print_metrics(out: Console, side: Side) -> None:
    table = make_table(("metric", "l"), ("kind", "l"), ("finite scores", "r"), ("identity", "l"), ("", "l"))
    images = delivered_images(side.table)
    for spec in side.metrics:
        number = int((~pd.isna(finite_scores(images, spec))).sum())
        brand = "untrained" if untrained_scores(images, spec).any() else ""
        table.add_row(visible(spec.name), spec.kind, str(number), side.identities.get(spec.name, "–"), brand)
    out.print(table)
