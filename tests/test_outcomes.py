"""Decisions of a family of checks: what passes, what fails, and what can never pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kreabench.analysis.estimates import Estimate
from kreabench.analysis.families import holm
from kreabench.analysis.items import cost_item, rate_item, score_item
from kreabench.analysis.outcomes import Item, Judgement, decide, weigh
from kreabench.analysis.paired import LeftOut, PairedScores, pair_scores

LEVEL = 0.05


def paired(
    change: np.ndarray[Any, np.dtype[np.float64]], *, seeds: int = 1, left_out: LeftOut | None = None
) -> PairedScores:
    """Base scores that vary, and a change a prompt."""
    prompts = np.repeat(np.array([f"p{n}" for n in range(change.size)], dtype=object), seeds)
    base = np.asarray(20.0 + np.arange(prompts.size) % 7, dtype=np.float64)
    candidate = np.asarray(base + np.repeat(change, seeds), dtype=np.float64)
    return pair_scores(base, candidate, prompts, left_out=left_out)


def noisy(mean: float, *, n: int = 40, sd: float = 1.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Exactly this mean and standard deviation, symmetric."""
    x = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return np.asarray(mean + sd * x / x.std(ddof=1), dtype=np.float64)


def item(scores: PairedScores, **changes: Any) -> Item:
    asked: dict[str, Any] = {"better": "higher", "margin": 0.5, "sides": "one", "level": LEVEL} | changes
    return score_item(scores, **asked)


def judge(scores: PairedScores, **changes: Any) -> Judgement:
    return decide([item(scores, **changes)], level=LEVEL)[0]


@pytest.mark.parametrize(
    ("mean", "sides", "outcome"),
    [
        (0.0, "one", "passed"),
        (-0.1, "one", "passed"),
        (-0.45, "one", "regressed"),
        (-2.0, "one", "regressed"),
        (2.0, "one", "passed"),
        (2.0, "two", "regressed"),  # suspiciously better
        (-2.0, "two", "regressed"),
        (0.0, "two", "passed"),
        (-0.26, "one", "inconclusive"),
        (0.26, "two", "inconclusive"),
    ],
)
def test_three_outcomes(mean: float, sides: str, outcome: str) -> None:
    assert judge(paired(noisy(mean)), sides=sides).outcome == outcome


def test_an_established_loss_that_lies_inside_the_margin_passes() -> None:
    found = judge(paired(noisy(-0.2, sd=0.2)))
    assert found.outcome == "passed"
    assert found.p_loss is not None
    assert found.p_loss < 1e-6


def test_no_significant_difference_is_no_pass() -> None:
    found = judge(paired(noisy(0.0, n=8, sd=2.0)))
    assert found.outcome == "inconclusive"
    assert found.p_loss == pytest.approx(0.5)


def test_less_is_better_and_no_better_side() -> None:
    assert judge(paired(noisy(2.0)), better="lower").outcome == "regressed"
    assert judge(paired(noisy(-2.0)), better="lower").outcome == "passed"
    assert judge(paired(noisy(2.0)), better="reference").outcome == "regressed"
    change = judge(paired(noisy(2.0)), better="lower").change
    assert change is not None
    assert change.value == pytest.approx(2.0)  # as people read it, not turned round
    assert change.interval is not None
    assert change.interval[0] < 2.0 < change.interval[1]


def test_holm_is_over_the_whole_family() -> None:
    alone = judge(paired(noisy(-0.34)))
    among = decide([item(paired(noisy(-0.34))), *[item(paired(noisy(0.0))) for _ in range(5)]], level=LEVEL)
    assert alone.outcome == "regressed"
    assert among[0].outcome == "inconclusive"
    assert among[0].p_loss == pytest.approx(6 * (alone.p_loss or 0))
    assert among[0].tests == 6
    assert holm([0.01, None, 0.04]) == pytest.approx((0.02, None, 0.04))
    assert holm([None]) == (None,)


def test_the_end_of_the_interval_decides_as_the_test_does() -> None:
    skewed = -np.random.default_rng(1).gamma(1.0, size=30)
    for margin in (1.2, 1.4, 1.6, 1.8):
        found = weigh(skewed, margin, sides="one", level=LEVEL)
        assert (found.p_inside <= LEVEL) == (found.low >= -margin)
    edge = weigh(skewed, -found.low, sides="one", level=LEVEL)
    assert edge.p_inside == pytest.approx(LEVEL)


