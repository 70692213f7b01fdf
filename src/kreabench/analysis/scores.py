"""Scores out of the table of samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.core.specs import MetricSpec


def delivered_images(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with a picture."""
    return table[(table["status"] == "ok") & table["image_index"].notna()]


def finite_scores(images: pd.DataFrame, spec: MetricSpec) -> NDArray[np.float64]:
    """One value a row, NaN where there is no finite score; tables of runs that it was not asked for lack its column."""
    column = f"score_{spec.name}"
    if column not in images.columns:
        return np.full(len(images), np.nan)
    values = pd.to_numeric(images[column]).to_numpy(dtype=float, na_value=np.nan)
    ok = images[f"{column}_status"].isin(["ok"]).to_numpy(dtype=bool)
    return np.where(ok & np.isfinite(values), values, np.nan)


def untrained_scores(images: pd.DataFrame, spec: MetricSpec) -> NDArray[np.bool_]:
    """Whether each row's score was made with random weights."""
    column = f"score_{spec.name}_untrained"
    if column not in images.columns:
        return np.zeros(len(images), dtype=bool)
    return np.asarray(images[column].isin([True]).to_numpy(dtype=bool))
