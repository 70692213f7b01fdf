"""What a look sees: the table of samples → scores and costs, picture by picture and request by request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kreabench.analysis.paired import PAIR_KEYS, Floats, Ints
from kreabench.analysis.race_evidence import LookData
from kreabench.analysis.racing import bounded_costs
from kreabench.analysis.scores import delivered_images, finite_scores
from kreabench.core.planned import Setting
from kreabench.core.policies import COSTS, Cost
from kreabench.core.questions import QuestionSpec
from kreabench.core.specs import MetricSpec
from kreabench.metrics.table import row_of

DAY_S = 86_400.0


def metrics_of(question: QuestionSpec, metrics: Sequence[MetricSpec]) -> tuple[MetricSpec, ...]:
    """Those of `metrics` that the question needs."""
    names = {loss.metric for loss in question.max_quality_loss}
    if question.objective == "quality":
        names.add(str(question.quality_metric))
    return tuple(spec for spec in metrics if spec.name in names)


def look_data(
    table: pd.DataFrame,
    settings: Sequence[Setting],
    prompts: Sequence[str],
    metrics: Sequence[MetricSpec],
    question: QuestionSpec,
) -> LookData:
    """The samples of `settings` and `prompts` alone. `table` is the run's (`rundir.table`)."""
    ids = [setting.id for setting in settings]
    position = {setting_id: number for number, setting_id in enumerate(ids)}
    codes = {prompt_id: number for number, prompt_id in enumerate(prompts)}
    rows = table[table["setting_id"].isin(ids) & table["prompt_id"].isin(list(codes))]
    images = delivered_images(rows)
    requests = rows[rows["status"] == "ok"].drop_duplicates("request_id")
    which, pictures = _numbered(images, PAIR_KEYS)
    called, calls = _numbered(requests, PAIR_KEYS[:-1])
    return LookData(
        references=np.array([position.get(str(setting.reference_id), -1) for setting in settings], dtype=np.int64),
        prompts=len(prompts),
        picture_prompts=_codes(pictures, codes),
        picture_draws=_ints(pictures["seed"] + pictures["image_index"]),
        scores={
            spec.name: _spread(_turned(images, spec), _rows(images, position), which, (len(ids), len(pictures)))
            for spec in metrics
        },
        request_prompts=_codes(calls, codes),
        costs={
            cost: _spread(_cost(requests, cost), _rows(requests, position), called, (len(ids), len(calls)))
            for cost in COSTS
        },
        bounds={cost: np.array([_bound(question, cost, s) for s in settings]) for cost in bounded_costs(question)},
    )


def _numbered(rows: pd.DataFrame, keys: Sequence[str]) -> tuple[Ints, pd.DataFrame]:
    """Number of each row's key, and the keys in that order."""
    numbers = rows.groupby(list(keys), sort=False).ngroup()
    return _ints(numbers), rows[list(keys)].drop_duplicates()


def _codes(keys: pd.DataFrame, codes: Mapping[str, int]) -> Ints:
    return _ints(keys["prompt_id"].map(codes))


def _rows(samples: pd.DataFrame, position: Mapping[str, int]) -> Ints:
    return _ints(samples["setting_id"].map(position))


def _spread(values: Floats, settings: Ints, which: Ints, shape: tuple[int, int]) -> Floats:
    """A row a setting, NaN where it has no value."""
    result = np.full(shape, np.nan)
    result[settings, which] = values
    return result


def _turned(images: pd.DataFrame, spec: MetricSpec) -> Floats:
    """Scores, so that more is better."""
    row = row_of(spec)
    return finite_scores(images, spec) * (-1.0 if row is not None and row.better == "lower" else 1.0)


def _cost(requests: pd.DataFrame, cost: Cost) -> Floats:
    """One value a request, NaN where there is none that counts."""
    if cost == "peak_memory":
        return _memory(requests)
    timed = requests["timing_valid"].isin([True]).to_numpy(dtype=bool)
    if cost in ("latency", "energy"):
        return np.where(timed, _floats(requests, "end_to_end_s" if cost == "latency" else "energy_j"), np.nan)
    by_the_second = (requests["usd_basis"] == "device_hour").to_numpy(dtype=bool)
    usd = _floats(requests, "usd") / _floats(requests, "num_images")
    return np.where(timed | ~by_the_second, usd, np.nan)


def _memory(requests: pd.DataFrame) -> Floats:
    """Allocated on the device, or resident on the host where there is no device; a service does not tell."""
    allocated, resident = _floats(requests, "peak_allocated_bytes"), _floats(requests, "peak_rss_bytes")
    local = requests["service_request_id"].isna().to_numpy(dtype=bool)
    return np.where(local, allocated if np.isfinite(allocated).any() else resident, np.nan)


def _floats(rows: pd.DataFrame, column: str) -> Floats:
    return np.asarray(pd.to_numeric(rows[column]).to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _ints(values: pd.Series) -> Ints:
    return np.asarray(values.to_numpy(), dtype=np.int64)


def _bound(question: QuestionSpec, cost: Cost, setting: Setting) -> float:
    most = {
        "latency": question.max_latency_s,
        "usd_per_image": question.max_usd_per_image,
        "peak_memory": question.max_peak_memory_bytes,
        "energy": question.max_energy_j,
    }[cost]
    bound = np.inf if most is None else most
    if cost == "latency" and question.min_images_per_day is not None:
        at_once = setting.concurrency * setting.num_images
        bound = min(bound, DAY_S * at_once / question.min_images_per_day)
    return float(bound)
