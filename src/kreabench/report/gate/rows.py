"""What a gate says, in words that every output of it shares."""

from __future__ import annotations

from dataclasses import dataclass

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.outcomes import Outcome
from kreabench.core.policies import RATES
from kreabench.decisions.comparison import CostComparison, MetricComparison, RateComparison, SettingComparison
from kreabench.decisions.gate import GateCheck, GateResult
from kreabench.report.format import ABSENT, count, difference, fixed, memory_unit, significant, usd
from kreabench.report.text import message

COLUMNS = ("check", "base", "candidate", "change", "margin", "outcome")
"""Heads of a table of `GateRow`; change has its interval, and stands on the candidate's side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRow:
    """One check."""

    name: str
    """† where the metric's own weights are random."""
    base: str
    candidate: str
    change: str
    """With its interval."""
    margin: str
    outcome: Outcome
    reason: str
    """With the number of prompts that would decide."""

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of `COLUMNS`."""
        return self.name, self.base, self.candidate, self.change, self.margin, self.outcome


def row_of_check(check: GateCheck) -> GateRow:
    """`check` in words."""
    base, candidate = _values(check)
    untrained = isinstance(check.compared, MetricComparison) and check.compared.untrained
    return GateRow(
        name=f"{check.name} †" if untrained else check.name,
        base=base,
        candidate=candidate,
        change=_change(check),
        margin=margin_text(check),
        outcome=check.outcome,
        reason=reason_text(check),
    )


def reason_text(check: GateCheck) -> str:
    """Why it came out so, and what would decide."""
    n = None if check.judgement.p_loss is None else check.judgement.n_to_decide  # untested, the reason says what lacks
    return message(check.judgement.reason) + ("" if n is None else f"; {n:,} prompts would decide")


def heading(setting: SettingComparison) -> str:
    """A pair of settings."""
    here, there = setting.base.label, setting.candidate.label
    return here if here == there else f"{here} → {there}"


def title(result: GateResult) -> str:
    """Which gate it is."""
    comparison = result.comparison
    return f"gate {result.policy.name}: {comparison.base.name} → {comparison.candidate.name}"


def verdict(result: GateResult) -> str:
    """The whole in one line."""
    number = len(result.checks)
    found = [f"{len(result.of(kind))} {kind}" for kind in ("regressed", "inconclusive", "passed") if result.of(kind)]
    if result.outcome == "passed":
        return f"passed: {'the check' if number == 1 else f'all {number:,} checks'}"
    named = ", ".join(dict.fromkeys(check.name for check in result.of(result.outcome)))
    return f"{result.outcome}{f': {named}' if named else ''} ({', '.join(found) or 'no check'})"


def warnings(result: GateResult) -> list[str]:
    """What stands against the whole: why it cannot pass, and what does not compare."""
    forced = [f"not comparable, forced: {mismatch}" for mismatch in result.comparison.forced]
    return [*(f"cannot pass: {text}" for text in result.obstacles), *forced]


def notes(result: GateResult) -> list[str]:
    """What the reader must know before any number."""
    said = list(result.comparison.caveats)
    if any(isinstance(check.compared, MetricComparison) and check.compared.untrained for check in result.checks):
        said.append("† untrained metric: its values show the tool, not the pictures.")
    return said


def rests_on(result: GateResult) -> list[str]:
    """Method, family, versions, and what was left out."""
    policy, pairs = result.policy, len(result.comparison.settings)
    lines = [
        f"level {policy.level:g}: intervals of {100 * (1 - 2 * policy.level):g} %, whose bad end decides; a loss is "
        f"established after Holm's correction over {count(result.family, 'check')} of "
        f"{count(pairs, 'pair')} of settings; at least {policy.min_prompts} prompts, at most "
        f"{100 * policy.max_unpaired_share:g} % without a partner",
    ]
    if any(isinstance(check.compared, MetricComparison) and check.compared.seed_sd for check in result.checks):
        lines.append("σ: the noise floor, the standard deviation from seed to seed of the base's scores of a prompt")
    if any(check.margin_error for check in result.checks):
        lines.append("SE: standard error of a margin that is itself estimated; the intervals contain it")
    differing = [f"{x.name} {x.base or ABSENT} → {x.candidate or ABSENT}" for x in result.comparison.versions]
    lines += [f"versions that differ: {'; '.join(differing)}"] if differing else []
    gathered: dict[str, list[str]] = {}
    for left in result.left_out:
        gathered.setdefault(message(left.reason), []).append(left.name)
    for reason, names in gathered.items():
        lines.append(f"not judged: {', '.join(dict.fromkeys(names))}: {reason}")
    return lines


def pairs_text(setting: SettingComparison) -> str:
    """How many pictures stand behind the checks of a pair of settings."""
    prompts = max((metric.scores.difference.size for metric in setting.metrics), default=0)
    said = [count(setting.pairs, "pair") + " of pictures" + (f", {count(prompts, 'prompt')}" if prompts else "")]
    said += [f"{setting.identical:,} of equal files"] if setting.identical else []
    said += [f"{setting.resized:,} of two sizes, not compared"] if setting.resized else []
    said += [f"{len(setting.unpaired):,} without a partner"] if setting.unpaired else []
    said += [f"{count(setting.both_failed, 'request')} failed on both sides"] if setting.both_failed else []
    return ", ".join(said)


def value_pair(check: GateCheck) -> tuple[float | None, float | None]:
    """Base and candidate: mean over prompts, median, or share; None where there is none."""
    compared = check.compared
    if isinstance(compared, MetricComparison):
        return compared.base_mean, compared.candidate_mean
    if isinstance(compared, CostComparison):
        return compared.base, compared.candidate
    if compared is None or not compared.base_n or not compared.candidate_n:
        return None, None
    return compared.base_count / compared.base_n, compared.candidate_count / compared.candidate_n


def _values(check: GateCheck) -> tuple[str, str]:
    compared = check.compared
    if isinstance(compared, RateComparison):
        return (
            f"{compared.base_count:,} of {compared.base_n:,}",
            f"{compared.candidate_count:,} of {compared.candidate_n:,}",
        )
    here, there = (ABSENT if value is None else _quantity(check, value) for value in value_pair(check))
    return here, there


def _quantity(check: GateCheck, value: float) -> str:
    if not isinstance(check.compared, CostComparison):
        return significant(value, 4)
    if check.name == "peak_memory":
        unit, size = memory_unit([value])
        return f"{significant(value / size)} {unit}"
    return usd(value) if check.name == "usd_per_image" else f"{significant(value)} {check.compared.unit}"


def _change(check: GateCheck) -> str:
    change = check.judgement.change
    if change is None:
        return ABSENT
    unit, shown = "", change
    if isinstance(check.compared, CostComparison):
        unit, shown = " %", _scaled(change, 100.0, less=1.0)
    elif isinstance(check.compared, RateComparison):
        unit, shown = " points", _scaled(change, 100.0)
    value, interval = difference(shown)
    return f"{value}{unit}" + (f" ({interval})" if interval else "")


def _scaled(value: Estimate, factor: float, *, less: float = 0.0) -> Estimate:
    low, high = (None if end is None else (end - less) * factor for end in (value.low, value.high))
    return Estimate(value=(value.value - less) * factor, low=low, high=high, n=value.n)


def margin_text(check: GateCheck) -> str:
    """How far the change may go, in its unit, of a metric also in noise floors."""
    margin, compared = check.margin, check.compared
    better_is_higher = isinstance(compared, MetricComparison) and compared.better == "higher"
    sign = "±" if check.spec.sides == "two" else "-" if better_is_higher else "+"
    if margin is None or not isinstance(compared, MetricComparison):
        return _as_asked(check, sign if compared else "")
    floors = f" = {fixed(margin / compared.seed_sd, 2)} σ" if compared.seed_sd else ""
    error = f" (SE {significant(check.margin_error, 1)})" if check.margin_error else ""
    return f"{sign}{significant(margin, 2)}{error}{floors}"


def _as_asked(check: GateCheck, sign: str) -> str:
    """A margin as the policy has it: of a cost or a rate, and where it is not known in the metric's unit."""
    asked = check.spec.margin
    if asked.kind == "noise_floor":
        return f"{sign}{asked.value:g} σ"
    if asked.kind == "relative":
        return f"{sign}{100 * asked.value:g} %"
    return f"{sign}{100 * asked.value:g} points" if check.name in RATES else f"{sign}{asked.value:g}"
