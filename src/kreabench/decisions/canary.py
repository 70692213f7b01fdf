"""A canary's newest day: what its pictures, scores, latency and price say beside the days before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kreabench.analysis.daily import daily_level
from kreabench.core.errors import ConfigError, ExitCode
from kreabench.core.policies import PolicySpec
from kreabench.decisions.canary_costs import LatencyVerdict, PriceVerdict, judge_latency, judge_prices
from kreabench.decisions.canary_days import Day, once
from kreabench.decisions.canary_pictures import PictureVerdict, before, judge_pictures
from kreabench.decisions.canary_stretch import REFERENCE_DAYS, Distance
from kreabench.decisions.comparability import NotComparable
from kreabench.decisions.compare import compare_sides
from kreabench.decisions.gate import GateResult, judge
from kreabench.decisions.history_runs import differing

Alarm = Literal["pictures", "scores", "latency", "price"]

KINDS = 3
"""Tests of a day that can raise a false alarm: pictures, scores and latency. A price has no noise."""

FALSE_ALARMS_PER_YEAR = 0.2
"""Of all tests of a daily canary together: one in five years."""

REPEATED_DAYS = 3
"""Days of one model on which every picture is drawn twice, to learn how well the service repeats itself."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoreVerdict:
    """The gate of a day by one day before."""

    base: Day | None
    """None where there is nothing to compare with."""
    gate: GateResult | None
    """None where nothing could be judged."""
    reason: str
    """Why, in a sentence without a full stop; of a gate its outcome."""
    comparable: bool = True
    """Whether the two days could be compared, if there are two."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CanaryResult:
    """The newest day, with the verdicts of all days: those of the past are what they were found to be today."""

    days: tuple[Day, ...]
    """Oldest first."""
    pictures: tuple[PictureVerdict, ...]
    """One a day, as are `latency` and `prices`."""
    latency: tuple[LatencyVerdict, ...]
    prices: tuple[PriceVerdict, ...]
    scores: ScoreVerdict
    """Of the newest day alone."""
    differing: tuple[str, ...]
    """What else is not as on the day before: versions on this side, what the service named."""
    level: float
    """Of each test of a day."""
    false_alarms_per_year: float
    notices: tuple[str, ...]
    """Runs that do not count, and why."""
    begun_anew: bool = False
    """There are older days, and none of them counts: the newest asked for something else than all of them."""

    @property
    def day(self) -> Day:
        """The newest."""
        return self.days[-1]

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """What somebody should look at."""
        found: list[Alarm] = []
        if self.pictures[-1].state == "changed":
            found.append("pictures")
        if self.scores.gate is not None and self.scores.gate.outcome == "regressed":
            found.append("scores")
        if self.latency[-1].state == "slower":
            found.append("latency")
        if self.prices[-1].state == "changed":
            found.append("price")
        return tuple(found)

    def exit_code(self, ended: ExitCode = ExitCode.DONE) -> ExitCode:
        """What the process returns; `ended` is how the day's run ended. An alarm stands above a failure."""
        if self.alarms:
            return ExitCode.REGRESSION
        if ended != ExitCode.DONE:
            return ended
        if self.day.failed:
            return ExitCode.FAILED_SAMPLES
        undecided = self.begun_anew or self.pictures[-1].state == "undecided" or not self.scores.comparable
        return ExitCode.INCONCLUSIVE if undecided else ExitCode.DONE


def judge_canary(
    days: Sequence[Day],
    distance: Distance,
    policy: PolicySpec,
    *,
    false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR,
    notices: Sequence[str] = (),
    begun_anew: bool = False,
) -> CanaryResult:
    """Judge the newest of `days`, at least one, oldest first.

    `policy` is the gate's: its own level holds once the pictures have changed, when the question is whether they are
    worse; otherwise that of a daily test.
    """
    level = daily_level(false_alarms_per_year, KINDS)
    pictures = judge_pictures(days, distance, level=level)
    return CanaryResult(
        days=tuple(days),
        pictures=pictures,
        latency=judge_latency(days, level=level),
        prices=judge_prices(days),
        scores=_scores(days, pictures, policy, level),
        differing=differing(days[-2].side, days[-1].side) if len(days) > 1 else (),
        level=level,
        false_alarms_per_year=false_alarms_per_year,
        notices=tuple(notices),
        begun_anew=begun_anew,
    )


def repeats_wanted(days: Sequence[Day], pictures: Sequence[PictureVerdict]) -> int:
    """How often the next day should draw each picture: twice while little is known of how a model's service repeats."""
    start = next((number for number in range(len(days) - 1, -1, -1) if pictures[number].state == "changed"), 0)
    usable = sum(verdict.state != "failed" for verdict in pictures[start:])
    return 2 if usable < REPEATED_DAYS else 1


def _scores(days: Sequence[Day], pictures: Sequence[PictureVerdict], policy: PolicySpec, level: float) -> ScoreVerdict:
    day, verdict = days[-1], pictures[-1]
    earlier = before(days, pictures, len(days) - 1)[:REFERENCE_DAYS]
    if not earlier or verdict.state == "failed":
        reason = "too little was delivered" if earlier else "nothing to compare with yet"
        return ScoreVerdict(base=None, gate=None, reason=reason)
    base = max(earlier, key=lambda one: one.delivered / max(one.requests, 1))  # of equals the first
    sides = once([base, day], base), once([base, day], day)
    try:
        comparison = compare_sides(*sides)
    except (NotComparable, ConfigError) as error:
        return ScoreVerdict(base=base, gate=None, reason=" ".join(str(error).split()), comparable=False)
    chosen = policy if verdict.state == "changed" else replace(policy, level=level)
    gate = judge(comparison, chosen)
    return ScoreVerdict(base=base, gate=gate, reason=f"{gate.outcome} against {base.name}")
