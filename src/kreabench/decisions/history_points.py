"""What each run of a history says: the same prompts and, where they can be, the same seeds of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from kreabench.analysis.estimates import CONFIDENCE, Estimate, prompt_mean
from kreabench.analysis.paired import PAIR_KEYS
from kreabench.analysis.scores import delivered_images, finite_scores
from kreabench.core.policies import COSTS, RATES
from kreabench.core.specs import MetricSpec
from kreabench.decisions.columns import Columns, KeySpace, Pictures, Requests, key_space
from kreabench.decisions.costs import UNITS, measured
from kreabench.decisions.mishaps import counted
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of

_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """One quantity, run by run."""

    values: tuple[Estimate | None, ...]
    """In the order of the runs; None where a run does not have it."""
    basis: str
    """What every value rests on, in words."""
    unit: str
    kinds: tuple[str, ...] = ()
    """What each run's value is, where there is a choice; those of two kinds are not comparable. Empty: none has one."""
    exact: bool = True
    """Whether equal values of two runs mean that nothing changed."""


def metric_points(tables: Sequence[pd.DataFrame], spec: MetricSpec) -> Points | None:
    """Mean over the prompts that have a finite score in every run with any; None where no run has one.

    Of each prompt the pictures that all have, by seed and repeat; where there are none, as every run drew other seeds,
    all its pictures.
    """
    scores = [_scores(table, spec) for table in tables]
    there = [series for series in scores if len(series)]
    if not there:
        return None
    pictures = _common([series.index for series in there])
    prompts = _common([series.index.get_level_values("prompt_id").unique() for series in there])
    names = set(pictures.get_level_values("prompt_id")) if len(pictures) else set(prompts)
    same_seeds = len(pictures) > 0
    row = row_of(spec)
    values: list[Estimate | None] = []
    for series in scores:
        used = series[series.index.isin(pictures)] if same_seeds else series[_of(series, names)]
        ids = used.index.get_level_values("prompt_id").tolist()
        values.append(prompt_mean(used.to_numpy(dtype=float), ids, **({"bounds": row.range} if row else {})))
    basis = f"{len(names)} prompt{'s' if len(names) != 1 else ''}"
    basis += f", {len(pictures)} pictures a run" if same_seeds else ", other seeds in every run"
    left_out = max(len(series) for series in there) - len(pictures) if same_seeds else 0
    basis += f"; up to {left_out} more are not scored in every run" if left_out else ""
    return Points(
        values=tuple(values),
        basis=basis if names else "no prompt has a score in every run",
        unit=row.unit if row and row.unit != "1" else "",
    )


def _scores(table: pd.DataFrame, spec: MetricSpec) -> pd.Series[float]:
    images = delivered_images(table)
    values = finite_scores(images, spec)
    there = np.isfinite(values)
    index = pd.MultiIndex.from_frame(images.loc[there, PAIR_KEYS])
    return pd.Series(values[there], index=index).sort_index()


def _of(series: pd.Series[float], names: set[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(series.index.get_level_values("prompt_id").isin(list(names)))


def _common(indexes: Sequence[pd.Index[str]]) -> pd.Index[str]:
    found = indexes[0]
    for index in indexes[1:]:
        found = found.intersection(index)
    return found


def cost_points(sides: Sequence[Side]) -> dict[str, Points]:
    """Costs and rates by name, each where some run has it; mishaps of pictures only where there was one."""
    columns = [_columns(side) for side in sides]
    costs = [
        measured(requests, may_wait=side.settings[0].may_wait)
        for side, (_, requests, _) in zip(sides, columns, strict=True)
    ]
    counts = [counted(*of_side) for of_side in columns]
    found: dict[str, Points] = {}
    for cost in COSTS:
        each = [of_run[cost] for of_run in costs]
        kinds = tuple(one.kind for one in each)
        if any(one.median is not None for one in each):
            found[cost] = Points(
                values=tuple(_scaled(one.median, _MIB if cost == "peak_memory" else 1) for one in each),
                basis=", ".join(["median of the requests", *sorted(set(kinds) - {""})]),
                unit={**UNITS, "peak_memory": "MiB"}[cost],
                kinds=kinds,
            )
    for rate in RATES:
        rates = [_share(of_run[rate].number, of_run[rate].n) for of_run in counts]
        if any(one is not None and (rate == "failure_rate" or one.value) for one in rates):
            basis = "of the requests" if rate == "failure_rate" else "of the pictures"
            found[rate] = Points(values=tuple(rates), basis=basis, unit="share", exact=False)
    return found


def _columns(side: Side) -> tuple[Pictures, Requests, KeySpace]:
    columns = Columns(side.table, (), key_space(side.table))
    (setting,) = side.settings
    return columns.pictures(setting.id), columns.requests(setting.id), columns.space


def _scaled(estimate: Estimate | None, unit: float) -> Estimate | None:
    if estimate is None or unit == 1:
        return estimate
    ends = [None if end is None else end / unit for end in (estimate.low, estimate.high)]
    return Estimate(value=estimate.value / unit, low=ends[0], high=ends[1], n=estimate.n)


def _share(number: int, n: int) -> Estimate | None:
    if not n:
        return None
    low, high = proportion_confint(number, n, alpha=1 - CONFIDENCE, method="beta")
    return Estimate(value=number / n, low=float(low), high=float(high), n=n)
