"""The worst prompts of each metric, with the pictures of both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.paired import PAIR_KEYS, Floats
from kreabench.analysis.scores import delivered_images, finite_scores
from kreabench.decisions.comparison import Comparison, MetricComparison, SettingComparison
from kreabench.decisions.qualities import SIGNS
from kreabench.decisions.sides import Side
from kreabench.decisions.worst import WorstPrompt, worst_prompts
from kreabench.report.comparison.words import difference_texts, number_text, side_name
from kreabench.report.format import count
from kreabench.report.parts import Grid, GridColumn, GridRow, Picture
from kreabench.report.pictures import PROMPT_CHARACTERS, picture_of
from kreabench.report.text import message, shorten, visible

MAX_THUMBNAILS = 400
"""Of one page; at about 8 kB each they stay below 5 MB of HTML."""


def worst_grids(comparison: Comparison, two: SettingComparison, number: int, limit: int) -> tuple[Grid, ...]:
    """A grid for each metric that was compared, as far as `limit` thumbnails go: prompts with the greatest loss first,
    and of each the pair of pictures with the greatest loss."""
    metrics = [metric for metric in two.metrics if metric.scores.prompts and not metric.scores.blind]
    worst = {metric.spec.name: worst_prompts(metric, number) for metric in metrics}
    pairs = _pairs(comparison, two, {one.prompt_id for those in worst.values() for one in those})
    found: list[Grid] = []
    for place, metric in enumerate(metrics):
        chosen = worst[metric.spec.name][: limit // 2]
        if chosen:
            limit -= 2 * len(chosen)
            found.append(_grid(comparison, two, metric, chosen, pairs, f"worst-{two.candidate.id}-{place}"))
    return tuple(found)


def _pairs(comparison: Comparison, two: SettingComparison, prompts: set[str]) -> pd.DataFrame:
    """Pairs of pictures of equal size of these prompts."""
    sides = []
    for side, setting in ((comparison.base, two.base), (comparison.candidate, two.candidate)):
        table = side.table
        rows = table[(table["setting_id"] == setting.id) & table["prompt_id"].isin(list(prompts))]
        sides.append(delivered_images(rows).reset_index(drop=True))
    here, there = sides
    return here.merge(there, on=[*PAIR_KEYS, "image_width", "image_height"], suffixes=("_base", "_candidate"))


def _grid(
    comparison: Comparison,
    two: SettingComparison,
    metric: MetricComparison,
    worst: Sequence[WorstPrompt],
    pairs: pd.DataFrame,
    name: str,
) -> Grid:
    what = "with the greatest shift" if metric.better == "reference" else "that came off worst"
    return Grid(
        name=name,
        title=f"{visible(metric.spec.name)}: the {count(len(worst), 'prompt')} {what}",
        columns=(
            GridColumn(title="base", detail=visible(two.base.label)),
            GridColumn(title="candidate", detail=visible(two.candidate.label)),
        ),
        rows=tuple(_rows(comparison, metric, worst, pairs)),
    )


def _rows(
    comparison: Comparison, metric: MetricComparison, worst: Sequence[WorstPrompt], pairs: pd.DataFrame
) -> Iterator[GridRow]:
    for one in worst:
        rows = pairs[pairs["prompt_id"] == one.prompt_id]
        row = _worst_pair(metric, rows)
        text, _ = difference_texts(Estimate(value=one.difference, low=None, high=None, n=one.pairs))
        numbers = f"{text} over {count(one.pairs, 'pair')}: {number_text(one.base)} → {number_text(one.candidate)}"
        seed = "" if row is None else f"; seed {row['seed']} shown"
        cells = tuple(
            _cell(side, row, name, metric)
            for side, name in ((comparison.base, "base"), (comparison.candidate, "candidate"))
        )
        yield GridRow(title=message(one.prompt_id, 80), prompt=f"{numbers}{seed}. {_prompt(row)}".strip(), cells=cells)


def _worst_pair(metric: MetricComparison, rows: pd.DataFrame) -> Mapping[str, Any] | None:
    if rows.empty:
        return None
    d = _scores_of(rows, "candidate", metric) - _scores_of(rows, "base", metric)
    sign = SIGNS[metric.better]
    oriented = -np.abs(d) if not sign else sign * d
    place = int(np.argmin(np.where(np.isnan(d), np.inf, oriented)))
    return {str(name): value for name, value in rows.iloc[place].items()}


def _scores_of(rows: pd.DataFrame, side: str, metric: MetricComparison) -> Floats:
    own = {str(name): str(name).removesuffix(f"_{side}") for name in rows.columns if str(name).endswith(f"_{side}")}
    return finite_scores(rows[list(own)].rename(columns=own), metric.spec)


def _cell(side: Side, row: Mapping[str, Any] | None, name: str, metric: MetricComparison) -> Picture:
    if side.picture_folder is None:
        return Picture(state="missing", text="a baseline file has no pictures")
    if row is None:
        return Picture(state="missing", text="no pair of equal size")
    own = {key.removesuffix(f"_{name}"): value for key, value in row.items() if key.endswith(f"_{name}")}
    alt = f"{name}, prompt {message(str(row['prompt_id']), 80)}, seed {row['seed']}"
    return picture_of(Path(side.picture_folder), own, [metric.spec.name], f"{alt}, {side_name(side.name)}")


def _prompt(row: Mapping[str, Any] | None) -> str:
    text = None if row is None else row.get("prompt_base", row.get("prompt"))
    return shorten(visible(text), PROMPT_CHARACTERS) if isinstance(text, str) else ""
