"""How well each metric agrees with the checker, which knows the truth of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from kreabench.analysis.estimates import Bounds, Estimate, prompt_mean
from kreabench.metrics.table import row_of
from miniature_curves import acceleration_run, guidance_run, steps_run
from miniature_runs import ACCURACY, METRIC, pictures
from miniature_tables import Table, percent, with_interval

if TYPE_CHECKING:
    from kreabench import Run
    from kreabench.core.specs import MetricSpec
    from miniature_runs import Bench

FIDELITY = ("psnr", "ssim")
RESAMPLES = 400
Floats = NDArray[np.float64]


def agreement_tables(bench: Bench) -> list[Table]:
    """All metrics of a picture, over the settings of the curves."""
    runs = [steps_run(bench), guidance_run(bench), acceleration_run(bench)]
    rows = _shared([pictures(run).assign(run=number) for number, run in enumerate(runs)])
    rows = rows.drop_duplicates(["setting_id", "prompt_id", "seed", "image_index"])
    metrics = _metrics(runs[0])
    lines = []
    for spec, sign in metrics:
        line = _line(rows[rows["run"] == 0] if spec.name in FIDELITY else rows, spec.name, sign)
        lines += [line] if line is not None else []
    return [
        Table(
            title="How metrics agree with the checker",
            note="Over settings: Spearman's rank correlation of a metric's mean with mean accuracy, over all "
            "settings of steps, guidance and acceleration; within captions: the same over the pictures of one "
            "caption, averaged over captions. The last column: of two pictures of one caption of which the checker "
            "calls one better, how often the metric prefers it (ties count half; 50 % is chance). Of metrics "
            "without a better side more is taken as better. PSNR and SSIM are those to 28 steps, over the settings "
            "of steps alone: to other references they would be other numbers. 95 % intervals over captions.",
            header=("metric", "settings", "over settings", "within captions", "prefers the better, %"),
            rows=tuple(sorted(lines, key=lambda line: line[0])),
        )
    ]


def _shared(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows of the captions and seeds that every table has: means over others would not rank settings."""
    keys = ["prompt_id", "seed"]
    shared = set.intersection(*(set(zip(*(table[key] for key in keys), strict=True)) for table in tables))
    rows = pd.concat(tables, ignore_index=True)
    known = np.array([pair in shared for pair in zip(*(rows[key] for key in keys), strict=True)])
    return rows[known & rows[ACCURACY].notna()]


def _metrics(run: Run) -> list[tuple[MetricSpec, float]]:
    """Each metric of a picture but the checker, and the sign that makes more better."""
    found = []
    for spec in run.info.experiment.metrics:
        row = row_of(spec)
        if row is not None and row.per == "image" and spec.name != METRIC:
            found.append((spec, -1.0 if row.better == "lower" else 1.0))
    return found


def _line(rows: pd.DataFrame, metric: str, sign: float) -> tuple[str, ...] | None:
    column = f"score_{metric}"
    if column not in rows:
        return None
    values = rows[column].to_numpy(dtype=float, na_value=np.nan)
    known = rows[np.isfinite(values)].assign(value=sign * values[np.isfinite(values)])
    if known.empty:
        return None
    within, prefers = [], []
    for _, part in known.groupby("prompt_id"):
        truth, value = part[ACCURACY].to_numpy(dtype=float), part["value"].to_numpy(dtype=float)
        within.append(rank_correlation(truth, value))
        prefers.append(preference(truth, value))
    name = metric if sign > 0 else f"{metric} (less is better)"
    return (
        name,
        f"{known['setting_id'].nunique()}",
        with_interval(_over_settings(known)),
        with_interval(_over_prompts(within, (-1.0, 1.0))),
        percent(_over_prompts(prefers, (0.0, 1.0))),
    )


def rank_correlation(truth: Floats, value: Floats) -> float:
    """Spearman's; NaN where a side does not vary."""
    known = np.isfinite(truth) & np.isfinite(value)
    truth, value = truth[known], value[known]
    if truth.size < 3 or not np.ptp(truth) or not np.ptp(value):
        return float("nan")
    return float(np.corrcoef(stats.rankdata(truth), stats.rankdata(value))[0, 1])


def preference(truth: Floats, value: Floats) -> float:
    """Share of pairs that differ in truth of which the metric prefers the better one; NaN without such a pair."""
    better = np.sign(truth[:, None] - truth[None])
    own = np.sign(value[:, None] - value[None])
    pairs = better > 0
    return float((0.5 + 0.5 * own[pairs]).mean()) if pairs.any() else float("nan")


def _over_prompts(values: list[float], bounds: Bounds) -> Estimate | None:
    known = [value for value in values if np.isfinite(value)]
    return prompt_mean(known, [str(number) for number in range(len(known))], bounds=bounds)


def _over_settings(rows: pd.DataFrame) -> Estimate | None:
    """Rank correlation of means, with the percentile interval of resampled prompts."""
    truth = rows.pivot_table(index="prompt_id", columns="setting_id", values=ACCURACY)
    value = rows.pivot_table(index="prompt_id", columns="setting_id", values="value")
    if truth.shape[1] < 3:
        return None
    point = rank_correlation(truth.mean().to_numpy(), value.mean().to_numpy())
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        taken = rng.integers(0, len(truth), len(truth))
        draws.append(rank_correlation(truth.iloc[taken].mean().to_numpy(), value.iloc[taken].mean().to_numpy()))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value=point, low=float(low), high=float(high), n=len(truth))