def test_a_loss_that_few_prompts_bear_does_not_pass_too_often() -> None:
    """Student's test alone passes 10 % here."""
    rng = np.random.default_rng(2)
    losses = -rng.exponential(size=(800, 25))
    ours = np.mean([weigh(row, 1.0, sides="one", level=LEVEL).p_inside <= LEVEL for row in losses])
    students = np.mean(stats.ttest_1samp(losses, -1.0, axis=1, alternative="greater").pvalue <= LEVEL)
    assert students > 0.08
    assert ours < 0.08


@pytest.mark.parametrize(
    ("scores", "changes", "words"),
    [
        (pair_scores(np.array([1.0]), np.array([math.nan]), np.array(["a"], dtype=object)), {}, "no picture has"),
        (paired(np.array([0.3])), {}, "one prompt alone"),
        (paired(noisy(0.0, n=9)), {"min_prompts": 10}, "9 prompts, where"),
        (paired(np.zeros(20)), {"margin": 0.0}, "all differences are equal"),
        (paired(np.zeros(4)), {}, "all differences are equal"),
        (
            pair_scores(np.full(9, math.inf), np.full(9, math.inf), np.array(list("abcdefghi"), dtype=object)),
            {},
            "all differences are equal",
        ),
        (paired(np.full(20, 0.1)), {"identical": True}, "all differences are equal"),
        (paired(noisy(0.0), left_out=LeftOut(base_only=10)), {"max_unpaired_share": 0.1}, "10 pictures or scores"),
        (
            pair_scores(np.ones(9), np.ones(9), np.array(list("abcdefghi"), dtype=object)),
            {"identical": True},
            "saw nothing",
        ),
        (paired(noisy(0.0), left_out=LeftOut(infinite_losses=1)), {}, "differ infinitely"),
        (paired(noisy(0.0), left_out=LeftOut(infinite_gains=1)), {"sides": "two"}, "differ infinitely"),
        (paired(np.zeros(9), left_out=LeftOut(infinite_losses=1)), {"identical": True}, "all differences are equal"),
    ],
)
def test_what_can_never_pass(scores: PairedScores, changes: dict[str, Any], words: str) -> None:
    found = judge(scores, **{"margin": 5.0} | changes)
    assert found.outcome == "inconclusive"
    assert words in found.reason


def test_infinite_losses_may_regress_and_infinite_gains_of_one_side_pass() -> None:
    assert judge(paired(noisy(-2.0), left_out=LeftOut(infinite_losses=3))).outcome == "regressed"
    assert judge(paired(noisy(0.0), left_out=LeftOut(infinite_gains=3))).outcome == "passed"
    assert judge(paired(noisy(0.0), left_out=LeftOut(infinite_gains=3)), better="lower").outcome == "inconclusive"


def test_identical_pictures_pass() -> None:
    found = judge(paired(np.zeros(20)), identical=True, margin=0.0)
    assert (found.outcome, found.reason) == ("passed", "the pictures are identical")


@pytest.mark.parametrize("sides", ["one", "two"])
def test_scores_that_changed_in_no_prompt_pass_as_those_that_hardly_did(sides: str) -> None:
    found = judge(paired(np.zeros(20)), sides=sides)
    assert (found.outcome, found.reason) == ("passed", "no prompt changed at all")
    assert judge(paired(np.append(np.zeros(19), -1e-3)), sides=sides).outcome == "passed"


def test_no_margin_is_too_large_to_reckon_with() -> None:
    assert judge(paired(noisy(-2.0)), margin=1e300).outcome == "passed"
    assert judge(paired(noisy(-2.0)), margin=1e300, sides="two").outcome == "passed"


def test_errors_of_floating_point_are_no_spread() -> None:
    found = judge(paired(np.array([0.0, 1.0, 2.0, 0.0]) * 1e-15))
    assert found.outcome == "inconclusive"
    assert "without spread" in found.reason


