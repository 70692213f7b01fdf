"""Which settings a look drops, on scores and times of which the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kreabench.analysis.paired import Floats
from kreabench.analysis.race_evidence import LookData
from kreabench.analysis.racing import Drop, decide, levels_of
from kreabench.core.policies import Cost, MarginKind, MarginSpec
from kreabench.core.questions import QualityLoss, QuestionSpec
from kreabench.race.rounds import look_sizes

SEEDS = 2


def question(value: float = 0.5, kind: MarginKind = "absolute", **changes: Any) -> QuestionSpec:
    loss = QualityLoss(metric="clip", margin=MarginSpec(kind=kind, value=value))
    return QuestionSpec(**{"objective": "latency", "quality_metric": "clip", "max_quality_loss": (loss,), **changes})


def look(
    losses: list[float],
    seconds: list[float],
    *,
    prompts: int = 32,
    seed: int = 0,
    noise: float = 0.3,
    bounds: Mapping[Cost, Floats] | None = None,
) -> LookData:
    """Settings with these true losses and median latencies; the first is the reference of all."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(prompts), SEEDS)
    shape = (len(losses), codes.size)
    level = rng.normal(30, 3, prompts)[codes]
    return LookData(
        references=np.zeros(len(losses), dtype=np.int64),
        prompts=prompts,
        picture_prompts=codes,
        picture_draws=np.tile(np.arange(SEEDS), prompts),
        scores={"clip": level - np.array(losses)[:, None] + rng.normal(0, noise, shape)},
        request_prompts=codes,
        costs={"latency": np.array(seconds)[:, None] * np.exp(rng.normal(0, 0.03, shape))},
        bounds=bounds or {},
    )


def drops(data: LookData, asked: QuestionSpec, looks: int = 4) -> dict[int, Drop]:
    levels = levels_of(asked, looks=looks, settings=data.references.size)
    return {drop.setting: drop for drop in decide(data, asked, levels)}


def test_what_loses_too_much_is_dropped_for_it_and_what_is_slower_than_a_good_one_as_dominated() -> None:
    found = drops(look([0, 2, 0.1, 0.1], [4, 1, 2, 3]), question())
    assert found.keys() == {1, 3}
    assert (found[1].constraint, found[1].dominated_by) == ("clip", None)
    assert found[1].value == pytest.approx(2, abs=0.4)
    assert found[1].against == 0.5
    assert (found[3].constraint, found[3].dominated_by) == ("latency", 2)
    assert (found[3].value, found[3].against) == pytest.approx((3, 2), rel=0.05)
    assert all(drop.p_value <= drop.level < 0.05 / 4 for drop in found.values())


def test_the_reference_stays_however_slow_it_is_and_drops_what_is_slower_still() -> None:
    found = drops(look([0, 0, 0], [4, 5, 2]), question())
    assert found.keys() == {1}
    assert found[1].dominated_by == 2


@pytest.mark.parametrize(("highest", "dropped"), [(20.0, {2}), (99.0, set())])
def test_what_once_took_too_much_memory_beats_nobody(highest: float, dropped: set[int]) -> None:
    """A recommendation goes by the highest request: a setting that it refuses is no reason to drop another."""
    memory = np.full((3, 64), 10.0)
    memory[1, 0] = highest
    plain = look([0, 0, 0], [4, 1, 2])
    data = replace(plain, costs={**plain.costs, "peak_memory": memory}, bounds={"peak_memory": np.full(3, 20.0)})
    assert drops(data, question(max_peak_memory_bytes=20.0)).keys() == dropped


def test_a_faster_setting_that_is_not_shown_to_be_good_enough_drops_nobody() -> None:
    assert drops(look([0, 0.5, 0.0], [3, 1, 2], noise=3.0), question()) == {}


def test_a_bound_on_a_cost_drops_what_lies_beyond_it_and_not_what_lies_on_it() -> None:
    data = look([0, 0, 0], [1, 1, 1])
    exact: dict[Cost, Floats] = {"usd_per_image": np.array([[1.0], [2.0], [3.0]]) * np.ones(64)}
    bounded: dict[Cost, Floats] = {"usd_per_image": np.array([2.0, 2.0, 2.0])}
    data = LookData(**{**{name: getattr(data, name) for name in data.__slots__}, "costs": exact, "bounds": bounded})
    found = drops(data, question(max_usd_per_image=2.0))
    assert found.keys() == {2}
    assert (found[2].constraint, found[2].value, found[2].against) == ("usd_per_image", 3.0, 2.0)


