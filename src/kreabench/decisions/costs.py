"""Time, memory, energy and dollars of two settings: medians of both, and their ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kreabench.analysis.dependence import dependent_median, dependent_quantile, inflation
from kreabench.analysis.estimates import Estimate, latency_quantile, median
from kreabench.analysis.paired import Floats, Ints
from kreabench.analysis.ratios import ratio_of_medians
from kreabench.analysis.settings import PERCENTILES
from kreabench.core.policies import COSTS, Cost
from kreabench.decisions.columns import Bools, Requests
from kreabench.decisions.comparison import CostComparison, PercentilePair

UNITS: dict[Cost, str] = {"latency": "s", "peak_memory": "bytes", "energy": "J", "usd_per_image": "USD"}

_MISSING: dict[Cost, str] = {
    "latency": "no sample is fit for timing",
    "peak_memory": "not measured: hosted services do not tell",
    "energy": "not measured: the device keeps no energy counter",
    "usd_per_image": "no price is known",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """One cost of one setting, one value a request."""

    values: Floats
    prompts: Ints
    """Codes of their prompts."""
    kind: str
    """What the values are, where there is a choice; empty where there is none."""
    median: Estimate | None
    percentiles: Mapping[float, Estimate]
    """Of latency, where there are enough timings."""
    inflation: float = 1.0
    """As of `analysis.dependence`, of latencies of requests that may wait for one another."""


def measured(requests: Requests, *, may_wait: bool) -> dict[Cost, Measured]:
    """Every cost of a setting; `may_wait` is the setting's.

    Only samples fit for timing have a latency and an energy: a first call, a retried or a cached sample is none.
    """
    timed = requests.ok & requests.timing_valid
    pictures = requests.values["num_images"]
    return {
        "latency": _latency(requests, timed, may_wait=may_wait),
        "peak_memory": _memory(requests),
        "energy": _finite(requests, requests.values["energy_j"], timed),
        "usd_per_image": _usd(requests, requests.values["usd"] / pictures),
    }


def compare_costs(base: Mapping[Cost, Measured], candidate: Mapping[Cost, Measured]) -> tuple[CostComparison, ...]:
    """One for each of COSTS, with the reason beside what cannot be compared."""
    return tuple(_compare(quantity, base[quantity], candidate[quantity]) for quantity in COSTS)


def ratio_of(base: Measured, candidate: Measured) -> Estimate | None:
    """As `ratios.ratio_of_medians`."""
    return ratio_of_medians(
        base.values,
        candidate.values,
        base.prompts,
        candidate.prompts,
        inflation=max(base.inflation, candidate.inflation),
    )


def _compare(quantity: Cost, base: Measured, candidate: Measured) -> CostComparison:
    low, high = base.median, candidate.median
    obstacle = _obstacle(quantity, base, candidate, low)
    ratio = None
    if not obstacle:
        ratio = ratio_of(base, candidate)
        if ratio is not None and ratio.interval is None:
            obstacle = f"too few values for an interval: {base.values.size} and {candidate.values.size}"
    return CostComparison(
        quantity=quantity,
        unit=UNITS[quantity],
        base=low.value if low else None,
        candidate=high.value if high else None,
        ratio=ratio,
        base_n=int(base.values.size),
        candidate_n=int(candidate.values.size),
        obstacle=obstacle,
        base_median=low,
        candidate_median=high,
        base_kind=base.kind,
        candidate_kind=candidate.kind,
        percentiles=_percentiles(base.percentiles, candidate.percentiles),
    )


def _obstacle(quantity: Cost, base: Measured, candidate: Measured, low: Estimate | None) -> str:
    absent = [name for name, one in (("base", base), ("candidate", candidate)) if not one.values.size]
    if absent:
        return f"{' and '.join(absent)}: {_MISSING[quantity]}"
    if quantity == "peak_memory" and base.kind != candidate.kind:
        return f"{base.kind} against {candidate.kind}: two kinds of memory"
    if low is None or low.value <= 0 or min(base.values.min(), candidate.values.min()) <= 0:
        return "a value of 0 has no ratio"
    return ""


def _percentiles(base: Mapping[float, Estimate], candidate: Mapping[float, Estimate]) -> tuple[PercentilePair, ...]:
    known = sorted(base.keys() | candidate.keys())
    return tuple(PercentilePair(p=p, base=base.get(p), candidate=candidate.get(p)) for p in known)


def _latency(requests: Requests, timed: Bools, *, may_wait: bool) -> Measured:
    values = requests.values["end_to_end_s"]
    found, order = _finite(requests, values, timed), np.argsort(requests.places)
    by_time = values[order][(timed & np.isfinite(values))[order]]
    at_all = dependent_quantile if may_wait else latency_quantile
    quantiles = {p: at_all(by_time, p) for p in PERCENTILES}
    return replace(
        found,
        median=dependent_median(by_time) if may_wait else found.median,
        percentiles={p: estimate for p, estimate in quantiles.items() if estimate is not None},
        inflation=inflation(by_time) if may_wait else 1.0,
    )


def _finite(requests: Requests, values: Floats, which: Bools, kind: str = "") -> Measured:
    there: NDArray[np.bool_] = which & np.isfinite(values)
    known = values[there]
    return Measured(
        values=known,
        prompts=requests.prompts[there],
        kind=kind if known.size else "",
        median=median(known),
        percentiles={},
    )


def _memory(requests: Requests) -> Measured:
    """Hosted samples are left out: the process that waits for them holds no model."""
    local = requests.ok & requests.local
    allocated = _finite(requests, requests.values["peak_allocated_bytes"], local, "allocated on the device")
    if allocated.values.size:
        return allocated
    return _finite(requests, requests.values["peak_rss_bytes"], local, "resident in the worker")


def _usd(requests: Requests, usd: Floats) -> Measured:
    """A first call on a device is paid by the second, but only once: there, only samples fit for timing count."""
    priced = requests.ok & np.isfinite(usd)
    bases = sorted({str(basis) for basis in requests.usd_basis[priced]})
    timed = priced & requests.timing_valid
    by_the_second = bases == ["device_hour"] and bool(timed.any())
    return _finite(requests, usd, timed if by_the_second else priced, " and ".join(bases).replace("_", " "))
