"""One summary a setting: how long, how much memory, how many dollars, how good, and on how many samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kreabench.analysis.dependence import dependent_median, dependent_quantile
from kreabench.analysis.device import DeviceSummary, summarise_device
from kreabench.analysis.estimates import UNBOUNDED, Bounds, Estimate, latency_quantile, mean_of_coded, median
from kreabench.analysis.score_columns import ScoreColumn
from kreabench.core.planned import Plan, Setting
from kreabench.core.specs import MetricSpec

PERCENTILES = (0.90, 0.95, 0.99)
"""Computed wherever there are enough timings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageMean:
    """Where the time of a setting goes. Means, as they alone add up: those of all stages are the mean of the whole."""

    name: str
    """Stage as the back end names it; `unexplained` is the residual."""
    mean_s: float
    """Over all samples timed: one without the stage spent no time in it."""
    n: int
    """Samples that had the stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PeakMemory:
    """Peak memory over the delivered samples of a local setting, in bytes."""

    kind: Literal["allocated", "resident"]
    """`allocated`: by torch on the device; `resident`: of the worker process on the host, where there is no device."""
    max_bytes: int
    median_bytes: float
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CostSummary:
    """Dollars of a setting. Warm-ups belong to no sample and are not in here."""

    usd_per_image: float | None
    """Dollars of the priced, delivered samples over their pictures; None when none has a price. Where dollars are
    seconds of a device, of the samples fit for timing, as the latency beside it, if there are any."""
    priced_images: int
    """Pictures behind `usd_per_image`."""
    usd: float | None
    """All samples of the setting, failed ones included; None when none has a price."""
    usd_failed: float | None
    """What failed samples cost, where that is known."""
    bases: tuple[str, ...]
    """Where the dollars come from: billed, price_list, device_hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSummary:
    """One metric over the delivered pictures of a setting; every picture is in exactly one of the counts."""

    spec: MetricSpec
    mean: Estimate | None
    """Over prompts, of the pictures with a finite score; None when there are none."""
    scored: int
    """Pictures with a finite score."""
    infinite: int
    """Pictures identical to their reference; not in the mean."""
    not_applicable: int
    failed: int
    unscored: int
    """Pictures that have not been scored yet."""
    reasons: tuple[str, ...]
    """Why scores are missing (not applicable, failed), commonest first."""
    truncated: int
    """Pictures whose prompt was cut to fit the metric's text encoder."""
    untrained: bool
    """The metric's own weights are random."""
    notes: tuple[tuple[str, int], ...] = ()
    """What a reader of the values must know and how many pictures it holds for, commonest first."""

    @property
    def name(self) -> str:
        """As configured."""
        return self.spec.name


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingSummary:
    """What happened at one setting."""

    setting: Setting
    requested: int | None
    """Requests planned; None when the caller did not say."""
    ok: int
    """Requests that delivered."""
    failed: int
    """Requests that failed for good."""
    images: int
    """Pictures delivered."""
    degenerate: Mapping[str, int]
    """Of these, how many are no pictures, by kind (a word of `records.DEGENERATE`), commonest first."""
    latency: Estimate | None
    """Median end-to-end seconds, one value a request, over samples whose timing is valid."""
    percentiles: Mapping[float, Estimate]
    """p → end-to-end seconds, only where there are enough timings."""
    stages: tuple[StageMean, ...]
    """Over the same samples as `latency`, in order of occurrence."""
    stage_resolution_s: float | None
    """How coarsely the stages of a hosted setting could be seen at worst; None for local."""
    memory: PeakMemory | None
    """None for hosted settings, whose service does not tell."""
    cost: CostSummary
    metrics: tuple[MetricSummary, ...]
    """In the order of the metrics asked for."""
    device: DeviceSummary | None = None
    """None where nothing but time and host memory was measured."""

    @property
    def is_reference(self) -> bool:
        """Whether fidelity is measured against this setting."""
        return self.setting.reference_id == self.setting.id


