"""A quantity over the versions: every run's value, where it took a step, and which run changed against the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.families import holm
from kreabench.analysis.history import Step, find_steps
from kreabench.analysis.scores import delivered_images, untrained_scores
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.policies import COSTS, RATES
from kreabench.core.registry import suggest
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparability import KEYS, version_differences
from kreabench.decisions.compare import compare_sides
from kreabench.decisions.history_points import Points, cost_points, metric_points
from kreabench.decisions.selection import REFERENCE, split_name
from kreabench.decisions.sides import Side, chosen, open_side
from kreabench.metrics.table import row_of

LEVEL = 0.05
"""Error rate of all steps together, and of all changes from one run to the next together."""

SEED = 0
"""Of the permutations: the same runs give the same p-values."""

_FACTS = tuple(key.name for key in KEYS)

Better = Literal["higher", "lower", "reference"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRun:
    """One run of the history."""

    name: str
    """As the user named it."""
    run_name: str
    created_utc: str
    setting: str
    """Label of the setting that is followed."""
    changed: tuple[str, ...]
    """What is not as in the run before: `torch 2.14.0 → 2.15.0`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Break:
    """Where values before and after say nothing about each other."""

    after: int
    """Index of the first run after it."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundStep:
    """A lasting change of a quantity between two runs."""

    before: int
    """Index of the last run before it."""
    after: int
    difference: Estimate
    """See `analysis.history.Step`."""
    p_value: float | None
    """After Holm over all quantities; None for a change from values that repeat exactly."""
    versions: tuple[str, ...]
    """What differs between the two runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A run that differs from the one before it, prompt by prompt."""

    after: int
    """Index of the run; it is compared with the one before it."""
    difference: Estimate
    """Mean over prompts of the paired differences, with its 95 % interval."""
    p_value: float
    """After Holm over all metrics and all neighbours of the history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One quantity over the runs."""

    name: str
    unit: str
    better: Better
    untrained: bool
    """The metric's own weights are random in some run."""
    values: tuple[Estimate | None, ...]
    basis: str
    """What a value rests on."""
    breaks: tuple[Break, ...]
    steps: tuple[FoundStep, ...]
    odd: tuple[int, ...]
    """Indices of single runs far from their neighbours; they are no step."""
    changes: tuple[Change, ...]
    """Only those that are established. Of metrics alone."""
    obstacle: str
    """Why no step was sought, somewhere or everywhere; empty where there is none."""
    searched: bool
    """Whether a step could have been found somewhere: enough runs, or runs that repeat exactly, not all alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """All quantities over all runs."""

    runs: tuple[HistoryRun, ...]
    series: tuple[Series, ...]
    prompts: int
    """Asked for with the same words in every run; only these count."""
    notices: tuple[str, ...]
    """What limits all of it, gravest first."""
    brand: str
    """What keeps the numbers from being about a real model; or empty."""
    comparisons: int
    """Tests from one run to the next behind the correction of `Change.p_value`."""


def open_runs(names: Sequence[str], *, setting: str | None, by: Literal["date", "order"]) -> tuple[Side, ...]:
    """The runs and baseline files of a history, each with one setting: the chosen one, or else its reference.

    Raises ConfigError for fewer than two, one that is named twice, and where not one setting is left.
    """
    if len(names) < 2:
        raise ConfigError([Problem(key="RUN", found=f"{len(names)}", expected="at least two runs or baseline files")])
    paths = [split_name(name)[0].resolve() for name in names]
    twice = [name for number, name in enumerate(names) if paths[number] in paths[:number]]
    if twice:
        raise ConfigError([Problem(key="RUN", found=f"{twice[0]} twice", expected="every run once")])
    sides = [_of_one_setting(open_side(name), setting) for name in names]
    return tuple(sorted(sides, key=lambda side: side.created_utc) if by == "date" else sides)


def _of_one_setting(side: Side, setting: str | None) -> Side:
    if setting:
        side = chosen(side, setting)
    elif len(side.settings) > 1:
        side = chosen(side, REFERENCE)
    if len(side.settings) != 1:
        found = "; ".join(one.label for one in side.settings[:4])
        remedy = "Name one with --setting, such as acceleration=high,steps=8."
        raise ConfigError([Problem(key=side.name, found=found, expected="one setting to follow", remedy=remedy)])
    return side


def make_history(sides: Sequence[Side], *, metrics: Sequence[str] | None = None) -> History:
    """The history of `sides`, one setting each, in their order; `metrics` are the quantities to follow, None: all.

    Raises ConfigError for an unknown quantity, and where no prompt is asked for in every run.
    """
    prompts = _shared_prompts(sides)
    notices = tuple(_notices(sides, prompts))
    sides = [_with_prompts(side, prompts) for side in sides]
    specs = _chosen_metrics(sides, metrics)
    found = {spec.name: points for spec in specs if (points := metric_points([side.table for side in sides], spec))}
    found |= {name: one for name, one in cost_points(sides).items() if metrics is None or name in metrics}
    if not found:
        expected = "a score or a measurement in some run"
        raise ConfigError([Problem(key="RUN", found="nothing to draw", expected=expected)])
    changes, comparisons = _changes(sides, specs)
    return History(
        runs=tuple(_runs(sides)),
        series=tuple(_series(found, specs, changes, sides)),
        prompts=len(prompts),
        notices=notices,
        brand=next((side.notice for side in sides if side.notice), ""),
        comparisons=comparisons,
    )


def differing(before: Side, after: Side) -> tuple[str, ...]:
    """Versions, models, device, reference and setting that are not the same."""
    found = [
        f"{one.name} {one.base or 'absent'} → {one.candidate or 'absent'}" for one in version_differences(before, after)
    ]
    found += [f"{name} {before.facts[name]} → {after.facts[name]}" for name in _FACTS if _fact(before, after, name)]
    labels = [side.settings[0].label for side in (before, after)]
    return tuple(found + ([f"setting {labels[0]} → {labels[1]}"] if labels[0] != labels[1] else []))


def _runs(sides: Sequence[Side]) -> Iterator[HistoryRun]:
    for number, side in enumerate(sides):
        yield HistoryRun(
            name=side.name,
            run_name=side.run_name,
            created_utc=side.created_utc,
            setting=side.settings[0].label,
            changed=differing(sides[number - 1], side) if number else (),
        )


def _shared_prompts(sides: Sequence[Side]) -> frozenset[str]:
    """Prompts of all sides that ask for the same picture everywhere."""
    first, *others = [set(side.prompts.items()) for side in sides]
    shared = frozenset(id_ for id_, _ in first.intersection(*others))
    if not shared:
        found = "no prompt that all of them ask for with the same words"
        expected = "runs of one prompt file"
        raise ConfigError([Problem(key="RUN", found=found, expected=expected, remedy=_gain(sides, 0))])
    return shared


def _gain(sides: Sequence[Side], shared: int) -> str:
    """Which single run costs the others most of their prompts."""
    if len(sides) < 3:
        return ""
    without = {}
    for number, side in enumerate(sides):
        first, *others = [set(other.prompts.items()) for at, other in enumerate(sides) if at != number]
        without[side.name] = len(first.intersection(*others))
    name = max(without, key=lambda one: without[one])
    return f"Without {name} they share {without[name]}." if without[name] > shared else ""


def _with_prompts(side: Side, prompts: frozenset[str]) -> Side:
    return replace(
        side,
        table=side.table[side.table["prompt_id"].isin(list(prompts))],
        prompts={id_: text for id_, text in side.prompts.items() if id_ in prompts},
    )


def _chosen_metrics(sides: Sequence[Side], names: Sequence[str] | None) -> list[MetricSpec]:
    known: dict[str, MetricSpec] = {}
    for side in sides:
        for spec in side.metrics:
            known.setdefault(spec.name, spec)
    if names is None:
        return list(known.values())
    unknown = [name for name in names if name not in known and name not in (*COSTS, *RATES)]
    if unknown:
        raise ConfigError(
            [Problem(key="--metrics", found=name, expected=suggest(name, [*known, *COSTS, *RATES])) for name in unknown]
        )
    return [known[name] for name in names if name in known]


def _series(
    found: Mapping[str, Points],
    specs: Sequence[MetricSpec],
    changes: Mapping[str, tuple[Change, ...]],
    sides: Sequence[Side],
) -> Iterator[Series]:
    """With the steps of all, corrected together."""
    metrics = {spec.name: spec for spec in specs}
    breaks = {name: tuple(_breaks(sides, metrics.get(name), points)) for name, points in found.items()}
    stretches = [(name, stretch) for name, points in found.items() for stretch in _stretches(points, breaks[name])]
    searches = find_steps(
        [np.asarray([_value(found[name].values[at]) for at in stretch]) for name, stretch in stretches],
        rng=np.random.default_rng(SEED),
        level=LEVEL,
        exact=[found[name].exact for name, _ in stretches],
    )
    for name, points in found.items():
        own = [(stretch, search) for (at, stretch), search in zip(stretches, searches, strict=True) if at == name]
        row = row_of(metrics[name]) if name in metrics else None
        yield Series(
            name=name,
            unit=points.unit,
            better="lower" if name not in metrics else row.better if row else "higher",
            untrained=name in metrics and _untrained(sides, metrics[name]),
            values=points.values,
            basis=points.basis,
            breaks=breaks[name],
            steps=tuple(_step(sides, stretch, step) for stretch, search in own for step in search.steps),
            odd=tuple(stretch[at] for stretch, search in own for at in search.odd),
            changes=changes.get(name, ()),
            obstacle="; ".join(dict.fromkeys(search.obstacle for _, search in own if search.obstacle)),
            searched=any(search.p_value is not None or search.steps for _, search in own),
        )


def _step(sides: Sequence[Side], stretch: Sequence[int], step: Step) -> FoundStep:
    before, after = stretch[step.before], stretch[step.after]
    return FoundStep(
        before=before,
        after=after,
        difference=step.difference,
        p_value=step.p_value,
        versions=differing(sides[before], sides[after]),
    )


def _untrained(sides: Sequence[Side], spec: MetricSpec) -> bool:
    return any(untrained_scores(delivered_images(side.table), spec).any() for side in sides)


def _breaks(sides: Sequence[Side], spec: MetricSpec | None, points: Points) -> Iterator[Break]:
    """Between neighbours that have the quantity."""
    there = [number for number, value in enumerate(points.values) if value is not None]
    for before, after in pairwise(there):
        reasons = _incomparable(sides[before], sides[after], spec)
        if points.kinds and points.kinds[before] != points.kinds[after]:
            reasons.append(f"{points.kinds[before]} → {points.kinds[after]}")
        if reasons:
            yield Break(after=after, reason="; ".join(reasons))


def _stretches(points: Points, breaks: Sequence[Break]) -> list[list[int]]:
    """Indices of comparable runs that have a value."""
    starts = {one.after for one in breaks}
    found: list[list[int]] = [[]]
    for number, value in enumerate(points.values):
        if number in starts:
            found.append([])
        if value is not None:
            found[-1].append(number)
    return [stretch for stretch in found if stretch]


def _incomparable(before: Side, after: Side, spec: MetricSpec | None) -> list[str]:
    """What makes a quantity of two runs incomparable; `spec` is None for costs."""
    found = []
    if _fact(before, after, "device"):
        found.append(f"another device: {before.facts['device']} → {after.facts['device']}")
    if spec is None:
        return found
    row = row_of(spec)
    if row and row.needs_reference and _fact(before, after, "reference"):
        found.append(f"another reference: {before.facts['reference']} → {after.facts['reference']}")
    here, there = before.identities.get(spec.name), after.identities.get(spec.name)
    if here and there and here != there:
        found.append(f"{spec.name} was made with other weights or options")
    return found


def _fact(before: Side, after: Side, name: str) -> bool:
    return name in before.facts and name in after.facts and before.facts[name] != after.facts[name]


def _value(estimate: Estimate | None) -> float:
    return np.nan if estimate is None else estimate.value


def _changes(sides: Sequence[Side], specs: Sequence[MetricSpec]) -> tuple[Mapping[str, tuple[Change, ...]], int]:
    """Established changes from one run to the next, by metric, and the number of tests made."""
    names = {spec.name for spec in specs}
    tested: list[tuple[str, int, Estimate, float]] = []
    for after, (here, there) in enumerate(pairwise(sides), 1):
        if _fact(here, there, "device") or not _share_a_request(here, there):
            continue
        (pair,) = compare_sides(here, there, force=True).settings
        for metric in pair.metrics:
            spec = metric.spec
            if spec.name not in names or metric.p_value is None or metric.difference is None:
                continue
            if not _incomparable(here, there, spec):
                tested.append((spec.name, after, metric.difference, metric.p_value))
    found: dict[str, tuple[Change, ...]] = {}
    corrected = holm([p for *_, p in tested])
    for (name, after, difference, _), p in zip(tested, corrected, strict=True):
        if p is not None and p <= LEVEL:
            change = Change(after=after, difference=difference, p_value=p)
            found[name] = (*found.get(name, ()), change)
    return found, len(tested)


def _share_a_request(before: Side, after: Side) -> bool:
    keys = ["prompt_id", "seed", "repeat"]
    here, there = (pd.MultiIndex.from_frame(side.table[keys]) for side in (before, after))
    return bool(here.isin(there).any())


def _notices(sides: Sequence[Side], prompts: frozenset[str]) -> Iterator[str]:
    most = max(len(side.prompts) for side in sides)
    if len(prompts) < most:
        gain = _gain(sides, len(prompts))
        text = f"Only the {len(prompts)} prompts count that every run asks for with the same words, of up to {most}."
        yield f"{text} {gain}".strip()
    unfinished = [side.name for side in sides if side.unfinished]
    if unfinished:
        others = f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else ""
        yield f"Not finished: {unfinished[0]}{others}."
    labels = {side.settings[0].label for side in sides}
    if len(labels) > 1:
        yield f"The runs do not all follow the same setting: {'; '.join(sorted(labels)[:4])}."
