"""What a distance to the reference means: noise, another picture that is not worse, or a worse one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kreabench.analysis.estimates import p_in_words
from kreabench.analysis.items import score_item
from kreabench.analysis.margins import margin_of
from kreabench.analysis.outcomes import Item, Judgement, decide
from kreabench.analysis.paired import PairedScores, pair_scores
from kreabench.core.planned import Setting
from kreabench.core.policies import MarginSpec
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparison import (
    Fidelity,
    FidelityComparison,
    FloorKind,
    MetricComparison,
    SettingComparison,
    Verdict,
)
from kreabench.decisions.floors import DRAWN, Closeness, Distances, better_of, fidelity
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of

LEVEL = 0.05
"""Error rate of each verdict: of `within noise` and `not worse`, and over all settings together of `worse`."""
MARGIN = 0.5
"""Of a quality metric: in noise floors, standard deviations from seed to seed of the reference's scores of a prompt. Of
closeness to a noise floor: in standard deviations of that floor over prompts."""
_IN_NOISE = MarginSpec(kind="noise_floor", value=MARGIN)
MAX_LACKING = 0.05
"""Largest share of pictures without a partner or a score: those that are left are no fair choice."""

Quality = Sequence[tuple[str, Judgement]]
"""Metric and what its scores say."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Floors:
    """What one metric of one reference is seen beside."""

    measured: Mapping[FloorKind, Closeness]
    shown: Mapping[FloorKind, Fidelity]
    compiled: Setting | None
    """The setting of the floor `compiled`: the first that is not worse itself."""
    none_of: frozenset[str]
    """Compiled settings, which cannot excuse each other."""
    spoiled: Setting | None
    """A compiled setting that is worse itself, and so no floor."""


def with_fidelity(side: Side, settings: Sequence[SettingComparison]) -> tuple[SettingComparison, ...]:
    """`settings`, each compared with its reference in the run of `side`, judged, with their verdicts by every fidelity
    metric.

    They are judged together: Holm's correction is over the quality metrics of all of them.
    """
    quality = _quality(settings)
    settings = [replace(setting, quality=tuple(said)) for setting, said in zip(settings, quality, strict=True)]
    distances = Distances(side)
    if not distances.specs:
        return tuple(settings)
    compiled: dict[str, list[tuple[Setting, bool]]] = {setting.base.id: [] for setting in settings}
    for setting, said in zip(settings, quality, strict=True):
        if setting.candidate.id in side.compiled:
            compiled[setting.base.id].append((setting.candidate, bool(_losses(said))))
    floors = {
        (reference_id, spec.name): _floors(reference_id, spec, distances, found)
        for reference_id, found in compiled.items()
        for spec in distances.specs
    }
    return tuple(
        replace(
            setting,
            fidelity=tuple(
                _compare(setting, spec, distances, floors[setting.base.id, spec.name], said) for spec in distances.specs
            ),
        )
        for setting, said in zip(settings, quality, strict=True)
    )


def _quality(settings: Sequence[SettingComparison]) -> list[Quality]:
    """Of each setting what the metrics say that see a picture alone and have a better side, if they are trained."""
    judged = [
        [metric for metric in setting.metrics if _judges(metric) and not metric.untrained] for setting in settings
    ]
    items = [_item(metric, setting) for setting, metrics in zip(settings, judged, strict=True) for metric in metrics]
    said = iter(decide(items, level=LEVEL))
    return [[(metric.spec.name, next(said)) for metric in metrics] for metrics in judged]


def _judges(metric: MetricComparison) -> bool:
    row = row_of(metric.spec)
    return row is not None and not row.needs_reference and metric.better != "reference"