@pytest.mark.parametrize(("mean", "sides"), [(-0.26, "one"), (-0.05, "two"), (-0.7, "one")])
def test_the_number_of_prompts_named_decides(mean: float, sides: str) -> None:
    """Drawn with that number from the observed mean and spread, at least about 80 % are decided."""
    few = judge(paired(noisy(mean, n=8, sd=1.3)), sides=sides)
    assert few.outcome == "inconclusive"
    n = few.n_to_decide
    assert n is not None
    draws = np.random.default_rng(3).normal(mean, 1.3, size=(200, n))
    decided = [
        (e.p_inside if abs(mean) < 0.5 else e.p_loss) <= LEVEL
        for e in (weigh(d, 0.5, sides=sides, level=LEVEL) for d in draws)  # type: ignore[arg-type]
    ]
    assert 0.7 < np.mean(decided) < 0.95


def test_where_no_number_decides_it_is_said() -> None:
    at_margin = judge(paired(noisy(-0.25, n=6)), margin=0.25)
    assert (at_margin.outcome, at_margin.n_to_decide) == ("inconclusive", None)
    none = judge(paired(noisy(0.0, n=6)), margin=0.0)
    assert (none.outcome, none.n_to_decide) == ("inconclusive", None)
    assert "inside a margin of 0" in none.reason
    assert judge(paired(noisy(0.0, n=9)), min_prompts=30).n_to_decide == 30


def cost(ratio: Estimate | None, **changes: Any) -> Judgement:
    asked: dict[str, Any] = {"margin": 0.05, "sides": "one", "level": LEVEL} | changes
    return decide([cost_item(ratio, **asked)], level=LEVEL)[0]


@pytest.mark.parametrize(
    ("value", "low", "high", "changes", "outcome"),
    [
        (1.01, 0.99, 1.03, {}, "passed"),
        (1.10, 1.05, 1.15, {}, "regressed"),
        (1.02, 0.92, 1.13, {}, "inconclusive"),
        (0.50, 0.49, 0.51, {}, "passed"),
        (0.50, 0.49, 0.51, {"sides": "two"}, "regressed"),
        (1.0, 1.0, 1.0, {"margin": 0.0}, "passed"),  # known exactly
        (1.0, 1.0, 1.0, {"margin": 0.0, "sides": "two"}, "passed"),
        (1.2, 1.2, 1.2, {}, "regressed"),
        (1.0, 1.0, 1.0, {"min_prompts": 26}, "inconclusive"),
        (1.0, None, None, {}, "inconclusive"),
    ],
)
def test_costs(value: float, low: float | None, high: float | None, changes: dict[str, Any], outcome: str) -> None:
    assert cost(Estimate(value=value, low=low, high=high, n=25), **changes).outcome == outcome


def test_a_cost_turns_at_the_one_sided_end_of_its_interval() -> None:
    t = stats.t(24)
    error = math.log(1.05 / 1.02) / t.ppf(0.95)  # so the one-sided 95 % bound of 1.02 is 1.05
    half = t.ppf(0.975) * error
    ratio = Estimate(value=1.02, low=1.02 * math.exp(-half), high=1.02 * math.exp(half), n=25)
    assert cost(ratio, margin=0.0501).outcome == "passed"
    found = cost(ratio, margin=0.0499)
    assert found.outcome == "inconclusive"
    assert found.change is not None
    assert found.change.high == pytest.approx(1.05)


def rate(*counts: int, **changes: Any) -> Judgement:
    asked: dict[str, Any] = {"prompts": 100, "margin": 0.02, "sides": "one", "level": LEVEL} | changes
    return decide([rate_item(*counts, **asked)], level=LEVEL)[0]


def test_rates() -> None:
    assert rate(0, 400, 0, 400, independent=True).outcome == "passed"
    assert rate(0, 400, 0, 400).outcome == "inconclusive"  # 100 prompts: mishaps may come by prompt
    assert rate(0, 400, 20, 400).outcome == "regressed"
    assert rate(20, 400, 0, 400).outcome == "passed"
    assert rate(20, 400, 0, 400, sides="two").outcome == "regressed"
    assert rate(0, 0, 0, 400).reason == "not measured on both sides"
    assert rate(0, 400, 0, 400, margin=0.0).outcome == "inconclusive"


def test_prompts_without_any_mishap_that_pass() -> None:
    n = rate(0, 400, 0, 400).n_to_decide
    assert n is not None
    assert rate(0, 4 * n, 0, 4 * n, prompts=n).outcome == "passed"
    assert rate(0, 4 * n - 40, 0, 4 * n - 40, prompts=n - 10).outcome == "inconclusive"
