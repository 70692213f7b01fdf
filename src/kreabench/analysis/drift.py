"""Did the machine change while it was measured? A trend of latency, clock or temperature over a loaded model's time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.estimates import p_in_words
from kreabench.analysis.kendall import benjamini_yekutieli, kendall_p, theil_slope
from kreabench.core.records import CLOCK_SET, LoadRecord

LEVEL = 0.01
"""Least corrected significance of a trend that is reported."""
MIN_SAMPLES = 10
"""Fewer show no trend worth the name."""
LEAST_CHANGE = {"latency": 0.01, "SM clock": 0.01, "temperature": 5.0}
"""Least change from the first to the last sample that matters: shares of 1, and degrees Celsius."""

_COLUMNS = {"latency": "end_to_end_s", "SM clock": "sm_clock_mhz", "temperature": "temperature_c"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """A trend over the samples of one load."""

    group_id: str
    target: str
    what: str
    """`latency`, `SM clock` or `temperature`."""
    change: float
    """From the first to the last sample, by Theil and Sen's slope: a share of 1, degrees Celsius for `temperature`."""
    p: float
    """Corrected for all trends looked for in the run."""
    n: int

    @property
    def text(self) -> str:
        """One sentence."""
        size = f"{self.change:+.0f} °C" if self.what == "temperature" else f"{self.change:+.1%}".replace("%", " %")
        return f"{self.target}: the {self.what} drifted by {size} over {self.n} samples ({p_in_words(self.p)})"


def find_drifts(table: pd.DataFrame, loads: Iterable[LoadRecord] = ()) -> tuple[Drift, ...]:
    """Every trend that is both sure and large enough to matter.

    `loads` are all of the run: what is loaded anew, as by a resume hours later, begins anew. Each value is first
    divided by (of temperature: reduced by) the median of its setting in the same load, as settings take turns.
    Kendall's rank correlation with time is the Mann-Kendall test of a trend (Mann, Econometrica 13, 1945); its
    p values are corrected for their number by Benjamini and Yekutieli (Annals of Statistics 29, 2001), which holds
    however they depend on each other; the size is Theil and Sen's slope times the time between first and last.
    """
    samples = table.drop_duplicates("request_id")
    timed = samples[(samples["status"] == "ok") & samples["timing_valid"].isin([True])]
    timed = timed[~timed["group_id"].isin(_unordered(samples))]
    found = list(_trends(timed, loads))
    if not found:
        return ()
    corrected = benjamini_yekutieli(np.array([drift.p for drift in found]))
    return tuple(
        Drift(group_id=drift.group_id, target=drift.target, what=drift.what, change=drift.change, p=float(p), n=drift.n)
        for drift, p in zip(found, corrected, strict=True)
        if p < LEVEL and abs(drift.change) >= LEAST_CHANGE[drift.what]
    )


def _unordered(samples: pd.DataFrame) -> frozenset[str]:
    """Groups during which the clock was set: nobody knows how far apart in time their samples are."""
    if "flags" not in samples:
        return frozenset()
    was_set = samples["flags"].astype("string").str.contains(CLOCK_SET, regex=False).fillna(False)
    return frozenset(map(str, samples.loc[was_set.astype(bool), "group_id"]))


def _trends(timed: pd.DataFrame, loads: Iterable[LoadRecord]) -> Iterator[Drift]:
    begun: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for load in loads:
        begun[load.group_id, load.worker].append(load.started_utc)
    # Each of several workers has a device of its own.
    whose = ["group_id", *(["worker"] if "worker" in timed else [])]
    for (group_id, *worker), rows in timed.groupby(whose, sort=False, dropna=False):
        named = worker[0] if worker and isinstance(worker[0], str) else None
        seconds = _seconds(rows["started_utc"])
        starts = np.sort(_seconds(pd.Series(begun[str(group_id), named], dtype="string")))
        which = np.searchsorted(starts, seconds, side="right")
        for load_number in np.unique(which):
            yield from _trends_of_load(rows[which == load_number], seconds[which == load_number])


def _seconds(moments: pd.Series) -> NDArray[np.float64]:
    nanoseconds = pd.to_datetime(moments, utc=True, format="ISO8601").dt.as_unit("ns").astype("int64")
    return np.asarray(nanoseconds / 1e9, dtype=float)


def _trends_of_load(rows: pd.DataFrame, seconds: NDArray[np.float64]) -> Iterator[Drift]:
    group_id, target = str(rows["group_id"].iloc[0]), str(rows["target"].iloc[0])
    for what, column in _COLUMNS.items():
        if column not in rows:
            continue
        values = _relative(rows, column, ratio=what != "temperature")
        usable = np.isfinite(values)
        if usable.sum() < MIN_SAMPLES or np.ptp(values[usable]) == 0 or np.ptp(seconds[usable]) == 0:
            continue
        yield _trend(group_id, target, what, seconds[usable], values[usable])


def _relative(rows: pd.DataFrame, column: str, *, ratio: bool) -> NDArray[np.float64]:
    """Each value against the median of its setting in these rows; NaN where it is alone or absent."""
    values = pd.Series(
        pd.to_numeric(rows[column]).to_numpy(dtype=float, na_value=np.nan), index=rows.index, dtype=float
    )
    by_setting = values.groupby(rows["setting_id"])
    usual, count = by_setting.transform("median"), by_setting.transform("count")
    against = (values / usual if ratio else values - usual).where(count > 1)
    return np.asarray(against, dtype=float)


def _trend(group_id: str, target: str, what: str, seconds: NDArray[np.float64], values: NDArray[np.float64]) -> Drift:
    slope = theil_slope(seconds, values)
    return Drift(
        group_id=group_id,
        target=target,
        what=what,
        change=slope * float(np.ptp(seconds)),
        p=kendall_p(seconds, values),
        n=int(values.size),
    )