def _item(metric: MetricComparison, setting: SettingComparison) -> Item:
    margin = margin_of(_IN_NOISE, metric.scores.base, metric.scores.prompts, metric.noise)
    item = score_item(
        metric.scores,
        better=metric.better,
        margin=0.0 if margin.unknown else margin,
        sides="one",
        level=LEVEL,
        max_unpaired_share=1.0,  # a loss among those that are there is a loss; see `_lacking` for the rest
        identical=setting.identical == setting.pairs and not setting.resized,
    )
    few = _lacking(int(metric.scores.pairs.sum()), setting)
    if item.evidence is None:
        return replace(item, identical=item.identical and not few, obstacle=item.obstacle or few)
    return replace(item, bar=item.bar or few or margin.unknown)


def _lacking(used: int, setting: SettingComparison) -> str:
    """Why nothing good can be said of pictures of which `used` pairs are known; empty where it can."""
    of = setting.pairs + len(setting.unpaired)
    if of - used <= MAX_LACKING * of:
        return ""
    return f"{of - used:,} of {of:,} pictures lack a partner or a score"


def _losses(quality: Quality) -> list[str]:
    """Metrics by which a loss is established, and how surely."""
    return [f"{name}: {said.reason}" for name, said in quality if said.outcome == "regressed"]


def _floors(
    reference_id: str, spec: MetricSpec, distances: Distances, compiled: Sequence[tuple[Setting, bool]]
) -> _Floors:
    """`compiled`: settings that are, in the order of the plan, and whether each is worse itself."""
    drawn = {kind: distances.drawn(reference_id, spec, kind) for kind in DRAWN}
    measured: dict[FloorKind, Closeness] = {k: one for k, one in drawn.items() if one.values.size or one.left_out}
    fine = next((one for one, is_worse in compiled if not is_worse), None)
    if fine is not None:
        measured["compiled"] = distances.to_reference(fine.id, spec)
    return _Floors(
        measured=measured,
        shown={kind: fidelity(one, spec) for kind, one in measured.items()},
        compiled=fine,
        none_of=frozenset(setting.id for setting, _ in compiled),
        spoiled=next((one for one, is_worse in compiled if is_worse), None) if fine is None else None,
    )


def _compare(
    setting: SettingComparison, spec: MetricSpec, distances: Distances, floors: _Floors, quality: Quality
) -> FidelityComparison:
    own = distances.to_reference(setting.candidate.id, spec)
    verdict, reason = _verdict(setting, spec, own, floors, quality)
    row = row_of(spec)
    return FidelityComparison(
        spec=spec,
        unit=row.unit if row else "",
        better=better_of(spec),
        to_reference=replace(fidelity(own, spec), identical=setting.identical),
        floors=floors.shown,
        verdict=verdict,
        reason=reason,
    )


def _verdict(
    setting: SettingComparison, spec: MetricSpec, own: Closeness, floors: _Floors, quality: Quality
) -> tuple[Verdict, str]:
    """An established loss is told whatever the distance is: two pictures may be as far from a third in worse ways."""
    lacking = _lacking(setting.pairs, setting)
    if setting.pairs and setting.identical == setting.pairs and not setting.resized and not lacking:
        return "within noise", f"all {setting.pairs:,} pictures are identical to the reference's"
    may_be_noise = not (own.untrained or _losses(quality) or _lacking(own.values.size, setting))
    noise = _within(own, floors, spec, setting.candidate) if may_be_noise else ""
    if noise:
        return "within noise", noise
    verdict, reason = _by_quality(setting, quality)
    untrained = "its own weights are random: this distance means nothing"
    spoiled = f"{floors.spoiled.label} is compiled and worse itself, so it is no floor" if floors.spoiled else ""
    is_floor = floors.compiled is not None and floors.compiled.id == setting.candidate.id
    asides = (
        untrained if own.untrained else _beside_another_seed(own, floors),
        "compiled and nothing else: it is the floor of the others" if is_floor else "",
        spoiled,
    )
    return verdict, "; ".join(filter(None, (reason, *asides)))


