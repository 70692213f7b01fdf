"""Did it get worse? Every check of a policy, for every pair of settings, judged as one family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kreabench.analysis.outcomes import Judgement, Outcome, decide
from kreabench.core.errors import ExitCode
from kreabench.core.policies import CheckSpec, PolicySpec
from kreabench.decisions.comparison import (
    Comparison,
    CostComparison,
    MetricComparison,
    RateComparison,
    SettingComparison,
)
from kreabench.decisions.gate_items import Prepared, prepare
from kreabench.decisions.sides import Side


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GateCheck:
    """One quantity of one pair of settings, judged."""

    spec: CheckSpec
    """With the sides that it was judged on."""
    setting: SettingComparison
    compared: MetricComparison | CostComparison | RateComparison | None
    """None where it was not measured on both sides."""
    margin: float | None
    """Of a metric in its unit, of a cost relative, of a rate in shares; None where it is not known."""
    judgement: Judgement
    margin_error: float = 0.0
    """Standard error of the margin of a metric that is itself estimated: it is in the judgement."""

    @property
    def name(self) -> str:
        """The metric, cost or rate."""
        return self.spec.name

    @property
    def outcome(self) -> Outcome:
        """Of this check."""
        return self.judgement.outcome


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LeftOutCheck:
    """A check that the policy does not insist on, of something that was not measured or does not apply."""

    name: str
    setting: SettingComparison
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GateResult:
    """What a gate says, and what it rests on."""

    policy: PolicySpec
    comparison: Comparison
    checks: tuple[GateCheck, ...]
    left_out: tuple[LeftOutCheck, ...]
    obstacles: tuple[str, ...]
    """Why the whole cannot pass, whatever its checks say."""

    @property
    def outcome(self) -> Outcome:
        """Regressed where any check is; passed only where every check is and nothing stands against it."""
        found = {check.outcome for check in self.checks}
        if "regressed" in found:
            return "regressed"
        return "passed" if found == {"passed"} and not self.obstacles else "inconclusive"

    @property
    def exit_code(self) -> ExitCode:
        """What the process returns."""
        codes: Mapping[Outcome, ExitCode] = {
            "passed": ExitCode.DONE,
            "regressed": ExitCode.REGRESSION,
            "inconclusive": ExitCode.INCONCLUSIVE,
        }
        return codes[self.outcome]

    @property
    def family(self) -> int:
        """Checks that Holm's correction was made over: those with something to test."""
        return sum(check.judgement.p_loss is not None for check in self.checks)

    def of(self, outcome: Outcome) -> tuple[GateCheck, ...]:
        """The checks with this outcome."""
        return tuple(check for check in self.checks if check.outcome == outcome)


def judge(comparison: Comparison, policy: PolicySpec) -> GateResult:
    """All checks of `policy` over all pairs of settings of `comparison`, corrected as one family."""
    prepared = [(setting, one) for setting in comparison.settings for one in prepare(comparison, setting, policy)]
    asked = [(setting, one) for setting, one in prepared if one.item is not None]
    judgements = decide([one.item for _, one in asked if one.item is not None], level=policy.level)
    checks = tuple(
        _judged(setting, one, judgement) for (setting, one), judgement in zip(asked, judgements, strict=True)
    )
    return GateResult(
        policy=policy,
        comparison=comparison,
        checks=checks,
        left_out=tuple(
            LeftOutCheck(name=one.spec.name, setting=setting, reason=one.why_left_out)
            for setting, one in prepared
            if one.item is None
        ),
        obstacles=(
            *_obstacles(comparison),
            *(() if checks else ("no check could be made: nothing that the policy names was measured",)),
        ),
    )


def _judged(setting: SettingComparison, one: Prepared, judgement: Judgement) -> GateCheck:
    return GateCheck(
        spec=one.spec,
        setting=setting,
        compared=one.compared,
        margin=one.margin,
        judgement=judgement,
        margin_error=one.margin_error,
    )


def _obstacles(comparison: Comparison) -> list[str]:
    found = []
    for word, side in _sides(comparison):
        if side.unfinished:
            found.append(f"{word}: {side.unfinished:,} planned requests have no sample; kreabench resume {side.name}")
    for word, settings, other in (
        ("base", comparison.base_only, "candidate"),
        ("candidate", comparison.candidate_only, "base"),
    ):
        if settings:
            more = f", and {len(settings) - 3} more" if len(settings) > 3 else ""
            labels = "; ".join(setting.label for setting in settings[:3])
            several = "s" if len(settings) > 1 else ""
            found.append(f"{word}: {len(settings)} setting{several} without a partner in the {other}: {labels}{more}")
    if any(_is_itself(comparison, setting) for setting in comparison.settings):
        found.append("a setting is compared with itself, in one and the same run: that shows nothing")
    return found


def _sides(comparison: Comparison) -> tuple[tuple[str, Side], ...]:
    return ("base", comparison.base), ("candidate", comparison.candidate)


def _is_itself(comparison: Comparison, setting: SettingComparison) -> bool:
    """Such a gate would pass whatever was changed: a path given twice in a script goes unseen otherwise."""
    base, candidate = comparison.base, comparison.candidate
    same_run = (base.run_name, base.created_utc) == (candidate.run_name, candidate.created_utc)
    return same_run and setting.base.id == setting.candidate.id
