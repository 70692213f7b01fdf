"""Tables of a run in other forms than samples.parquet has."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

SCORE_KEYS = ("request_id", "image_index", "setting_id", "prompt_id", "category", "seed", "repeat")
SCORE_PARTS = ("value", "status", "reason", "truncated", "untrained", "notes", "usd")
UNSCORED = "unscored"
"""Status of a picture that a metric has not looked at yet."""


def scored_metrics(columns: Iterable[str]) -> list[str]:
    """Metrics that the table of samples has columns of, in their order."""
    names = list(columns)
    found = [name.removeprefix("score_").removesuffix("_status") for name in names if name.endswith("_status")]
    return [name for name in found if f"score_{name}" in names and f"score_{name}_status" in names]


def scores_of(samples: pd.DataFrame) -> pd.DataFrame:
    """One row a delivered picture and metric. `value` is NaN wherever `status` is not ok, which says why."""
    pictures = samples[samples["image_index"].notna()]
    keys = pictures[list(SCORE_KEYS)]
    parts = []
    for metric in scored_metrics(samples.columns):
        part = keys.assign(metric=metric)
        for name in SCORE_PARTS:
            part[name] = pictures[f"score_{metric}" if name == "value" else f"score_{metric}_{name}"]
        part["status"] = part["status"].fillna(UNSCORED)
        parts.append(part)
    columns = [*SCORE_KEYS, "metric", *SCORE_PARTS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