def test_the_best_quality_within_a_bound_on_latency() -> None:
    data = look([0, 0.3, 0.3, -1], [4, 1, 1, 6], bounds={"latency": np.full(4, 5.0)})
    asked = QuestionSpec(objective="quality", quality_metric="clip", max_latency_s=5.0)
    found = drops(data, asked)
    assert {index: drop.dominated_by for index, drop in found.items()} == {1: 0, 2: 0, 3: None}
    assert found[3].constraint == "latency"


@pytest.mark.parametrize(("kind", "value"), [("relative", 0.02), ("noise_floor", 2.0)])
def test_margins_of_other_kinds(kind: MarginKind, value: float) -> None:
    """2 % of 30 and twice a seed sd of 0.3 are both about 0.6."""
    found = drops(look([0, 1.2, 0.0], [4, 1, 2]), question(value, kind))
    assert found.keys() == {1}
    assert found[1].against == pytest.approx(0.6, rel=0.3)


def test_few_scores_decide_nothing_of_quality() -> None:
    """A setting of which more than a tenth of the prompts lack scores: those that are left are no fair choice."""
    data = look([0, 2, 0.1, 0.1], [4, 1, 2, 3])
    data.scores["clip"][1, : 2 * 4] = np.nan
    data.scores["clip"][2, : 2 * 4] = np.nan
    assert drops(data, question()) == {}


def test_calls_without_a_valid_time_are_not_calls_that_failed() -> None:
    """The latency of a quarter of the prompts is unknown: as first calls, or as nothing was delivered."""
    data = look([0, 0, 0], [4, 3, 2])
    data.costs["latency"][1, : 2 * 8] = np.nan
    paid: dict[Cost, Floats] = {"usd_per_image": np.ones((3, 64)), "latency": data.costs["latency"]}
    timed = LookData(**{**{name: getattr(data, name) for name in data.__slots__}, "costs": paid})
    assert drops(timed, question()).keys() == {1}
    paid["usd_per_image"][1, : 2 * 8] = np.nan
    assert drops(timed, question()) == {}


def test_a_metric_that_saw_nothing_decides_nothing_and_equal_pictures_are_good_enough() -> None:
    data = look([0, 0, 0], [4, 1, 2])
    data.scores["clip"][:] = data.scores["clip"][0]
    assert drops(data, question()).keys() == {2}
    data.scores["clip"][:] = 1.0
    assert drops(data, question()) == {}


def test_looks_double_and_end_before_all_prompts() -> None:
    assert look_sizes(126, 8, 5) == (8, 16, 32, 64)
    assert look_sizes(1000, 8, 3) == (8, 16, 32)
    assert look_sizes(16, 8, 5) == (8,)


@pytest.mark.parametrize(("loss", "seconds"), [(0.5, 1.0), (0.0, 2.0)], ids=["just allowed", "as fast as the best"])
def test_a_setting_that_may_be_the_answer_is_seldom_dropped(loss: float, seconds: float) -> None:
    """Over four looks of 40 races; setting 1 loses what is allowed and is the fastest, or equals setting 2."""
    dropped = 0
    for seed in range(40):
        whole = look([0, loss, 0, 0], [4, seconds, 2, 3], prompts=64, seed=seed, noise=0.6)
        for prompts in (8, 16, 32, 64):
            size = prompts * SEEDS
            part = LookData(
                references=whole.references,
                prompts=prompts,
                picture_prompts=whole.picture_prompts[:size],
                picture_draws=whole.picture_draws[:size],
                scores={"clip": whole.scores["clip"][:, :size]},
                request_prompts=whole.request_prompts[:size],
                costs={"latency": whole.costs["latency"][:, :size]},
                bounds={},
            )
            if 1 in drops(part, question()):
                dropped += 1
                break
    assert dropped <= 4
