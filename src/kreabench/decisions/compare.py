"""Makes a `Comparison`: finds partners for settings and pictures, and infers per metric, cost and mishap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kreabench.analysis.estimates import CONFIDENCE, Estimate, median
from kreabench.analysis.paired import PAIR_KEYS, Floats, PairedScores, pair_scores
from kreabench.analysis.scores import delivered_images, untrained_scores
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Setting
from kreabench.core.policies import COSTS, RATES, Cost, Rate
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparability import NotComparable, mismatches
from kreabench.decisions.comparison import (
    Comparison,
    CostComparison,
    MetricComparison,
    RateComparison,
    SettingComparison,
    UnpairedRow,
)
from kreabench.decisions.fidelity import with_fidelity
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of


def compare_sides(base: Side, candidate: Side, *, force: bool = False) -> Comparison:
    """Every setting of `candidate` with its partner in `base`: equal on every axis, or the only two there are.

    Raises NotComparable where `comparability` finds a mismatch and `force` is not set, ConfigError where no setting
    has a partner or no picture has.
    """
    differing = mismatches(base, candidate)
    if differing and not force:
        raise NotComparable(differing)
    partners = _partners(base, candidate)
    if not partners:
        raise ConfigError(
            [
                Problem(
                    key=candidate.name,
                    found="; ".join(setting.label for setting in candidate.settings[:4]),
                    expected=f"a setting of {base.name}: " + "; ".join(s.label for s in base.settings[:4]),
                    remedy="Name one setting of each: RUN:acceleration=high,steps=8.",
                )
            ]
        )
    taken = {setting.id for pair in partners for setting in pair}
    return Comparison(
        base=base,
        candidate=candidate,
        within_run=False,
        forced=differing,
        settings=_compare(base, candidate, partners),
        base_only=tuple(setting for setting in base.settings if setting.id not in taken),
        candidate_only=tuple(setting for setting in candidate.settings if setting.id not in taken),
        family=_family(len(partners)),
    )


def compare_with_reference(side: Side) -> Comparison:
    """Every setting of one run with its reference. Raises ConfigError where no setting has one."""
    known = {setting.id: setting for setting in side.settings}
    partners = [
        (known[str(setting.reference_id)], setting)
        for setting in side.settings
        if setting.reference_id != setting.id and setting.reference_id in known
    ]
    if not partners:
        found = "no setting with another one as its reference"
        raise ConfigError([Problem(key=side.name, found=found, expected="at least one", remedy="Name two runs.")])
    taken = {setting.id for pair in partners for setting in pair}
    return Comparison(
        base=side,
        candidate=side,
        within_run=True,
        forced=(),
        settings=with_fidelity(side, _compare(side, side, partners)),
        base_only=(),
        candidate_only=tuple(setting for setting in side.settings if setting.id not in taken),
        family=_family(len(partners)),
    )


def _family(number: int) -> str:
    return f"all metrics of {number} pair{'s' if number > 1 else ''} of settings"


def _partners(base: Side, candidate: Side) -> list[tuple[Setting, Setting]]:
    if len(base.settings) == len(candidate.settings) == 1:
        return [(base.settings[0], candidate.settings[0])]
    several = max(len({setting.target for setting in side.settings}) for side in (base, candidate)) > 1
    by_axes = {_axes(setting, several): setting for setting in base.settings}
    pairs = [(by_axes.get(_axes(setting, several)), setting) for setting in candidate.settings]
    return [(partner, setting) for partner, setting in pairs if partner is not None]


def _axes(setting: Setting, with_target: bool) -> tuple[Hashable, ...]:
    named = replace(setting, id="", load_key="", reference_id=None, target=setting.target if with_target else "")
    return (
        named.target, named.task, named.acceleration, named.steps, named.guidance, named.width, named.height,
        named.num_images, named.output_format, named.strength, named.concurrency,
    )  # fmt: skip


def _compare(base: Side, candidate: Side, partners: Sequence[tuple[Setting, Setting]]) -> tuple[SettingComparison, ...]:
    rows = [{str(key): part for key, part in side.table.groupby("setting_id")} for side in (base, candidate)]
    empty = [side.table.iloc[:0] for side in (base, candidate)]
    found = [
        _compare_two(here, there, rows[0].get(here.id, empty[0]), rows[1].get(there.id, empty[1]), base, candidate)
        for here, there in partners
    ]
    return _adjusted(found)


def _compare_two(
    here: Setting, there: Setting, base_rows: pd.DataFrame, candidate_rows: pd.DataFrame, base: Side, candidate: Side
) -> SettingComparison:
    base_images, candidate_images = delivered_images(base_rows), delivered_images(candidate_rows)
    joined = _numbered(base_images).merge(
        _numbered(candidate_images), on=PAIR_KEYS, how="outer", suffixes=("", "_there"), indicator=True, sort=True
    )
    both = joined[joined["_merge"] == "both"]
    same_size = (both["size"] == both["size_there"]).to_numpy(dtype=bool)
    return SettingComparison(
        base=here,
        candidate=there,
        pairs=len(both),
        identical=int((both["image_sha256"] == both["image_sha256_there"]).sum()),
        resized=int((~same_size).sum()),
        unpaired=tuple(_unpaired(joined)),
        metrics=tuple(
            _metric(spec, base_images, candidate_images, both[same_size], base, candidate)
            for spec in base.metrics
            if spec.name in {other.name for other in candidate.metrics}
        ),
        costs=tuple(_cost(quantity, base_rows, candidate_rows) for quantity in COSTS),
        rates=tuple(_rate(quantity, base_rows, candidate_rows) for quantity in RATES),
    )


def _numbered(images: pd.DataFrame) -> pd.DataFrame:
    size = images["image_width"].astype("int64") * 2**32 + images["image_height"].astype("int64")
    return images[[*PAIR_KEYS, "image_sha256"]].assign(row=np.arange(len(images)), size=size)


def _unpaired(joined: pd.DataFrame) -> list[UnpairedRow]:
    names = {"left_only": "base", "right_only": "candidate"}
    return [
        UnpairedRow(
            side="base" if names[row["_merge"]] == "base" else "candidate",
            prompt_id=str(row["prompt_id"]),
            seed=int(row["seed"]),
            repeat=int(row["repeat"]),
            image_index=int(row["image_index"]),
            reason="the other side has no such picture",
        )
        for _, row in joined[joined["_merge"] != "both"].iterrows()
    ]


def _metric(
    spec: MetricSpec,
    base_images: pd.DataFrame,
    candidate_images: pd.DataFrame,
    both: pd.DataFrame,
    base: Side,
    candidate: Side,
) -> MetricComparison:
    row = row_of(spec)
    here = _scores(base_images, spec)[both["row"].to_numpy(dtype=int)]
    there = _scores(candidate_images, spec)[both["row_there"].to_numpy(dtype=int)]
    scores = pair_scores(here, there, both["prompt_id"].to_numpy(dtype=object))
    obstacle = _obstacle(scores)
    d = scores.difference
    better = row.better if row else "higher"
    test = stats.ttest_1samp(d, 0.0) if not obstacle else None
    ends = test.confidence_interval(CONFIDENCE) if test else None
    sd = float(np.std(d, ddof=1)) if d.size > 1 else 0.0
    sign = {"higher": 1.0, "lower": -1.0, "reference": 0.0}[better]
    return MetricComparison(
        spec=spec,
        unit=row.unit if row else "",
        better=better,
        scores=scores,
        difference=None
        if not d.size
        else Estimate(
            value=float(d.mean()),
            low=float(ends.low) if ends else None,
            high=float(ends.high) if ends else None,
            n=int(d.size),
        ),
        effect_size=float(d.mean() / sd) if sd else None,
        share_better=float(((np.sign(d) * sign + 1) / 2).mean()) if d.size and sign else None,
        p_value=float(test.pvalue) if test else None,
        p_adjusted=None,
        seed_sd=None,
        untrained=bool(untrained_scores(base_images, spec).any() or untrained_scores(candidate_images, spec).any()),
        obstacle=obstacle,
    )


def _obstacle(scores: PairedScores) -> str:
    if not scores.prompts:
        return "no picture has a score on both sides"
    if len(scores.prompts) < 2:
        return "one prompt alone shows no spread"
    if scores.blind:
        return "all scores are equal: the metric saw nothing"
    return "all differences are equal" if float(np.ptp(scores.difference)) == 0.0 else ""


def _scores(images: pd.DataFrame, spec: MetricSpec) -> Floats:
    """One value a row: NaN without a score, infinite where the status says so."""
    column = f"score_{spec.name}"
    if column not in images.columns:
        return np.full(len(images), np.nan)
    status = images[f"{column}_status"]
    values = pd.to_numeric(images[column]).to_numpy(dtype=float, na_value=np.nan)
    ok = status.isin(["ok"]).to_numpy(dtype=bool) & np.isfinite(values)
    return np.where(ok, values, np.where(status.isin(["infinite"]).to_numpy(dtype=bool), np.inf, np.nan))


def _cost(quantity: Cost, base_rows: pd.DataFrame, candidate_rows: pd.DataFrame) -> CostComparison:
    units = {"latency": "s", "peak_memory": "bytes", "energy": "J", "usd_per_image": "USD"}
    here, there = _cost_values(quantity, base_rows), _cost_values(quantity, candidate_rows)
    low, high = median(here), median(there)
    ratio = high.value / low.value if low and high and low.value else None
    return CostComparison(
        quantity=quantity,
        unit=units[quantity],
        base=low.value if low else None,
        candidate=high.value if high else None,
        ratio=None if ratio is None else Estimate(value=ratio, low=None, high=None, n=min(here.size, there.size)),
        base_n=int(here.size),
        candidate_n=int(there.size),
        obstacle="" if ratio is not None else "not measured on both sides",
    )


def _cost_values(quantity: Cost, rows: pd.DataFrame) -> Floats:
    samples = rows.drop_duplicates("request_id")
    samples = samples[samples["status"] == "ok"]
    if quantity == "latency":
        samples = samples[samples["timing_valid"].isin([True])]
    columns = {"latency": "end_to_end_s", "peak_memory": "peak_allocated_bytes", "energy": "energy_j"}
    column = columns.get(quantity, "usd")
    values: NDArray[np.float64] = pd.to_numeric(samples[column]).to_numpy(dtype=float, na_value=np.nan)
    return values[np.isfinite(values)]


def _rate(quantity: Rate, base_rows: pd.DataFrame, candidate_rows: pd.DataFrame) -> RateComparison:
    counts = [_count(quantity, rows) for rows in (base_rows, candidate_rows)]
    (base_count, base_n), (candidate_count, candidate_n) = counts
    share = candidate_count / candidate_n - base_count / base_n if base_n and candidate_n else None
    return RateComparison(
        quantity=quantity,
        base_count=base_count,
        base_n=base_n,
        candidate_count=candidate_count,
        candidate_n=candidate_n,
        difference=None if share is None else Estimate(value=share, low=None, high=None, n=min(base_n, candidate_n)),
        obstacle="" if share is not None else "not measured on both sides",
    )


def _count(quantity: Rate, rows: pd.DataFrame) -> tuple[int, int]:
    if quantity == "failure_rate":
        status = Counter(rows.drop_duplicates("request_id")["status"])
        return status["failed"], status["failed"] + status["ok"]
    images = delivered_images(rows)
    if quantity == "nsfw_rate":
        looked = images["nsfw"].notna()
        return int(images.loc[looked, "nsfw"].isin([True]).sum()), int(looked.sum())
    return int(images["degenerate"].notna().sum()), len(images)


def _adjusted(found: Sequence[SettingComparison]) -> tuple[SettingComparison, ...]:
    """With Holm over every metric of every pair of settings."""
    p = [metric.p_value for setting in found for metric in setting.metrics if metric.p_value is not None]
    if not p:
        return tuple(found)
    corrected = iter(multipletests(p, method="holm")[1])
    return tuple(
        replace(
            setting,
            metrics=tuple(
                metric if metric.p_value is None else replace(metric, p_adjusted=float(next(corrected)))
                for metric in setting.metrics
            ),
        )
        for setting in found
    )
