"""Costs and metrics of all settings of a report over resampled prompts: the same resamples for every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.paired import Floats, Ints
from kreabench.analysis.resampling import prompt_weights, resampled_medians
from kreabench.analysis.scores import delivered_images, finite_scores
from kreabench.core.specs import MetricSpec
from kreabench.report.explorer.sources import Source

SEED = 0
"""Of the resamples: the same run gives the same report."""


class Resamples:
    """One value a resample and setting, in the order of the report's settings."""

    def __init__(self, sources: Sequence[Source], draws: int) -> None:
        tables = [source.evidence.table for source in sources]
        prompts = sorted({str(prompt) for table in tables for prompt in table["prompt_id"].unique()})
        self._index = pd.Index(prompts, dtype=object)
        self.prompts = len(prompts)
        self._weights = (
            prompt_weights(np.random.default_rng(SEED), len(prompts), draws) if prompts else np.empty((draws, 0))
        )
        self._runs = [_Run(source, self._index) for source in sources]

    def of(self, name: str) -> Floats:
        """(draws, settings) of a metric or a cost, as `quantities` names it; NaN where a resample has no value.

        Peak memory is the highest of all requests whatever the prompts: one value in every resample.
        """
        return np.concatenate([run.values(name, self._weights) for run in self._runs], axis=1)


class _Run:
    """One run's samples as arrays."""

    def __init__(self, source: Source, prompts: pd.Index) -> None:
        self._settings = [setting.id for setting in source.evidence.plan.settings]
        self._codes = pd.Index(self._settings, dtype=object)
        self._prompts = prompts
        self._metrics = {spec.name: spec for spec in source.evidence.metrics}
        self._images = delivered_images(source.evidence.table)
        self._requests = self._images.drop_duplicates("request_id")
        self._memory = {one.setting.id: one.memory for one in source.evidence.summaries}
        self._costs: Mapping[str, Callable[[Floats], Floats]] = {
            "latency_s": self._latency,
            "usd_per_image": self._usd,
            "energy_per_image_j": self._energy,
            "peak_memory_bytes": self._peak,
        }

    def values(self, name: str, weights: Floats) -> Floats:
        if (spec := self._metrics.get(name)) is not None:
            return self._means(spec, weights)
        return self._costs[name](weights) if name in self._costs else np.full(self._shape(weights), np.nan)

    def _shape(self, weights: Floats) -> tuple[int, int]:
        return len(weights), len(self._settings)

    def _cells(self, rows: pd.DataFrame, values: Floats) -> tuple[Floats, Floats]:
        """(prompts, settings): sums of the finite values, and how many there are."""
        there = np.isfinite(values)
        setting, prompt = self._where(rows)
        cell = (prompt * len(self._settings) + setting)[there]
        size = len(self._prompts) * len(self._settings)
        shape = (len(self._prompts), len(self._settings))
        sums = np.bincount(cell, weights=values[there], minlength=size).reshape(shape).astype(float)  # whole, of none
        return sums, np.bincount(cell, minlength=size).reshape(shape).astype(float)

    def _where(self, rows: pd.DataFrame) -> tuple[Ints, Ints]:
        """Codes of each row's setting and prompt."""
        return (
            np.asarray(self._codes.get_indexer(rows["setting_id"].to_numpy(dtype=object))),
            np.asarray(self._prompts.get_indexer(rows["prompt_id"].to_numpy(dtype=object))),
        )

    def _means(self, spec: MetricSpec, weights: Floats) -> Floats:
        """Means over prompts of each prompt's mean."""
        sums, counts = self._cells(self._images, finite_scores(self._images, spec))
        there = counts > 0
        return _ratio(weights @ np.divide(sums, counts, out=np.zeros_like(sums), where=there), weights @ there)

    def _usd(self, weights: Floats) -> Floats:
        """Dollars of the priced requests over their pictures."""
        rows = self._requests[self._requests["usd"].notna()]
        by_the_second = (rows["usd_basis"] == "device_hour").groupby(rows["setting_id"]).transform("all")
        timed = rows["timing_valid"].isin([True])
        any_timed = timed.groupby(rows["setting_id"]).transform("any")
        rows = rows[timed | ~(by_the_second & any_timed)]
        pictures = self._images["request_id"].value_counts()
        usd, _ = self._cells(rows, _floats(rows, "usd"))
        images, _ = self._cells(rows, pictures.reindex(rows["request_id"]).to_numpy(dtype=float))
        return _ratio(weights @ usd, weights @ images)

    def _latency(self, weights: Floats) -> Floats:
        rows = self._timed()
        return self._medians(rows, _floats(rows, "end_to_end_s"), weights)

    def _energy(self, weights: Floats) -> Floats:
        rows = self._timed()
        return self._medians(rows, _floats(rows, "energy_j") / _floats(rows, "num_images"), weights)

    def _timed(self) -> pd.DataFrame:
        return self._requests[self._requests["timing_valid"].isin([True])]

    def _medians(self, rows: pd.DataFrame, values: Floats, weights: Floats) -> Floats:
        setting, prompt = self._where(rows)
        drawn = np.full(self._shape(weights), np.nan)
        for code in range(len(self._settings)):
            here: NDArray[np.bool_] = (setting == code) & np.isfinite(values)
            drawn[:, code] = resampled_medians(values[here], prompt[here], weights)
        return drawn

    def _peak(self, weights: Floats) -> Floats:
        known = [self._memory.get(setting_id) for setting_id in self._settings]
        row = np.array([np.nan if memory is None else float(memory.max_bytes) for memory in known])
        return np.broadcast_to(row, self._shape(weights))


def _floats(rows: pd.DataFrame, column: str) -> Floats:
    if column not in rows:
        return np.full(len(rows), np.nan)
    return np.asarray(pd.to_numeric(rows[column]).to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))
