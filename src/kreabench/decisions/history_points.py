"""What each run of a history says: the same prompts and, where they can be, the same seeds of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from kreabench.analysis.estimates import CONFIDENCE, Estimate, median, prompt_mean
from kreabench.analysis.paired import PAIR_KEYS, Floats
from kreabench.analysis.scores import delivered_images, finite_scores
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import row_of

_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """One quantity, run by run."""

    values: tuple[Estimate | None, ...]
    """In the order of the runs; None where a run does not have it."""
    basis: str
    """What every value rests on, in words."""


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
    return Points(values=tuple(values), basis=basis if names else "no prompt has a score in every run")


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """A quantity of requests, less of which is better."""

    name: str
    unit: str
    basis: str
    of: Callable[[pd.DataFrame], Estimate | None]
    repeats: bool
    """Whether equal values of two runs mean that nothing changed."""


def _latency(samples: pd.DataFrame) -> Estimate | None:
    return median(_numbers(samples[samples["timing_valid"].isin([True])], "end_to_end_s"))


def _memory(samples: pd.DataFrame) -> Estimate | None:
    """Of the device; where there is none, of the process. A service tells neither of its own."""
    local = samples[samples["service_request_id"].isna()] if "service_request_id" in samples else samples
    allocated = _numbers(local, "peak_allocated_bytes")
    return median((allocated if allocated.size else _numbers(local, "peak_rss_bytes")) / _MIB)


def _energy(samples: pd.DataFrame) -> Estimate | None:
    return median(_numbers(samples[samples["timing_valid"].isin([True])], "energy_j"))


def _usd(samples: pd.DataFrame) -> Estimate | None:
    """A first call on a device is paid by the second, but only once."""
    priced = samples[samples["usd"].notna()]
    by_the_second = "usd_basis" in priced and bool((priced["usd_basis"] == "device_hour").all())
    timed = priced[priced["timing_valid"].isin([True])]
    used = timed if by_the_second and len(timed) else priced
    return median(_numbers(used, "usd") / _numbers(used, "num_images")) if len(used) else None


def _failures(samples: pd.DataFrame) -> Estimate | None:
    failed, n = int((samples["status"] == "failed").sum()), int(samples["status"].isin(["ok", "failed"]).sum())
    if not n:
        return None
    low, high = proportion_confint(failed, n, alpha=1 - CONFIDENCE, method="beta")
    return Estimate(value=failed / n, low=float(low), high=float(high), n=n)


COSTS: Mapping[str, Cost] = {
    cost.name: cost
    for cost in (
        Cost(name="latency", unit="s", basis="median of a request", of=_latency, repeats=True),
        Cost(name="peak_memory", unit="MiB", basis="median of the requests' peaks", of=_memory, repeats=True),
        Cost(name="energy", unit="J", basis="median of a request", of=_energy, repeats=True),
        Cost(name="usd_per_image", unit="USD", basis="median of a picture", of=_usd, repeats=True),
        Cost(name="failure_rate", unit="share", basis="of the requests", of=_failures, repeats=False),
    )
}


def cost_points(tables: Sequence[pd.DataFrame], cost: Cost) -> Points | None:
    """Each run's value; None where no run has one."""
    values = []
    for table in tables:
        samples = table.drop_duplicates("request_id")
        if cost.name != "failure_rate":
            samples = samples[samples["status"] == "ok"]
        values.append(cost.of(samples))
    return Points(values=tuple(values), basis=cost.basis) if any(values) else None


def _numbers(samples: pd.DataFrame, column: str) -> Floats:
    if column not in samples.columns:
        return np.empty(0)
    values = np.asarray(pd.to_numeric(samples[column]).to_numpy(dtype=float, na_value=np.nan), dtype=float)
    return np.extract(np.isfinite(values), values)
