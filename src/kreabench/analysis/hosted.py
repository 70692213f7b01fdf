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

_AT_THE_LIMIT = 0.9
"""Of the most requests ever worked on at once: where a limit holds, that many are worked on nearly all the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedSummary:
    """One hosted target at one number of requests in flight."""

    target: str
    concurrency: int
    requests: int
    """Delivered."""
    in_flight: int | None
    """Most requests seen under way at once."""
    running: int | None
    """Most of them that the service was seen to work on at once."""
    limit: int | None
    """`running`, where more were under way all the time, had to wait, and yet never more were worked on."""
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
        in_flight=int(in_flight.max()) if in_flight.size else None,
        running=int(running.max()) if running.size else None,
        limit=_limit(delivered),
        runners=int(delivered["runner"].nunique()),
        first_on_runner=int(delivered["first_on_runner"].isin([True]).sum()),
        retried=int(again.sum()),
        rerouted=int(delivered["rerouted"].isin([True]).sum()),
        recovered=int(delivered["recovered"].isin([True]).sum()),
        flagged=int(images["nsfw"].isin([True]).sum()),
        black=int(images["degenerate"].notna().sum()),
        wrong_size=int((samples["error_type"] == "wrong_size").sum()),
        observed_by=tuple(observed.most_common()),
    )


def _limit(delivered: pd.DataFrame) -> int | None:
    """How many requests the service works on at once for this account; None where nothing shows a limit."""
    seen = delivered[delivered["running"].notna() & delivered["in_flight"].notna()]
    running, in_flight = _numbers(seen, "running"), _numbers(seen, "in_flight")
    if not running.size or running.max() >= in_flight.max():
        return None
    most = int(running.max())
    crowded = seen[(in_flight > most).tolist()]
    waits, works = _stage(crowded, "queue"), _stage(crowded, "inference")
    if not waits.size or not works.size:
        return None
    resolution = float(_numbers(crowded, "resolution_s").max(initial=0.0))
    waited = waits > max(_LONG_WAIT * float(np.median(works)), 2 * resolution)
    at_the_limit = float(np.median(_numbers(crowded, "running"))) >= _AT_THE_LIMIT * most
    return most if 2 * waited.sum() >= waits.size and at_the_limit else None


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
