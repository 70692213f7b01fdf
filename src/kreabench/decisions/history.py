"""A quantity over the versions: every run's value, where it took a step, and which run changed against the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.families import holm
from kreabench.analysis.history import Step, find_steps
from kreabench.analysis.scores import delivered_images, untrained_scores
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.policies import COSTS, RATES
from kreabench.core.registry import suggest
from kreabench.core.specs import MetricSpec
from kreabench.decisions.compare import compare_sides
from kreabench.decisions.history_points import Points, cost_points, metric_points
from kreabench.decisions.history_runs import (
    differing,
    differs_in,
    incomparable,
    notices_of,
    share_a_request,
    shared_prompts,
    with_prompts,
)
from kreabench.decisions.sides import Side
from kreabench.metrics.table import row_of

LEVEL = 0.05
"""Error rate of all steps together, and of all changes from one run to the next together."""

SEED = 0
"""Of the permutations: the same runs give the same p-values."""

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


def make_history(sides: Sequence[Side], *, metrics: Sequence[str] | None = None) -> History:
    """The history of `sides`, one setting each, in their order; `metrics` are the quantities to follow, None: all.

    Raises ConfigError for an unknown quantity, and where no prompt is asked for in every run.
    """
    prompts = shared_prompts(sides)
    notices = tuple(notices_of(sides, prompts))
    sides = [with_prompts(side, prompts) for side in sides]
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


def _runs(sides: Sequence[Side]) -> Iterator[HistoryRun]:
    for number, side in enumerate(sides):
        yield HistoryRun(
            name=side.name,
            run_name=side.run_name,
            created_utc=side.created_utc,
            setting=side.settings[0].label,
            changed=differing(sides[number - 1], side) if number else (),
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
            searched=any(search.p_value is not None or search.steps or search.odd for _, search in own),
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
        reasons = incomparable(sides[before], sides[after], spec)
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


def _value(estimate: Estimate | None) -> float:
    return np.nan if estimate is None else estimate.value


def _changes(sides: Sequence[Side], specs: Sequence[MetricSpec]) -> tuple[Mapping[str, tuple[Change, ...]], int]:
    """Established changes from one run to the next, by metric, and the number of tests made."""
    names = {spec.name for spec in specs}
    tested: list[tuple[str, int, Estimate, float]] = []
    for after, (here, there) in enumerate(pairwise(sides), 1):
        if differs_in(here, there, "device") or not share_a_request(here, there):
            continue
        (pair,) = compare_sides(here, there, force=True).settings
        for metric in pair.metrics:
            spec = metric.spec
            if spec.name not in names or metric.p_value is None or metric.difference is None:
                continue
            if not incomparable(here, there, spec):
                tested.append((spec.name, after, metric.difference, metric.p_value))
    found: dict[str, tuple[Change, ...]] = {}
    corrected = holm([p for *_, p in tested])
    for (name, after, difference, _), p in zip(tested, corrected, strict=True):
        if p is not None and p <= LEVEL:
            change = Change(after=after, difference=difference, p_value=p)
            found[name] = (*found.get(name, ()), change)
    return found, len(tested)