def _within(own: Closeness, floors: _Floors, spec: MetricSpec, candidate: Setting) -> str:
    """By which floor the pictures are shown to be within noise, in words; empty where by none.

    Non-inferiority to the floor over prompts, at LEVEL divided by the number of floors that are tried.
    """
    kinds: list[FloorKind] = ["itself"] if candidate.id in floors.none_of else ["compiled", "itself"]
    tried = {kind: floors.measured[kind] for kind in kinds if _is_noisy(floors.measured.get(kind), kind)}
    level = LEVEL / max(len(tried), 1)
    for kind, floor in tried.items():
        margin, scores = _beside(own, floor)
        item = score_item(
            scores, better="higher", margin=margin, sides="one", level=level, max_unpaired_share=1.0, identical=True
        )  # `identical`: equal in every prompt needs no test
        (found,) = decide([item], level=level)
        if found.outcome == "passed":
            how = "exactly as close" if found.p_inside is None else f"at least as close ({p_in_words(found.p_inside)})"
            what = f"as {floors.compiled.label}" if kind == "compiled" and floors.compiled else "as itself drawn again"
            row = row_of(spec)
            unit = f" {row.unit}" if row and row.unit != "1" else ""
            return f"{how} to the reference {what}, within {margin:.3g}{unit}, over {len(scores.prompts)} prompts"
    return ""


def _is_noisy(floor: Closeness | None, kind: str) -> bool:
    """Not where the reference drawn again is the same picture each time: nothing but equal pictures is within that."""
    return (
        floor is not None and floor.values.size > 0 and not (kind == "itself" and floor.identical == floor.values.size)
    )


def _beside(own: Closeness, floor: Closeness) -> tuple[float, PairedScores]:
    """Closeness against a floor's by prompt, oriented, and the margin, which is 0 where the floor shows no spread."""
    theirs, ours = floor.by_prompt(generous=True), own.by_prompt(generous=False)
    prompts = [prompt for prompt in theirs if prompt in ours]
    scores = pair_scores(
        np.array([theirs[prompt] for prompt in prompts], dtype=float),
        np.array([ours[prompt] for prompt in prompts], dtype=float),
        np.array(prompts, dtype=object),
    )
    finite = np.array([value for value in theirs.values() if np.isfinite(value)])
    return (MARGIN * float(np.std(finite, ddof=1)) if finite.size > 1 else 0.0), scores


def _beside_another_seed(own: Closeness, floors: _Floors) -> str:
    """Whether the distance to the reference is that of another seed, in words; empty where that is not known."""
    floor = floors.measured.get("another_seed")
    if floor is None or not floor.values.size or not own.values.size:
        return ""
    _, scores = _beside(own, floor)
    item = score_item(scores, better="higher", margin=0.0, sides="two", level=LEVEL / 2, max_unpaired_share=1.0)
    if item.evidence is None or item.bar:
        return ""
    if item.evidence.p_loss > LEVEL:
        return "about as far from the reference as another seed"
    side = "closer to" if item.evidence.mean > 0 else "further from"
    return f"{side} the reference than another seed"


def _by_quality(setting: SettingComparison, quality: Quality) -> tuple[Verdict, str]:
    if not quality:
        untrained = [metric.spec.name for metric in setting.metrics if _judges(metric)]
        if untrained:
            return "undecided", f"only untrained metrics could say whether it is worse: {', '.join(untrained)}"
        return "undecided", "no metric that looks at a picture alone says whether it is worse"
    if losses := _losses(quality):
        return "worse", "; ".join(losses)
    unclear = [(name, said) for name, said in quality if said.outcome != "passed"]
    if not unclear:
        return "another picture, not worse", f"{', '.join(name for name, _ in quality)}: no loss beyond the margin"
    words = [
        f"{name}: {said.reason}" + (f" (about {said.n_to_decide:,} prompts would decide)" if said.n_to_decide else "")
        for name, said in unclear
    ]
    return "undecided", "; ".join(words)
