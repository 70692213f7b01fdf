"""Comparisons of sides with known truth, and of everything that can be missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kreabench.core.errors import ConfigError
from kreabench.core.policies import Cost
from kreabench.decisions.compare import compare_sides, compare_with_reference, with_metrics
from kreabench.decisions.comparison import CostComparison, MetricComparison, SettingComparison
from kreabench.decisions.worst import worst_prompts
from kreabench.report.comparison.words import finding
from tests.compare_support import CLIP, COLOUR, LPIPS, Scores, make_side
from tests.support import make_setting

Change = Callable[[pd.DataFrame], pd.DataFrame]
PROMPTS, SEEDS = 12, (0, 1)


def noisy(loss: float = 0.0, *, seed: int = 0, sd: float = 0.1) -> Scores:
    """Prompts that differ much more than versions do."""
    random = np.random.default_rng(seed)

    def scores(number: int, prompts: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        return 30.0 + 3.0 * prompts - loss + random.normal(0, sd, prompts.size)

    return scores


def two(base: Any = None, candidate: Any = None, **changes: Any) -> SettingComparison:
    """Two sides of one setting; each may have options of its own."""
    common = {"prompts": PROMPTS, "seeds": SEEDS} | changes
    sides = [make_side(name=name, **(common | (own or {}))) for name, own in (("a", base), ("b", candidate))]
    return compare_sides(*sides).settings[0]


def metric(loss: float = 0.0, spec: Any = CLIP, **changes: Any) -> MetricComparison:
    spoilt = {"metrics": (spec,), "scores": {spec.name: noisy(loss, seed=1)}} | changes
    return two({"metrics": (spec,), "scores": {spec.name: noisy()}}, spoilt).metrics[0]


def cost(quantity: Cost, base: Change, candidate: Change, **changes: Any) -> CostComparison:
    found = two({"change": base}, {"change": candidate}, **changes).costs
    return next(one for one in found if one.quantity == quantity)


def put(**columns: Any) -> Change:
    return lambda table: table.assign(**columns)


def drop(prompt: str) -> Change:
    return lambda table: table[table["prompt_id"] != prompt]


def fail(prompt: str, kind: str = "out_of_memory") -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        rows = table["prompt_id"] == prompt
        table.loc[rows, ["status", "error_type"]] = ["failed", kind]
        table.loc[rows, ["image_index", "end_to_end_s"]] = None
        return table

    return change


def test_pairing_finds_a_loss_far_smaller_than_the_spread_of_prompts() -> None:
    found = metric(0.5)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(-0.5, abs=0.1)
    assert found.difference.n == PROMPTS
    assert found.pairs == PROMPTS * len(SEEDS)
    assert finding(found) == "worse"
    assert found.share_better == 0.0
    assert found.effect_size is not None
    assert found.effect_size < -2


@pytest.mark.parametrize(("spec", "what"), [(CLIP, "worse"), (LPIPS, "better"), (COLOUR, "shifted")])
def test_the_better_side_is_the_metrics_own(spec: Any, what: str) -> None:
    found = metric(0.5, spec)
    assert finding(found) == what
    assert (found.share_better is None) == (what == "shifted")


def test_the_worst_prompts_are_by_the_better_side() -> None:
    def scores(sign: float) -> Scores:
        return lambda number, prompts, seeds: sign * np.where(prompts == 3, -5.0, 0.01 * prompts)

    nothing: Scores = lambda number, prompts, seeds: 0.0 * prompts  # noqa: E731
    for spec, sign in ((CLIP, 1.0), (LPIPS, -1.0), (COLOUR, 1.0), (COLOUR, -1.0)):
        base = {"metrics": (spec,), "scores": {spec.name: nothing}}
        found = two(base, {"metrics": (spec,), "scores": {spec.name: scores(sign)}}).metrics[0]
        assert worst_prompts(found, 2)[0].prompt_id == "prompt-3"
        assert len(worst_prompts(found, 100)) == PROMPTS


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"prompts": 1}, "one prompt"),
        ({"scores": {"clip": lambda number, p, s: 7.0 + 0.0 * p}}, "all scores are equal"),
        ({"scores": {"clip": lambda number, p, s: p + 0.3}}, "no difference in any prompt"),
        ({"change": put(score_clip=np.nan)}, "no pair has a score"),
    ],
)
def test_what_cannot_be_inferred_says_why(changes: dict[str, Any], obstacle: str) -> None:
    found = two(**changes).metrics[0]
    assert obstacle in found.obstacle
    assert found.p_value is None
    assert found.difference is None or found.difference.interval is None
    assert finding(found) == "not tested"


def test_rounding_is_no_finding() -> None:
    """Some kernels sum in another order: one bit of the same score."""
    base: Scores = lambda number, p, s: 30.0 + p  # noqa: E731
    rounded: Scores = lambda number, p, s: 30.0 + p + 1e-14 * (1 + p % 3)  # noqa: E731
    found = two({"scores": {"clip": base}}, {"scores": {"clip": rounded}}).metrics[0]
    assert found.obstacle == "no difference in any prompt"


def test_one_and_the_same_shift_everywhere_is_not_called_certain() -> None:
    shifted: Scores = lambda number, p, s: 31.0 + p  # noqa: E731
    found = two({"scores": {"clip": lambda n, p, s: 30.0 + p}}, {"scores": {"clip": shifted}}).metrics[0]
    assert "the same difference" in found.obstacle
    assert found.difference is not None
    assert found.difference.value == pytest.approx(1.0)
    assert found.difference.interval is None


def test_infinite_and_missing_scores_are_counted() -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        status, reason = table["score_clip_status"].to_list(), table["score_clip_reason"].to_list()
        status[:2], reason[1] = ["infinite", "failed"], "too dark"
        values = np.where(np.arange(len(table)) < 2, np.nan, table["score_clip"])
        return table.assign(score_clip=values, score_clip_status=status, score_clip_reason=reason)

    found = metric(0.5, change=change)
    assert (found.scores.left_out.infinite_gains, found.scores.left_out.base_only) == (1, 1)
    assert found.reasons == ("candidate: too dark",)
    assert found.pairs == PROMPTS * len(SEEDS) - 2
    assert "prompt-0" not in found.scores.prompts


def test_a_metric_of_one_side_is_listed() -> None:
    found = compare_sides(make_side(metrics=(CLIP, LPIPS)), make_side(metrics=(COLOUR, CLIP)))
    assert [(one.metric, one.side) for one in found.one_sided] == [("lpips", "base"), ("colour", "candidate")]
    assert [one.spec.name for one in found.settings[0].metrics] == ["clip"]
    with pytest.raises(ConfigError, match="lpips"):
        with_metrics(make_side(), ["lpips"])


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ({"change": fail("prompt-2")}, "failed: out_of_memory"),
        ({"change": drop("prompt-2")}, "not drawn yet, or not asked"),
        ({"change": drop("prompt-2"), "prompts": 13}, "not drawn yet, or not asked"),
    ],
)
def test_what_happened_to_a_missing_partner(candidate: dict[str, Any], reason: str) -> None:
    rows = [row for row in two(None, candidate).unpaired if row.side == "base"]
    assert [(row.prompt_id, row.seed, row.reason) for row in rows] == [("prompt-2", seed, reason) for seed in SEEDS]


def test_what_was_never_asked_is_told_from_what_is_still_to_come() -> None:
    fewer = two(None, {"prompts": PROMPTS - 1})
    assert {row.reason for row in fewer.unpaired} == {"not asked: no such prompt"}
    seeds = two(None, {"seeds": (0,)})
    assert {row.reason for row in seeds.unpaired} == {"not asked: no such seed or repeat"}
    settings = [make_setting(steps=steps) for steps in (2, 4)]
    rest = lambda table: table[(table["setting_id"] != settings[0].id) | (table["seed"] == 0)]  # noqa: E731
    found = compare_sides(make_side(settings), make_side(settings, change=rest))
    assert {row.reason for row in found.settings[0].unpaired} == {"not drawn yet"}
    assert found.settings[1].unpaired == ()
    assert any("not finished: 6 of 24" in text for text in found.caveats)
    side = make_side(settings, change=rest)
    again = compare_sides(side, replace(side)).caveats
    assert sum("not finished" in text for text in again) == 1, "one run that is named twice"


def test_requests_that_fail_on_both_sides_are_counted() -> None:
    found = two({"change": fail("prompt-2")}, {"change": fail("prompt-2")})
    assert (found.both_failed, found.unpaired, found.pairs) == (2, (), 22)
    rate = found.rates[0]
    assert (rate.base_count, rate.base_n, rate.candidate_count) == (2, 24, 2)
    assert rate.difference is not None
    assert rate.difference.low is not None
    assert rate.difference.low < 0 < (rate.difference.high or 0)


def test_a_side_where_all_failed_is_compared_by_its_failures() -> None:
    found = two(None, {"change": lambda table: fail("prompt-0")(table.assign(prompt_id="prompt-0"))}, prompts=1)
    assert (found.pairs, found.rates[0].candidate_count) == (0, 2)
    assert found.costs[0].obstacle == "candidate: no sample is fit for timing"


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no pair in common"):
        compare_sides(make_side(seeds=(0,)), make_side(seeds=(1,)))
    with pytest.raises(ConfigError, match="nothing was drawn"):
        compare_sides(make_side(), make_side(change=lambda table: table.iloc[:0]))


def test_pictures_of_two_sizes_have_their_scores_left_alone() -> None:
    found = two(None, {"change": put(image_width=256)})
    assert (found.pairs, found.resized) == (24, 24)
    assert found.metrics[0].scores.prompts == ()


def test_equal_files_are_said() -> None:
    found = compare_sides(make_side(), make_side())
    assert found.settings[0].identical == found.settings[0].pairs == 12
    assert any("equal files" in text for text in found.caveats)


def test_only_what_is_fit_for_timing_is_a_timing() -> None:
    def slow_first(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[:8, "end_to_end_s"], table.loc[:8, "timing_valid"] = 99.0, False
        return table

    found = cost("latency", slow_first, put(end_to_end_s=1.0))
    assert (found.base_n, found.candidate_n) == (15, 24)
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.0 / (found.base or 0))
    assert (found.base or 0) < 0.6


def test_percentiles_need_enough_timings() -> None:
    few = two(None, {"prompts": 20}).costs[0].percentiles
    assert [(pair.p, pair.base, pair.candidate is not None) for pair in few] == [(0.9, None, True)]


def test_dollars_are_of_an_image() -> None:
    four = make_setting(num_images=4)
    sides = make_side(change=put(usd=0.02)), make_side([four], change=put(usd=0.02))
    found = next(one for one in compare_sides(*sides).settings[0].costs if one.quantity == "usd_per_image")
    assert (found.base, found.candidate) == (0.02, 0.005)
    assert (found.base_kind, found.ratio and found.ratio.value) == ("price list", 0.25)


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        (put(peak_allocated_bytes=2 * 10**9), "resident in the worker against allocated on the device"),
        (put(service_request_id="request-1"), "candidate: not measured: hosted"),
    ],
)
def test_two_kinds_of_memory_are_never_mixed(change: Change, obstacle: str) -> None:
    found = cost("peak_memory", put(), change)
    assert found.ratio is None
    assert obstacle in found.obstacle


def test_what_was_not_measured_or_costs_nothing_says_so() -> None:
    assert "base and candidate: not measured" in cost("energy", put(), put()).obstacle
    assert "0 has no ratio" in cost("usd_per_image", put(usd=0.0), put()).obstacle
    few = cost("latency", put(), put(), prompts=2)
    assert few.ratio is not None
    assert (few.ratio.interval, few.obstacle) == (None, "too few values for an interval: 4 and 4")


def test_holm_is_over_all_settings_and_metrics_together() -> None:
    reference = make_setting(steps=8)
    settings = [reference, *(make_setting(steps=n, reference_id=reference.id) for n in (1, 2, 3))]
    side = make_side(settings, prompts=PROMPTS, metrics=(CLIP, LPIPS), scores={"clip": noisy(), "lpips": noisy(seed=3)})
    found = compare_with_reference(side)
    p = sorted((m.p_value or 0, m.p_adjusted or 0) for setting in found.settings for m in setting.metrics)
    assert len(p) == 6
    assert p[0][1] == pytest.approx(min(1.0, 6 * p[0][0]))
    assert all(raw <= adjusted for raw, adjusted in p)
    assert "6 tests" in found.family
    only = compare_with_reference(side, settings[1:2])
    assert len(only.settings) == 1
    assert (only.settings[0].metrics[0].p_adjusted or 0) <= 2 * (only.settings[0].metrics[0].p_value or 0)


def test_equal_versions_are_rarely_told_apart() -> None:
    """Over the family of two metrics; seeds of a prompt go astray together, and some rows are missing."""
    random = np.random.default_rng(7)
    told = 0
    for _ in range(25):

        def scores(number: int, prompts: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
            drift = random.standard_t(5, prompts.max() + 1)  # of the version, common to all seeds of a prompt
            values: NDArray[np.float64] = drift[prompts] + 0.3 * random.normal(size=prompts.size)
            return values

        missing = lambda table: table.sample(frac=0.9, random_state=int(random.integers(1000)))  # noqa: E731
        both = {"clip": scores, "lpips": scores}
        found = two(metrics=(CLIP, LPIPS), scores=both, change=missing, prompts=25, seeds=(0, 1, 2, 3))
        told += any(finding(one) in {"better", "worse"} for one in found.metrics)
    assert told <= 5  # 5 % of 25 is 1.25; more than 5 has a chance of 0.2 %


def test_the_noise_from_seed_to_seed_is_the_bases_own() -> None:
    sd = 0.7
    found = two({"scores": {"clip": noisy(sd=sd)}}, {"scores": {"clip": noisy(sd=9.0)}}, prompts=60, seeds=range(6))
    assert found.metrics[0].seed_sd == pytest.approx(sd, rel=0.15)
    assert two(seeds=(0,)).metrics[0].seed_sd is None


def test_one_picture_drawn_twice_is_no_noise() -> None:
    def again(table: pd.DataFrame) -> pd.DataFrame:
        repeat = table.assign(repeat=1, request_id=table["request_id"] + "again")
        return pd.concat([table, repeat], ignore_index=True)

    found = two(seeds=(0,), change=again)
    assert found.pairs == 2 * PROMPTS
    assert found.metrics[0].seed_sd is None


def test_an_interval_ends_where_the_metric_does() -> None:
    jump: Scores = lambda number, p, s: np.where(p == 0, 100.0, 0.0)  # noqa: E731
    found = two({"scores": {"clip": lambda n, p, s: 0.0 * p}}, {"scores": {"clip": jump}}, prompts=2).metrics[0]
    assert found.difference is not None
    assert found.difference.interval == (-100.0, 100.0)


def test_what_limits_both_sides_is_said_once() -> None:
    sides = [make_side(name=name, notice="untrained weights") for name in ("a", "b")]
    found = compare_sides(*sides)
    assert found.caveats[0] == "untrained weights."
    assert any("two single runs" in text for text in found.caveats)
    assert replace(found, caveats=()).within_run is False


def test_latencies_under_load_are_compared_by_as_many_as_are_independent() -> None:
    """Their order in time is that of the table, which need not be that of prompts and seeds."""

    def wavy(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        shuffled = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        return shuffled.assign(end_to_end_s=1.0 + 0.5 * np.sin(2 * np.pi * (np.arange(len(shuffled)) + seed) / 40.3))

    widths, medians = [], []
    for changes in ({}, {"rate_per_s": 4.0}):
        sides = [
            make_side([make_setting(**changes)], prompts=80, name=f"side-{seed}", change=partial(wavy, seed=seed))
            for seed in (0, 1)
        ]
        (found,) = compare_sides(*sides).settings
        latency = next(cost for cost in found.costs if cost.quantity == "latency")
        assert latency.ratio is not None
        assert latency.ratio.interval is not None
        assert latency.base_median is not None
        assert latency.base_median.interval is not None
        widths.append(np.log(latency.ratio.interval[1] / latency.ratio.interval[0]))
        medians.append(latency.base_median.interval[1] - latency.base_median.interval[0])
    assert widths[1] > 1.5 * widths[0]
    assert medians[1] > 1.5 * medians[0]
