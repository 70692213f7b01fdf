"""What a comparison lists: prompts, pictures without a partner, versions."""

from __future__ import annotations

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.decisions.comparison import Comparison, SettingComparison
from kreabench.report.comparison.tables import metric_column, plain_columns
from kreabench.report.comparison.words import difference_texts
from kreabench.report.format import ABSENT, count
from kreabench.report.parts import Cell, Column, Row, Table
from kreabench.report.text import message

MAX_PROMPTS = 240
"""Rows of the table of prompts on the page; prompts.csv has all."""
MAX_UNPAIRED = 40
"""Likewise; the JSON file has all."""


def prompts_table(two: SettingComparison) -> Table | None:
    """Differences of every metric that was compared, prompt by prompt."""
    shown = [metric for metric in two.metrics if metric.scores.prompts]
    prompts = sorted({prompt for metric in shown for prompt in metric.scores.prompts})
    if not prompts:
        return None
    known = [dict(zip(m.scores.prompts, m.scores.difference.tolist(), strict=True)) for m in shown]
    pairs = [dict(zip(m.scores.prompts, m.scores.pairs.tolist(), strict=True)) for m in shown]
    rows = tuple(
        Row(
            cells=(
                Cell(text=message(prompt, 80)),
                Cell(text=f"{max(one.get(prompt, 0) for one in pairs):,}"),
                *(_prompt_cell(one.get(prompt)) for one in known),
            )
        )
        for prompt in prompts[:MAX_PROMPTS]
    )
    more = len(prompts) - MAX_PROMPTS
    return Table(
        columns=(
            Column(title="Prompt"),
            Column(title="Pairs", numeric=True),
            *(metric_column(metric) for metric in shown),
        ),
        rows=rows,
        caption="Candidate − base, means over the pairs of each prompt. With both means and spreads in prompts.csv.",
        notes=(f"{more:,} more prompts are in prompts.csv.",) if more > 0 else (),
        aside=True,
    )


def _prompt_cell(value: float | None) -> Cell:
    if value is None or not np.isfinite(value):
        return Cell(text=ABSENT, detail="no pair", absent=True)
    return Cell(text=difference_texts(Estimate(value=value, low=None, high=None, n=1))[0])


def unpaired_table(two: SettingComparison) -> Table | None:
    """Pictures without a partner."""
    if not two.unpaired:
        return None
    more = len(two.unpaired) - MAX_UNPAIRED
    return Table(
        columns=plain_columns(
            "Side", "Prompt", "Seed", "Repeat", "Picture", "What happened to the partner", numeric=()
        ),
        rows=tuple(
            Row(
                cells=(
                    *(Cell(text=text) for text in (row.side, message(row.prompt_id, 80), f"{row.seed}")),
                    Cell(text=f"{row.repeat}"),
                    Cell(text=ABSENT if row.image_index is None else f"{row.image_index}"),
                    Cell(text=message(row.reason, 120)),
                )
            )
            for row in two.unpaired[:MAX_UNPAIRED]
        ),
        caption=f"{count(len(two.unpaired), 'picture')} without a partner: no difference rests on them.",
        notes=(f"{more:,} more are in the JSON file (--json).",) if more > 0 else (),
    )


def versions_table(comparison: Comparison) -> Table | None:
    """What differs between the sides besides their settings."""
    if not comparison.versions:
        return None
    return Table(
        columns=plain_columns("Name", "Base", "Candidate", prose=("Base", "Candidate")),
        rows=tuple(
            Row(cells=tuple(Cell(text=message(text or ABSENT, 200)) for text in (one.name, one.base, one.candidate)))
            for one in comparison.versions
        ),
        caption="What differs between the two sides, and so may be what the comparison is about.",
    )
