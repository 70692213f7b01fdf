"""Makes a `Comparison`: finds partners for settings and pictures, and infers per metric, cost and mishap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from kreabench.analysis.noise import SeedNoise
from kreabench.core.errors import ConfigError, Problem
from kreabench.core.planned import Setting
from kreabench.core.policies import Cost
from kreabench.core.specs import MetricSpec
from kreabench.decisions.caveats import caveats
from kreabench.decisions.columns import Columns, key_space
from kreabench.decisions.comparability import NotComparable, mismatches, same_run, version_differences
from kreabench.decisions.comparison import Comparison, OneSided, SettingComparison
from kreabench.decisions.costs import Measured, compare_costs, measured
from kreabench.decisions.fidelity import with_fidelity
from kreabench.decisions.matching import (
    Partner,
    Partners,
    both_failed,
    delivered_alone,
    match,
    partners,
    partners_in_run,
    unpaired,
)
from kreabench.decisions.mishaps import Counts, compare_rates, counted
from kreabench.decisions.qualities import compare_metric, noise_floor, with_holm
from kreabench.decisions.sides import Side


def compare_sides(base: Side, candidate: Side, *, force: bool = False) -> Comparison:
    """Every setting of `candidate` with its partner in `base`: equal on every axis on which a side has several values.

    Raises NotComparable where `comparability` finds a mismatch and `force` is not set, ConfigError where no setting
    has a partner or no request was asked on both sides.
    """
    differing = mismatches(base, candidate)
    if differing and not force:
        raise NotComparable(differing)
    pairs = partners(base, candidate)
    work = _Work(base, candidate)
    work.require_common_requests()
    taken = {setting.id for pair in pairs for setting in pair}
    found = work.compare(pairs)
    return Comparison(
        base=base,
        candidate=candidate,
        within_run=same_run(base, candidate),
        forced=differing,
        settings=found,
        base_only=tuple(setting for setting in base.settings if setting.id not in taken),
        candidate_only=tuple(setting for setting in candidate.settings if setting.id not in taken),
        family=_family(found),
        one_sided=_one_sided(base, candidate),
        versions=version_differences(base, candidate),
        caveats=caveats(base, candidate, found, work.columns),
    )


def compare_with_reference(side: Side, settings: Sequence[Setting] | None = None) -> Comparison:
    """Every setting of one run, or those of `settings`, with its reference, which must be among `side.settings`.

    Raises ConfigError where no setting has one.
    """
    chosen = side.settings if settings is None else tuple(settings)
    pairs = partners_in_run(side, chosen)
    work = _Work(side, side)
    taken = {setting.id for pair in pairs for setting in pair}
    found = work.compare(pairs)
    return Comparison(
        base=side,
        candidate=side,
        within_run=True,
        forced=(),
        settings=with_fidelity(side, found),
        base_only=(),
        candidate_only=tuple(setting for setting in chosen if setting.id not in taken),
        family=_family(found),
        caveats=caveats(side, side, found, work.columns),
    )


def with_metrics(side: Side, names: Sequence[str]) -> Side:
    """`side` with these of its metrics alone, in their order. Raises ConfigError for one that it does not have."""
    known = {spec.name: spec for spec in side.metrics}
    unknown = [name for name in names if name not in known]
    if unknown:
        expected = f"metrics of {side.name}: {', '.join(known) or 'it has none'}"
        raise ConfigError([Problem(key="--metrics", found=", ".join(unknown), expected=expected)])
    return replace(side, metrics=tuple(known[name] for name in names))


class _Work:
    """Two sides as arrays; what is made of one setting is kept for its further partners."""

    def __init__(self, base: Side, candidate: Side) -> None:
        self._sides = (base, candidate)
        self._space = key_space(base.table, candidate.table)
        first = Columns(base.table, base.metrics, self._space)
        self.columns = (first, first if candidate is base else Columns(candidate.table, candidate.metrics, self._space))
        there = {spec.name for spec in candidate.metrics}
        self._metrics = [spec for spec in base.metrics if spec.name in there]
        self._costs: Callable[[int, Setting], Mapping[Cost, Measured]] = cache(self._measure)
        self._counts: Callable[[int, str], Counts] = cache(self._count)
        self._floors: Callable[[str, int], SeedNoise] = cache(self._noise)

    def require_common_requests(self) -> None:
        """Raises ConfigError where no request has a final state on both sides."""
        here, there = (set(columns.all_requests().tolist()) for columns in self.columns)
        if here & there:
            return
        base, candidate = self._sides
        drawn = [
            f"{len(keys):,} requests of {side.name}" for keys, side in zip((here, there), self._sides, strict=True)
        ]
        problem = Problem(
            key=f"{base.name} and {candidate.name}",
            found=f"no pair in common among {' and '.join(drawn)}: {_nothing_shared(base, candidate)}",
            expected="prompts and seeds that both were drawn with",
        )
        raise ConfigError([problem])

    def compare(self, pairs: Partners) -> tuple[SettingComparison, ...]:
        """In the order of `pairs`, corrected for all of them together."""
        return with_holm([self._compare_two(here, there) for here, there in pairs])

    def _compare_two(self, here: Setting, there: Setting) -> SettingComparison:
        matched = match(self.columns[0].pictures(here.id), self.columns[1].pictures(there.id))
        base = Partner(side=self._sides[0], columns=self.columns[0], setting=here)
        candidate = Partner(side=self._sides[1], columns=self.columns[1], setting=there)
        alone, delivered = delivered_alone(base, candidate)
        return SettingComparison(
            base=here,
            candidate=there,
            pairs=matched.pairs,
            identical=matched.identical,
            resized=int((~matched.same_size).sum()),
            unpaired=unpaired(matched, base, candidate),
            metrics=tuple(
                replace(compare_metric(spec, matched, self._space), noise=self._floors(here.id, number))
                for number, spec in enumerate(self._metrics)
            ),
            costs=compare_costs(self._costs(0, here), self._costs(1, there)),
            rates=compare_rates(self._counts(0, here.id), self._counts(1, there.id)),
            both_failed=both_failed(base, candidate),
            delivered=delivered,
            delivered_alone=alone,
        )

    def _measure(self, side: int, setting: Setting) -> Mapping[Cost, Measured]:
        return measured(self.columns[side].requests(setting.id), may_wait=setting.may_wait)

    def _count(self, side: int, setting_id: str) -> Counts:
        columns = self.columns[side]
        return counted(columns.pictures(setting_id), columns.requests(setting_id), self._space)

    def _noise(self, setting_id: str, metric: int) -> SeedNoise:
        spec: MetricSpec = self._metrics[metric]
        return noise_floor(self.columns[0].pictures(setting_id), spec, self._space)


def _nothing_shared(base: Side, candidate: Side) -> str:
    shared = base.prompts.keys() & candidate.prompts.keys()
    if not base.table.shape[0] or not candidate.table.shape[0]:
        return "nothing was drawn yet on a side"
    return f"{len(shared)} prompts are of both" if shared else "no prompt id is of both"


def _one_sided(base: Side, candidate: Side) -> tuple[OneSided, ...]:
    here, there = ([spec.name for spec in side.metrics] for side in (base, candidate))
    return (
        *(OneSided(metric=name, side="base") for name in here if name not in there),
        *(OneSided(metric=name, side="candidate") for name in there if name not in here),
    )


def _family(found: Sequence[SettingComparison]) -> str:
    tests = sum(metric.p_value is not None for two in found for metric in two.metrics)
    metrics = max((len(two.metrics) for two in found), default=0)
    told = "the 1 test" if tests == 1 else f"all {tests:,} tests"
    measured = "1 metric" if metrics == 1 else f"{metrics} metrics"
    pairs = "1 pair" if len(found) == 1 else f"{len(found)} pairs"
    return f"{told} here: {measured} of {pairs} of settings, less what could not be tested"
