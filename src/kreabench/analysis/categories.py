"""Scores by category of prompt: where a setting is good at, and where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.estimates import UNBOUNDED, Bounds, Estimate, mean_of_coded
from kreabench.analysis.scores import delivered_images, finite_scores, untrained_scores
from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryMean:
    """One metric over the pictures of a category and setting."""

    spec: MetricSpec
    mean: Estimate | None
    """Over the category's prompts; None where none of its pictures has a finite score."""
    scored: int
    """Pictures with a finite score."""
    untrained: bool
    """The metric's own weights are random."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CategorySummary:
    """One category of prompts at one setting."""

    category: str | None
    """None for the prompts that have none."""
    setting: Setting
    prompts: int
    """With a delivered picture."""
    images: int
    """Delivered."""
    means: tuple[CategoryMean, ...]
    """In the order of the metrics asked for."""


def by_category(
    table: pd.DataFrame,
    settings: Sequence[Setting],
    metrics: Sequence[MetricSpec],
    *,
    bounds: Mapping[str, Bounds] | None = None,
) -> tuple[CategorySummary, ...]:
    """Category by category in order of appearance, setting by setting; nothing without two categories or any score.

    `table` is the table of samples (`rundir.table`), `bounds` maps names of metrics to the range of their values.
    """
    images = delivered_images(table)
    named = images["category"].fillna("").astype(str).to_numpy(dtype=object)
    categories = list(dict.fromkeys(named))
    if len(categories) < 2 or not metrics:
        return ()
    columns = [_Column(images, spec, (bounds or {}).get(spec.name, UNBOUNDED)) for spec in metrics]
    prompts = np.unique(images["prompt_id"].to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    by_group = images.groupby([named, images["setting_id"].to_numpy(dtype=object)], sort=False).indices
    groups = {key: np.asarray(rows, dtype=np.intp) for key, rows in by_group.items()}
    found = tuple(
        CategorySummary(
            category=category or None,
            setting=setting,
            prompts=np.unique(prompts[rows]).size,
            images=len(rows),
            means=tuple(column.mean(rows, prompts) for column in columns),
        )
        for category in categories
        for setting in settings
        if (rows := groups.get((category, setting.id))) is not None
    )
    return found if any(mean.mean for summary in found for mean in summary.means) else ()


class _Column:
    """All scores of one metric, taken out of the table once."""

    def __init__(self, images: pd.DataFrame, spec: MetricSpec, bounds: Bounds) -> None:
        self._spec = spec
        self._bounds = bounds
        self._scores = finite_scores(images, spec)
        self._untrained = untrained_scores(images, spec)

    def mean(self, rows: NDArray[np.intp], prompts: NDArray[np.intp]) -> CategoryMean:
        there = rows[np.isfinite(self._scores[rows])]
        return CategoryMean(
            spec=self._spec,
            mean=mean_of_coded(self._scores[there], prompts[there], bounds=self._bounds) if there.size else None,
            scored=len(there),
            untrained=bool(self._untrained[there].any()),
        )
