"""The first picture of every sample of a report, as a table of settings and of prompts with seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.core.planned import Setting
from kreabench.core.specs import MetricSpec
from kreabench.report.explorer.sources import Source

Ints = NDArray[np.int64]

_COLUMNS = (
    *("status", "error_type", "error_message", "image_index", "image_path", "image_sha256", "image_size_bytes"),
    *("image_width", "image_height", "image_format", "nsfw", "degenerate", "width", "height"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What settings are compared on."""

    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """Repeat 0, picture 0 of every request; settings of all runs by units of all runs."""

    settings: tuple[tuple[Source, Setting], ...]
    units: tuple[Unit, ...]
    """Prompts in the order of the runs, each with all seeds."""
    metrics: dict[str, MetricSpec]
    rows: pd.DataFrame
    """Columns of the table of samples, with the last row empty."""
    places: Ints
    """Setting × unit → number of its row; that of the empty row where there is none."""
    references: Ints
    """Setting → number of its reference; -1 without one."""

    @property
    def delivered(self) -> NDArray[np.bool_]:
        """Setting × unit: whether there is a picture."""
        there = (self.rows["status"] == "ok") & self.rows["image_index"].notna()
        return np.asarray(there.to_numpy(dtype=bool, na_value=False)[self.places], dtype=bool)


def samples_of(sources: Sequence[Source]) -> Samples:
    """Of all runs."""
    settings = tuple((source, setting) for source in sources for setting in source.evidence.plan.settings)
    prompts = list(dict.fromkeys(prompt.id for source in sources for prompt in source.evidence.experiment.prompts))
    seeds = list(dict.fromkeys(seed for source in sources for seed in source.evidence.experiment.seeds))
    metrics = {spec.name: spec for source in sources for spec in source.evidence.metrics}
    frames, lines, units = [], [], []
    start = 0
    for source in sources:
        frame = _first(source.evidence.table, list(metrics))
        line = pd.Index([setting.id for setting in source.evidence.plan.settings]).get_indexer(
            pd.Index(frame["setting_id"])
        )
        prompt = pd.Index(prompts).get_indexer(pd.Index(frame["prompt_id"]))
        seed = pd.Index(seeds).get_indexer(pd.Index(frame["seed"]))
        known = (line >= 0) & (prompt >= 0) & (seed >= 0)
        frames.append(frame[known])
        lines.append(line[known] + start)
        units.append((prompt * len(seeds) + seed)[known])
        start += len(source.evidence.plan.settings)
    rows = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    rows = rows.reset_index(drop=True).reindex(range(len(rows) + 1))
    places = np.full((len(settings), len(prompts) * len(seeds)), len(rows) - 1, dtype=np.int64)
    places[np.concatenate(lines), np.concatenate(units)] = np.arange(len(rows) - 1)
    return Samples(
        settings=settings,
        units=tuple(Unit(prompt=prompt, seed=seed) for prompt in prompts for seed in seeds),
        metrics=metrics,
        rows=rows,
        places=places,
        references=_references(settings),
    )


def _first(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The rows of repeat 0, picture 0, with the columns that are needed here."""
    scores = [f"score_{name}{suffix}" for name in metrics for suffix in ("", "_status")]
    columns = ["setting_id", "prompt_id", "seed", *_COLUMNS, *(name for name in scores if name in table.columns)]
    first = (table["repeat"] == 0) & (table["image_index"].isna() | (table["image_index"] == 0))
    return table.loc[first.to_numpy(dtype=bool), columns]


def _references(settings: Sequence[tuple[Source, Setting]]) -> Ints:
    number = {(source.id, setting.id): place for place, (source, setting) in enumerate(settings)}
    found = [number.get((source.id, setting.reference_id or ""), -1) for source, setting in settings]
    return np.asarray(found, dtype=np.int64)
