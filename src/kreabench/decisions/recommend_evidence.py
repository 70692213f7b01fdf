"""What a recommendation rests on: the costs of each setting, and its scores against its reference, prompt by prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kreabench.analysis.estimates import median
from kreabench.analysis.noise import SeedNoise
from kreabench.analysis.paired import Floats, Ints, PairedScores
from kreabench.analysis.scores import delivered_images, finite_scores, untrained_scores
from kreabench.core.planned import Setting
from kreabench.core.policies import Cost
from kreabench.core.specs import MetricSpec
from kreabench.decisions.columns import Columns, key_space
from kreabench.decisions.compare import compare_with_reference
from kreabench.decisions.comparison import MetricComparison, SettingComparison
from kreabench.decisions.costs import Measured, measured
from kreabench.decisions.sides import Side
from kreabench.metrics.table import has_direction, row_of

MAX_WITHOUT_PARTNER = 0.1
"""Share of pictures without a partner, or of pairs without scores, above which those that are left are no fair
choice."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QualitySamples:
    """One metric of one setting, oriented: positive differences are better than the reference."""

    own: Floats
    """(prompts of the contest,) mean score of the prompt's pictures, in the metric's unit; NaN without one."""
    difference: Floats
    """(paired prompts,) setting − reference times the metric's sign; empty without a reference of its own."""
    prompts: Ints
    """(paired prompts,) index into `Contest.prompts`."""
    names: tuple[str, ...]
    """(paired prompts,) their ids."""
    base: Floats
    """(paired prompts,) mean of the reference's scores, in the metric's unit; NaN without a finite one."""
    noise: SeedNoise | None
    """Of the reference's pictures from seed to seed; None where nothing is known of it."""
    obstacle: str
    """Why nothing can be inferred; empty where something can."""
    identical: bool = False
    """Every picture is the reference's, file for file."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Entrant:
    """One setting."""

    setting: Setting
    hosted: bool
    costs: Mapping[Cost, Measured]
    """Indices of prompts are those of `Contest.prompts`."""
    quality: Mapping[str, QualitySamples]
    """Metric → its scores, for metrics of the contest."""

    @property
    def is_reference(self) -> bool:
        return self.setting.reference_id == self.setting.id


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MetricFacts:
    """What is said of a metric beside its values."""

    name: str
    unit: str
    higher_is_better: bool
    untrained: bool

    @property
    def sign(self) -> float:
        return 1.0 if self.higher_is_better else -1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contest:
    """All settings that are measured, and those among them that may be the answer."""

    prompts: tuple[str, ...]
    metrics: Mapping[str, MetricFacts]
    """Those that a loss can be judged by: with a better side, and without need of a reference."""
    entrants: tuple[Entrant, ...]
    asked: frozenset[str]
    """Ids of the settings that may be the answer; the others are here as their references."""
    dropped: int = 0
    """Settings that a race dropped by their own scores: they were tested, and what is shown of those that are left,
    because they looked good, is corrected for them too. Those dropped for costs were not tested, as nothing will be
    claimed of them, and their own scores did not decide it."""

    def of(self, setting_id: str | None) -> Entrant | None:
        """The entrant of that setting."""
        return next((entrant for entrant in self.entrants if entrant.setting.id == setting_id), None)


def judged_metrics(side: Side) -> tuple[MetricSpec, ...]:
    """Metrics of a run that a loss of quality can be judged by, in the order of the run."""
    rows = ((spec, row_of(spec)) for spec in side.metrics if has_direction(spec))
    return tuple(spec for spec, row in rows if row is None or not row.needs_reference)


def contest_of(
    side: Side,
    asked: Sequence[Setting],
    hosted: Mapping[str, bool],
    compared: Sequence[SettingComparison] | None = None,
) -> Contest:
    """The contest of all settings of `side`, of which those in `asked` may be the answer.

    `hosted` says of each target whether it is. `compared`: all settings beside their references, where that was made
    already (`compare_with_reference`).
    """
    specs = judged_metrics(side)
    space = key_space(side.table)
    columns = Columns(side.table, specs, space)
    prompts = tuple(map(str, space.prompts))
    codes = {name: number for number, name in enumerate(prompts)}
    beside = {one.candidate.id: one for one in (_compared(side) if compared is None else compared)}
    slim = _slim(side.table, specs)
    rows = {str(key): part for key, part in slim.groupby("setting_id")}
    empty = slim.iloc[:0]
    entrants = tuple(
        Entrant(
            setting=setting,
            hosted=hosted[setting.target],
            costs=measured(columns.requests(setting.id), may_wait=setting.may_wait),
            quality=_qualities(setting, rows.get(setting.id, empty), beside.get(setting.id), specs, codes),
        )
        for setting in side.settings
    )
    images = delivered_images(slim)
    untrained = {spec.name for spec in specs if untrained_scores(images, spec).any()}
    return Contest(
        prompts=prompts,
        metrics={spec.name: _facts(spec, spec.name in untrained) for spec in specs},
        entrants=entrants,
        asked=frozenset(setting.id for setting in asked),
        dropped=side.dropped_by_scores,
    )


def _slim(table: pd.DataFrame, specs: Sequence[MetricSpec]) -> pd.DataFrame:
    """The columns that scores are read from: each choice of rows copies all columns that are there."""
    scores = [f"score_{spec.name}{part}" for spec in specs for part in ("", "_status", "_untrained")]
    wanted = ("setting_id", "status", "image_index", "prompt_id", *scores)
    return table[[name for name in wanted if name in table.columns]]


def _facts(spec: MetricSpec, untrained: bool) -> MetricFacts:
    row = row_of(spec)
    return MetricFacts(
        name=spec.name,
        unit="" if row is None or row.unit == "1" else row.unit,
        higher_is_better=row is None or row.better == "higher",
        untrained=untrained,
    )


def _compared(side: Side) -> Sequence[SettingComparison]:
    """Empty for a run without any other setting than references."""
    known = {setting.id for setting in side.settings}
    if not any(s.reference_id != s.id and s.reference_id in known for s in side.settings):
        return ()
    return compare_with_reference(side).settings


def _qualities(
    setting: Setting,
    rows: pd.DataFrame,
    compared: SettingComparison | None,
    specs: Sequence[MetricSpec],
    codes: Mapping[str, int],
) -> dict[str, QualitySamples]:
    images = delivered_images(rows)
    metrics = {} if compared is None else {metric.spec.name: metric for metric in compared.metrics}
    return {spec.name: _quality(setting, images, spec, compared, metrics.get(spec.name), codes) for spec in specs}


def cost_samples(values: Floats, prompts: Ints) -> Measured:
    """Values of one cost, one a request, all finite, and the index of the prompt of each."""
    return Measured(values=values, prompts=prompts, kind="", median=median(values), percentiles={})


def _quality(
    setting: Setting,
    images: pd.DataFrame,
    spec: MetricSpec,
    compared: SettingComparison | None,
    metric: MetricComparison | None,
    codes: Mapping[str, int],
) -> QualitySamples:
    own = np.full(len(codes), np.nan)
    values = finite_scores(images, spec)
    means = pd.Series(values).groupby(images["prompt_id"].map(codes).to_numpy(dtype=np.int64)).mean()
    own[means.index.to_numpy(dtype=np.int64)] = means.to_numpy(dtype=float)
    if setting.id == setting.reference_id:
        return unpaired(own, "")
    if compared is None or metric is None:
        return unpaired(own, "it has no reference in this run to be compared with")
    row = row_of(spec)
    unfair = _unfair(compared, metric.scores)
    return quality_samples(
        metric.scores,
        own,
        codes,
        sign=-1.0 if row is not None and row.better == "lower" else 1.0,
        noise=metric.noise,
        obstacle=unfair or metric.obstacle,
        identical=not unfair and compared.identical == compared.pairs > 0,
    )


def _unfair(compared: SettingComparison, scores: PairedScores) -> str:
    pictures = len(compared.unpaired) + compared.pairs
    share = (pictures - int(scores.pairs.sum())) / pictures if pictures else 0.0
    if share > MAX_WITHOUT_PARTNER:
        return f"{share:.0%} of its pictures have no score with a partner: those that are left are no fair choice"
    return ""


def quality_samples(
    scores: PairedScores,
    own: Floats,
    codes: Mapping[str, int],
    *,
    sign: float,
    noise: SeedNoise | None,
    obstacle: str = "",
    identical: bool = False,
) -> QualitySamples:
    """Paired scores of a metric (`sign` −1 where lower is better) of a setting and its reference."""
    return QualitySamples(
        own=own,
        difference=sign * scores.difference,
        prompts=np.array([codes[name] for name in scores.prompts], dtype=np.int64),
        names=scores.prompts,
        base=scores.base,
        noise=noise,
        obstacle=obstacle,
        identical=identical,
    )


def unpaired(own: Floats, obstacle: str) -> QualitySamples:
    """Scores of a reference (no obstacle), or of a setting that cannot be compared with one."""
    return QualitySamples(
        own=own,
        difference=np.empty(0),
        prompts=np.empty(0, dtype=np.int64),
        names=(),
        base=np.empty(0),
        noise=None,
        obstacle=obstacle,
    )
