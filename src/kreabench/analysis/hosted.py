"""What a hosted service did with the requests of a run: how many at once, on which runners, and what went astray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_LONG_WAIT = 0.1
"""Share of the median inference from which a time in the queue is waiting for others, not the service's own pace."""

_SLACK = 0.1
"""Share by which the number of requests worked on may be off, as their edges are seen a little late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedSummary:
    """One hosted target at one number of requests in flight."""

    target: str
    concurrency: int
    requests: int
    """Delivered."""
    timed: int
    """Of these, fit for timing."""
    first_calls: int
    """Of these, the first on their connection: no timings."""
    in_flight: int | None
    """Most requests seen under way at once."""
    running: int | None
    """Most of them that the service was seen to work on at once."""
    limit: int | None
    """How many were worked on at once nearly all the time, while others waited; None where nothing shows that."""
    runners: int
    """Different machines that the service named."""
    first_on_runner: int
    """Requests that were the first on their machine."""
    retried: int
    """Requests some part of which was repeated: no timings."""
    rerouted: int
    recovered: int
    """Requests that an earlier session had sent and a later one fetched."""
    flagged: int
    """Pictures that the service's safety checker flagged."""
    black: int
    """Pictures that are black or of one colour."""
    wrong_size: int
    """Requests that delivered another size than asked."""
    observed_by: tuple[tuple[str, int], ...]
    """How queue and inference were told apart → in how many requests."""


def summarise_hosted(table: pd.DataFrame, targets: Collection[str]) -> tuple[HostedSummary, ...]:
    """One summary for each of the hosted `targets` and number in flight that has a sample in `table`."""
    part = table[table["target"].isin(list(targets))]
    return tuple(
        _summary(str(target), int(str(concurrency)), rows)
        for (target, concurrency), rows in part.groupby(["target", "concurrency"], sort=False)
    )


def _summary(target: str, concurrency: int, rows: pd.DataFrame) -> HostedSummary:
    samples = rows.drop_duplicates("request_id")
    delivered = samples[samples["status"] == "ok"]
    images = rows[(rows["status"] == "ok") & rows["image_index"].notna()]
    in_flight, running = _numbers(delivered, "in_flight"), _numbers(delivered, "running")
    again = (delivered["attempt"] > 1) | (_column(delivered, "service_attempts") > 1)
    observed = Counter(str(how) for how in delivered["observed_by"].dropna())
    return HostedSummary(
        target=target,
        concurrency=concurrency,
        requests=len(delivered),
        timed=int(delivered["timing_valid"].isin([True]).sum()),
        first_calls=int(delivered["first_call"].isin([True]).sum()),
        in_flight=int(in_flight.max()) if in_flight.size else None,
        running=int(running.max()) if running.size else None,
        limit=_limit(delivered),
        runners=int(delivered["runner"].nunique()),
        first_on_runner=int(delivered["first_on_runner"].isin([True]).sum()),
        retried=int(again.sum()),
        rerouted=int(delivered["rerouted"].isin([True]).sum()),
        recovered=int(delivered["recovered"].isin([True]).sum()),
        flagged=int(images["nsfw"].isin([True]).sum()),
        black=int(images["degenerate"].isin(["black", "constant"]).sum()),
        wrong_size=int((samples["error_type"] == "wrong_size").sum()),
        observed_by=tuple(observed.most_common()),
    )


def _limit(delivered: pd.DataFrame) -> int | None:
    """How many requests the service works on at once for this account; None where nothing shows a limit.

    Where there is one, that many are worked on nearly all the time while others wait. One more is sometimes seen: a
    request has ended, the next one has begun, and both are counted.
    """
    seen = delivered[delivered["running"].notna() & delivered["in_flight"].notna()]
    running, in_flight = _numbers(seen, "running"), _numbers(seen, "in_flight")
    if not running.size or running.max() >= in_flight.max():
        return None
    crowded = seen[(in_flight == in_flight.max()).tolist()]
    at_once = _numbers(crowded, "running")
    typical = int(np.median(at_once))
    slack = int(_SLACK * typical)
    steady = 2 * int((np.abs(at_once - typical) <= slack).sum()) >= at_once.size
    return typical if steady and running.max() <= typical + 1 + slack and _wait(crowded) else None


def _wait(samples: pd.DataFrame) -> bool:
    """Whether most of them waited in the queue for longer than the service's own pace explains."""
    waits, works = _stage(samples, "queue"), _stage(samples, "inference")
    if not waits.size or not works.size:
        return False
    resolutions = _numbers(samples, "resolution_s")
    resolution = float(np.median(resolutions)) if resolutions.size else 0.0
    long = max(_LONG_WAIT * float(np.median(works)), resolution)
    return bool(2 * (waits > long).sum() >= waits.size)


def _stage(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Seconds of a stage as seen from here, else as the service reports them."""
    own = _numbers(frame, f"stage_{name}_s")
    return own if own.size else _numbers(frame, f"{name}_s")


def _column(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """All values of a column, NaN where there is none."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return np.asarray(pd.to_numeric(frame[name]).to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _numbers(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """The values that are there."""
    values = _column(frame, name)
    return values[np.isfinite(values)]
