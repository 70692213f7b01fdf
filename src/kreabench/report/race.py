"""What a race dropped: said once at the top, and listed with the reasons. Its settings are in nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kreabench.core.planned import Plan
from kreabench.core.records import DropRecord
from kreabench.report.format import count
from kreabench.report.labels import differing_axes, setting_cell
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import message


def in_race(table: pd.DataFrame, dropped: Mapping[str, DropRecord]) -> pd.DataFrame:
    """The samples of settings that were not dropped."""
    return table[~table["setting_id"].isin(list(dropped))] if dropped else table


def race_notices(dropped: Mapping[str, DropRecord], settings: int, requests: int) -> list[Notice]:
    """That settings are missing from all results; `settings` were planned, `requests` were spared."""
    if not dropped:
        return []
    text = (
        f"Racing dropped {len(dropped)} of {count(settings, 'setting')}, which spared {count(requests, 'request')}. "
        "They are in no table of results and in no figure; why is listed under Dropped by the race."
    )
    return [Notice(level="info", text=text)]


def race_table(plan: Plan, dropped: Mapping[str, DropRecord]) -> Table | None:
    """A line a dropped setting, in the order of `plan`; None where none was."""
    if not dropped:
        return None
    axes = differing_axes(plan.settings)
    rows = tuple(
        Row(
            cells=(
                setting_cell(setting, axes),
                Cell(text=f"{drop.look} of {drop.looks}"),
                Cell(text=f"{drop.prompts:,}"),
                Cell(text=drop.constraint),
                Cell(text=message(drop.reason, 400)),
            )
        )
        for setting in plan.settings
        if (drop := dropped.get(setting.id)) is not None
    )
    return Table(
        columns=(
            Column(title="Setting"),
            Column(title="At look"),
            Column(title="Prompts", numeric=True),
            Column(title="Fails"),
            Column(title="Reason", prose=True),
        ),
        rows=rows,
        caption="Settings that were shown not to be the answer to the race's question before all prompts were drawn.",
        notes=(
            "A setting that is good enough and not beaten is dropped with a chance of at most the race's level, over "
            "all looks. Prompts are those behind the decision.",
        ),
    )