def summarise(
    table: pd.DataFrame,
    settings: Sequence[Setting],
    metrics: Sequence[MetricSpec],
    *,
    requested: Mapping[str, int] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
) -> tuple[SettingSummary, ...]:
    """One summary for each of `settings`, in order, also for those without a sample.

    `table` is the table of samples (`rundir.table`), one row a picture; `requested` maps setting ids to the number
    of planned requests, `bounds` names of metrics to the range of their values.
    """
    table = _with_plain_texts(table)
    scores = [column for column in map(str, table.columns) if column.startswith("score_")]
    requests = _by_setting(table.drop(columns=scores).drop_duplicates("request_id"))
    delivered = table[(table["status"] == "ok") & table["image_index"].notna()]
    images = _by_setting(delivered[_OF_IMAGES].assign(row=np.arange(len(delivered))))
    prompts = np.unique(delivered["prompt_id"].to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    columns = [
        (prompts, spec, ScoreColumn(delivered, spec), (bounds or {}).get(spec.name, UNBOUNDED)) for spec in metrics
    ]

    def summary(setting: Setting) -> SettingSummary:
        mine = images(setting.id)
        rows = mine["row"].to_numpy()
        return _summarise_one(
            requests(setting.id),
            mine,
            setting,
            tuple(_metric(rows, *column) for column in columns),
            requested=requested.get(setting.id) if requested else None,
        )

    return tuple(map(summary, settings))


_OF_IMAGES = ["request_id", "setting_id", "prompt_id", "degenerate"]
"""What is asked of a picture beside its scores."""


def _with_plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Without what no summary needs, and with texts as Python has them: arrow's are slow to take apart."""
    kept = table.drop(columns=["prompt", "image_path", "image_sha256", "error_message"], errors="ignore")
    texts = {column: object for column in kept.columns if isinstance(kept[column].dtype, pd.StringDtype)}
    return kept.astype(texts)


def _by_setting(rows: pd.DataFrame) -> Callable[[str], pd.DataFrame]:
    """The rows of a setting; none where it has none."""
    parts = {str(key): part for key, part in rows.groupby("setting_id", sort=False)}
    return lambda setting_id: parts.get(setting_id, rows.iloc[:0])


def requested_by_setting(plan: Plan) -> dict[str, int]:
    """Setting id → number of planned requests."""
    return dict(Counter(request.setting_id for group in plan.groups for request in group.requests))


def _summarise_one(
    samples: pd.DataFrame,
    images: pd.DataFrame,
    setting: Setting,
    metrics: tuple[MetricSummary, ...],
    *,
    requested: int | None,
) -> SettingSummary:
    delivered = samples[samples["status"] == "ok"]
    timed = delivered[delivered["timing_valid"].isin([True])]
    seconds = _numbers(timed, "end_to_end_s")
    # The table has them in the order of the plan, and so of time.
    middle, at = (dependent_median, dependent_quantile) if setting.may_wait else (median, latency_quantile)
    quantiles = {p: at(seconds, p) for p in PERCENTILES}
    return SettingSummary(
        setting=setting,
        requested=requested,
        ok=len(delivered),
        failed=int((samples["status"] == "failed").sum()),
        images=len(images),
        degenerate=dict(Counter(map(str, images["degenerate"].dropna())).most_common()),
        latency=middle(seconds),
        percentiles={p: estimate for p, estimate in quantiles.items() if estimate is not None},
        stages=_stages(timed),
        stage_resolution_s=max(_numbers(timed, "resolution_s").tolist(), default=None),
        memory=_memory(delivered),
        cost=_cost(samples, delivered, images),
        metrics=metrics,
        device=summarise_device(delivered, timed),
    )


def _stages(timed: pd.DataFrame) -> tuple[StageMean, ...]:
    columns = {
        column.removeprefix("stage_").removesuffix("_s"): column
        for column in map(str, timed.columns)
        if column.startswith("stage_") and column.endswith("_s")
    }
    columns["unexplained"] = "residual_s"
    values = {name: _numbers(timed, column) for name, column in columns.items()}
    return tuple(
        StageMean(name=name, mean_s=float(x.sum()) / len(timed), n=int(x.size)) for name, x in values.items() if x.size
    )


def _memory(delivered: pd.DataFrame) -> PeakMemory | None:
    """Hosted samples are left out: the process that waits for them holds no model."""
    local = delivered[delivered["service_request_id"].isna()]
    kinds: tuple[tuple[Literal["allocated", "resident"], str], ...] = (
        ("allocated", "peak_allocated_bytes"),
        ("resident", "peak_rss_bytes"),
    )
    for kind, column in kinds:
        x = _numbers(local, column)
        if x.size:
            return PeakMemory(kind=kind, max_bytes=int(x.max()), median_bytes=float(np.median(x)), n=int(x.size))
    return None


def _cost(samples: pd.DataFrame, delivered: pd.DataFrame, images: pd.DataFrame) -> CostSummary:
    priced = _priced(delivered)
    priced_images = int(images["request_id"].isin(priced["request_id"]).sum())
    everything, failures = _numbers(samples, "usd"), _numbers(samples[samples["status"] == "failed"], "usd")
    return CostSummary(
        usd_per_image=float(_numbers(priced, "usd").sum()) / priced_images if priced_images else None,
        priced_images=priced_images,
        usd=float(everything.sum()) if everything.size else None,
        usd_failed=float(failures.sum()) if failures.size else None,
        bases=tuple(sorted({str(basis) for basis in samples.loc[samples["usd"].notna(), "usd_basis"]})),
    )


def _priced(delivered: pd.DataFrame) -> pd.DataFrame:
    """Those that say what a picture costs: a first call on a device is paid by the second, but only once."""
    priced = delivered[delivered["usd"].notna()]
    timed = priced[priced["timing_valid"].isin([True])]
    by_the_second = (priced["usd_basis"] == "device_hour").all()
    return timed if by_the_second and len(timed) else priced


def _metric(
    rows: NDArray[np.intp], prompts: NDArray[np.intp], spec: MetricSpec, scores: ScoreColumn, bounds: Bounds
) -> MetricSummary:
    """Of the pictures in `rows`; `prompts` has a code for the prompt of every picture."""
    counts = Counter(scores.status[rows].tolist())
    finite = rows[scores.finite[rows]]
    return MetricSummary(
        spec=spec,
        mean=mean_of_coded(scores.value[finite], prompts[finite], bounds=bounds) if finite.size else None,
        scored=finite.size,
        infinite=counts["infinite"],
        not_applicable=counts["not_applicable"],
        failed=counts["failed"] + counts["ok"] - finite.size,
        unscored=counts[None],
        reasons=scores.reasons(rows),
        truncated=int(scores.truncated[rows].sum()),
        untrained=bool(scores.untrained[rows].any()),
        notes=scores.notes(rows),
    )


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return np.asarray(pd.to_numeric(frame[column]).to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """The values that are there."""
    values = _floats(frame, column)
    return values[np.isfinite(values)]
