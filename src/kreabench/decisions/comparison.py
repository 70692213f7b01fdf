"""Candidate against base, setting by setting: quality in pairs, costs as ratios of medians, failures as rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.noise import SeedNoise
from kreabench.analysis.outcomes import Judgement
from kreabench.analysis.paired import Floats, PairedScores
from kreabench.core.planned import Setting
from kreabench.core.policies import Cost, Rate
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparability import Mismatch, VersionDifference
from kreabench.decisions.sides import Side


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MetricComparison:
    """One metric, candidate − base, in the metric's unit. Not oriented: `better` says which sign is good."""

    spec: MetricSpec
    unit: str
    better: Literal["higher", "lower", "reference"]
    scores: PairedScores
    difference: Estimate | None
    """Mean over prompts with its 95 % interval; None without a pair."""
    effect_size: float | None
    """Mean over the standard deviation over prompts (Cohen's d of pairs); None where that is not known or 0."""
    share_better: float | None
    """Of the prompts: those where the candidate is better, ties as one half; None without a better side or a pair."""
    p_value: float | None
    """Two-sided, of no difference; None where there is nothing to test."""
    p_adjusted: float | None
    """The same after Holm over the family that `Comparison.family` names."""
    noise: SeedNoise | None
    """What is known of the base's scatter from seed to seed; None where nothing is."""
    untrained: bool
    """The metric's own weights are random."""
    obstacle: str
    """Why nothing can be inferred; empty where something can."""
    reasons: tuple[str, ...] = ()
    """Why scores are missing, side by side, commonest first; empty where none is."""

    @property
    def seed_sd(self) -> float | None:
        """Standard deviation from seed to seed of the base's scores of one prompt: the noise floor of a picture. None
        where it has too few degrees of freedom to be known."""
        return None if self.noise is None else self.noise.known_sd

    @property
    def base_mean(self) -> float | None:
        """Mean over prompts of the base's finite scores in pairs."""
        return _mean(self.scores.base)

    @property
    def candidate_mean(self) -> float | None:
        """Likewise of the candidate's."""
        return _mean(self.scores.candidate)

    @property
    def pairs(self) -> int:
        """Pairs of pictures behind the difference."""
        return int(self.scores.pairs.sum())


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


@dataclass(frozen=True, kw_only=True, slots=True)
class PercentilePair:
    """One percentile of both sides, in the unit of its cost; None on a side with too few values for it."""

    p: float
    base: Estimate | None
    candidate: Estimate | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CostComparison:
    """One cost: medians, and candidate over base."""

    quantity: Cost
    unit: str
    base: float | None
    """Median; None where it was not measured."""
    candidate: float | None
    ratio: Estimate | None
    """Candidate's median over base's, with its 95 % interval; `n` counts prompts."""
    base_n: int
    """Samples behind it: for latency those fit for timing."""
    candidate_n: int
    obstacle: str
    """Why there is no ratio, or no interval of it; empty where there is."""
    base_median: Estimate | None = None
    """`base` with its interval; `n` counts samples."""
    candidate_median: Estimate | None = None
    base_kind: str = ""
    """What the values are, where there is a choice: which memory, whose price."""
    candidate_kind: str = ""
    percentiles: tuple[PercentilePair, ...] = ()
    """Of latency, where a side has enough timings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateComparison:
    """One kind of mishap: how often on each side."""

    quantity: Rate
    base_count: int
    base_n: int
    candidate_count: int
    candidate_n: int
    prompts: int
    """Behind the side that has fewer."""
    difference: Estimate | None
    """Candidate's share − base's, with its 95 % interval; None where a side has nothing to count in."""
    obstacle: str


FloorKind = Literal["itself", "another_seed", "compiled"]
"""What a reference is compared with to see its own noise: drawn again, drawn with another seed, or compiled."""

Verdict = Literal["within noise", "another picture, not worse", "worse", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """How close pictures are, by one metric: of a setting to its reference, or of the reference to a floor."""

    mean: Estimate | None
    """Over prompts, of the finite scores; None where there are none."""
    pairs: int
    """Pictures compared, with finite and infinite scores."""
    infinite: int
    """Of these, pairs of equal pictures where the metric has no number for them; not in the mean."""
    identical: int = 0
    """Of these, pairs of equal files."""
    left_out: int = 0
    """Pictures without a score: degenerate, flagged, of another size, without a partner, or not scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityComparison:
    """One fidelity metric of a setting beside the noise floor of its reference. Only within a run."""

    spec: MetricSpec
    unit: str
    better: Literal["higher", "lower"]
    to_reference: Fidelity
    floors: Mapping[FloorKind, Fidelity]
    """Those that were measured."""
    verdict: Verdict
    reason: str
    """In words, with the metrics that decided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpairedRow:
    """A picture, or a request that failed, without a partner."""

    side: Literal["base", "candidate"]
    prompt_id: str
    seed: int
    repeat: int
    image_index: int | None
    reason: str
    """What happened to the partner."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SettingComparison:
    """Two settings."""

    base: Setting
    candidate: Setting
    pairs: int
    """Pictures that both sides have."""
    identical: int
    """Of these, pairs of equal files."""
    resized: int
    """Of these, pairs of two sizes: no scores are compared."""
    unpaired: tuple[UnpairedRow, ...]
    metrics: tuple[MetricComparison, ...]
    costs: tuple[CostComparison, ...]
    rates: tuple[RateComparison, ...]
    quality: tuple[tuple[str, Judgement], ...] = ()
    """Metric and what it says, of the trained ones that see a picture alone and have a better side. Only within a run,
    where all settings are judged together."""
    fidelity: tuple[FidelityComparison, ...] = ()
    both_failed: int = 0
    """Requests that failed on both sides: no picture is missing a partner for them."""
    delivered: int = 0
    """Requests that a side delivered."""
    delivered_alone: int = 0
    """Of these, such that the other side failed, or of whose prompt it delivered none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneSided:
    """A metric that only one side was asked for."""

    metric: str
    side: Literal["base", "candidate"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """All that is compared at once."""

    base: Side
    candidate: Side
    within_run: bool
    """Whether both sides are settings of one run."""
    forced: tuple[Mismatch, ...]
    """What differs and must not, where the comparison was made all the same."""
    settings: tuple[SettingComparison, ...]
    base_only: tuple[Setting, ...]
    """Settings without a partner."""
    candidate_only: tuple[Setting, ...]
    family: str
    """What Holm's correction was made over, in words."""
    one_sided: tuple[OneSided, ...] = ()
    """Metrics that are not compared, as one side lacks them."""
    versions: tuple[VersionDifference, ...] = ()
    """What differs between the sides besides their settings: what the comparison may be about."""
    caveats: tuple[str, ...] = ()
    """What a reader must know of the sides before the numbers, in sentences."""
