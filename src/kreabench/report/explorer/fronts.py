"""Fronts: for each cost and metric the settings that none beats in both, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kreabench.analysis.fronts import front_shares
from kreabench.analysis.paired import Floats
from kreabench.report.explorer.data import FrontData, QuantityData
from kreabench.report.explorer.quantities import is_identical, values_of
from kreabench.report.explorer.resamples import Resamples
from kreabench.report.explorer.sources import Source

DRAWS = 500
"""Resamples of the prompts: a share of one half is then known to ± 0.044, which no reader sees as opacity."""


def fronts_of(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[FrontData, ...]:
    """One for each cost and metric with a better side that settings have; of several runs over all their settings.

    `chance` is empty below two prompts: one alone shows no spread.
    """
    directed = [one for one in quantities if one.better != "neither"]
    costs = [one for one in directed if one.kind == "cost"]
    metrics = [one for one in directed if one.kind != "cost"]
    if not costs or not metrics:
        return ()
    ids, values = _point_values(sources, directed)
    resamples = Resamples(sources, DRAWS)
    drawn = {one.name: resamples.of(one.name) * _sign(one) for one in directed} if resamples.prompts > 1 else {}
    found = (_front(x, y, ids, values, drawn) for x in costs for y in metrics)
    return tuple(front for front in found if front is not None)


def _point_values(sources: Sequence[Source], quantities: Sequence[QuantityData]) -> tuple[list[str], dict[str, Floats]]:
    """Ids of all settings, and for each quantity a value of each, less is better; NaN where there is none.

    Where all pictures are the reference's own, fidelity is the best there can be: −∞.
    """
    summaries = [(source, summary) for source in sources for summary in source.evidence.summaries]
    known = [values_of(summary) for _, summary in summaries]
    values = {}
    for one in quantities:
        told = np.array([each[one.name].value if one.name in each else np.nan for each in known]) * _sign(one)
        best = np.array([is_identical(summary, one.name) for _, summary in summaries], dtype=bool)
        values[one.name] = np.where(best, -np.inf, told)
    return [source.setting_id(summary.setting.id) for source, summary in summaries], values


def _sign(quantity: QuantityData) -> float:
    return -1.0 if quantity.better == "higher" else 1.0


def _front(
    x: QuantityData, y: QuantityData, ids: Sequence[str], values: Mapping[str, Floats], drawn: Mapping[str, Floats]
) -> FrontData | None:
    there = np.flatnonzero(np.isfinite(values[x.name]) & ~np.isnan(values[y.name]))
    if not there.size:
        return None
    on = front_shares(values[x.name][None, there], values[y.name][None, there])
    best = np.isneginf(values[y.name][there])
    shares = np.empty(0)
    if drawn:
        shares = front_shares(drawn[x.name][:, there], np.where(best, -np.inf, drawn[y.name][:, there]))
    names = [ids[index] for index in there.tolist()]
    return FrontData(
        x=x.name,
        y=y.name,
        on=tuple(name for name, share in zip(names, on, strict=True) if share),
        chance=dict(zip(names, map(float, shares), strict=False)),
    )
