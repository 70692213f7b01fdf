"""Paired shifts: how far a metric of a picture moves away from that of the reference's picture, prompt by prompt.

Pictures of one prompt and seed are alike, so that a difference within pairs shows what a difference of means hides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.estimates import UNBOUNDED, Bounds, Estimate, difference_bounds, mean_of_coded
from kreabench.analysis.scores import delivered_images, finite_scores, untrained_scores
from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec

_SAME = ["prompt_id", "seed", "repeat", "image_index"]
"""Columns that are equal for a picture and its reference."""
_SIZE = ["image_width", "image_height"]
"""As delivered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """One metric of one setting, less that of its reference."""

    setting: Setting
    spec: MetricSpec
    mean: Estimate
    """Over prompts, of the differences of their pairs, in the metric's unit."""
    pairs: int
    """Behind the mean."""
    left_out: int
    """Pictures without a pair: one of both is missing, has no score, or has another size."""
    untrained: bool
    """The metric's own weights are random."""


def paired_shifts(
    table: pd.DataFrame,
    settings: Sequence[Setting],
    metrics: Sequence[MetricSpec],
    *,
    bounds: Mapping[str, Bounds] | None = None,
) -> tuple[Shift, ...]:
    """Setting by setting and metric by metric, in order, wherever there is a pair.

    `table` is the table of samples (`rundir.table`); `metrics` have a score a picture and need no reference, as those
    that need one are differences already. Only pictures of equal delivered size are paired. `bounds` maps names of
    metrics to the range of their values.
    """
    images = delivered_images(table)
    columns = {spec.name: (finite_scores(images, spec), untrained_scores(images, spec)) for spec in metrics}
    keys = images[[*_SAME, *_SIZE]].assign(row=np.arange(len(images)))
    parts = {str(key): part for key, part in keys.groupby(images["setting_id"].to_numpy(dtype=object), sort=False)}
    codes = np.unique(images["prompt_id"].to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    found: list[Shift] = []
    for setting in settings:
        if setting.reference_id in (None, setting.id) or not {setting.id, setting.reference_id} <= parts.keys():
            continue
        own = parts[setting.id]
        # Merged on the size too: a picture of another size is no pair.
        pairs = own.merge(parts[str(setting.reference_id)], on=[*_SAME, *_SIZE], suffixes=("", "_of_reference"))
        both = pairs["row"].to_numpy(), pairs["row_of_reference"].to_numpy()
        for spec in metrics:
            shift = _shift(setting, spec, *both, codes, len(own), *columns[spec.name], (bounds or {}).get(spec.name))
            found += [] if shift is None else [shift]
    return tuple(found)


def _shift(
    setting: Setting,
    spec: MetricSpec,
    rows: NDArray[np.intp],
    references: NDArray[np.intp],
    prompts: NDArray[np.intp],
    pictures: int,
    scores: NDArray[np.float64],
    untrained: NDArray[np.bool_],
    bounds: Bounds | None,
) -> Shift | None:
    """`rows` and `references` are pairs of pictures; `prompts` has a code for the prompt of every picture."""
    difference = scores[rows] - scores[references]
    there = np.isfinite(difference)
    if not (used := int(there.sum())):
        return None
    mean = mean_of_coded(difference[there], prompts[rows[there]], bounds=difference_bounds(bounds or UNBOUNDED))
    brand = bool(untrained[rows[there]].any())
    return Shift(setting=setting, spec=spec, mean=mean, pairs=used, left_out=pictures - used, untrained=brand)
