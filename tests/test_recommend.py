"""Which setting is recommended, where the truth is known."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from kreabench.core.errors import ConfigError
from kreabench.core.policies import MarginSpec
from kreabench.core.questions import QualityLoss, QuestionSpec
from kreabench.decisions.recommend import Recommendation, recommend
from kreabench.decisions.recommend_evidence import Contest, _unfair
from kreabench.decisions.recommend_front import front_of
from kreabench.decisions.recommend_question import Limits, ask, same_question
from kreabench.report.recommend.remarks import remarks
from kreabench.report.recommend.words import answer_sentence, state_lines
from tests.recommend_support import NOISE, QUESTION, make_contest

LOSSES = {4: 2.0, 8: 0.05, 16: 0.0, 28: 0.0}
SECONDS = {4: 1.0, 8: 2.0, 16: 4.0, 28: 7.0}


@pytest.fixture(autouse=True, scope="module")
def _less_garbage() -> Iterator[None]:
    """statsmodels collects garbage at each correction, which takes long where many modules are loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


def standings(found: Recommendation) -> dict[int | None, str]:
    return {verdict.entrant.setting.steps: verdict.standing for verdict in found.verdicts}


def steps_of(found: Recommendation) -> int | None:
    return None if found.answer is None else found.answer.entrant.setting.steps


def test_the_fastest_that_is_shown_to_be_good_enough_is_the_answer() -> None:
    contest = make_contest(LOSSES, SECONDS)
    found = recommend(contest, QUESTION)
    assert standings(found) == {4: "does not", 8: "qualifies", 16: "qualifies", 28: "qualifies"}
    assert steps_of(found) == 8
    assert found.runner_up is not None
    assert found.runner_up.entrant.setting.steps == 16
    assert found.answer is not None
    assert found.answer.probability is not None
    assert found.answer.probability > 0.95
    assert sum(verdict.probability or 0 for verdict in found.verdicts) == pytest.approx(1)
    sentence = answer_sentence(contest, found)
    assert "8 steps" in sentence
    assert "71 % less" in sentence
    assert "runner-up" in sentence


def test_lower_is_better_is_the_same_question_turned_round() -> None:
    found = recommend(make_contest(LOSSES, SECONDS, higher=False), QUESTION)
    assert steps_of(found) == 8


def test_no_significant_difference_is_no_pass() -> None:
    contest = make_contest({8: 0.3, 28: 0.0}, {8: 2.0, 28: 7.0}, prompts=12, loss_sd=1.5)
    found = recommend(contest, QUESTION)
    assert standings(found)[8] == "not decided"
    assert steps_of(found) == 28
    better = found.undecided_but_better
    assert [verdict.entrant.setting.steps for verdict in better] == [8]
    assert better[0].prompts_to_decide is not None
    assert better[0].prompts_to_decide > 12
    assert any("not decided" in remark for remark in remarks(contest, found))


def test_settings_that_lose_the_margin_are_seldom_recommended() -> None:
    question = replace(
        QUESTION, max_quality_loss=(QualityLoss(metric="clip", margin=MarginSpec(kind="absolute", value=0.5)),)
    )
    losses = dict.fromkeys(range(4, 9), 0.5) | {28: 0.0}
    seconds = {steps: float(steps) for steps in losses}
    wrong = 0
    for seed in range(20):
        found = recommend(make_contest(losses, seconds, prompts=20, seed=seed), question, draws=0)
        wrong += steps_of(found) != 28
    assert wrong <= 5  # more in one of three thousand such tests at 5 %


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"max_latency_s": 3.0}, 8),
        ({"min_images_per_day": 86400 / 3.0}, 8),
        ({"max_usd_per_image": 0.005}, 16),
        ({"max_peak_memory_bytes": 15e9}, 16),
    ],
)
def test_costs_hold_a_setting_back(limit: dict[str, float], expected: int) -> None:
    contest = make_contest(
        LOSSES,
        SECONDS,
        usd={4: 0.001, 8: 0.01, 16: 0.004, 28: 0.004},
        memory={4: 1e9, 8: 20e9, 16: 10e9, 28: 10e9},
    )
    question = replace(QUESTION, **limit)  # type: ignore[arg-type]
    assert steps_of(recommend(contest, question, draws=0)) == expected


def test_a_median_at_the_limit_is_on_the_edge() -> None:
    contest = make_contest(LOSSES, SECONDS)
    latency = contest.entrants[1].costs["latency"].median
    assert latency is not None
    found = recommend(contest, replace(QUESTION, max_latency_s=latency.value), draws=0)
    assert steps_of(found) == 8
    assert "on the edge" in answer_sentence(contest, found)
    low = latency.low or 0.0
    found = recommend(contest, replace(QUESTION, max_latency_s=(low + latency.value) / 2), draws=0)
    failed = found.verdicts[1].failed_checks
    assert [check.name for check in failed] == ["latency"]
    assert failed[0].edge


def test_the_nearest_is_named_where_none_qualifies() -> None:
    contest = make_contest(LOSSES, SECONDS)
    found = recommend(contest, replace(QUESTION, max_latency_s=1.8))
    assert found.answer is None
    assert found.nearest is not None
    assert found.nearest.entrant.setting.steps == 8
    sentence = answer_sentence(contest, found)
    assert sentence.startswith("None qualifies: the nearest is")
    assert "above the limit of 1.80 s" in sentence


def test_the_nearest_is_by_what_stops_a_setting_and_its_distance_a_share_of_the_limit() -> None:
    contest = make_contest({4: 0.0, 28: 0.0}, {4: 5.0, 28: 1.05})
    found = recommend(contest, replace(QUESTION, max_latency_s=1.0), draws=0)
    assert found.nearest is not None
    assert found.nearest.entrant.is_reference, "5 % above; that its own loss has no number stops nothing"
    found = recommend(contest, replace(QUESTION, min_images_per_day=864_000.0), draws=0)
    assert found.nearest is not None
    (failed,) = found.nearest.failed_checks
    assert failed.value is not None
    assert failed.excess == pytest.approx(1 - failed.value.value / 864_000.0)
    assert failed.excess == pytest.approx(0.905, abs=0.01)


@pytest.mark.parametrize(("lost", "scored", "fair"), [(6, 94, True), (11, 89, False), (0, 30, False)])
def test_a_tenth_of_the_pictures_may_lack_a_partner_or_a_score(lost: int, scored: int, fair: bool) -> None:
    compared = SimpleNamespace(unpaired=tuple(range(lost)), pairs=100 - lost)
    found = _unfair(cast(Any, compared), cast(Any, SimpleNamespace(pairs=np.array([scored - 1, 1]))))
    assert (found == "") == fair


def test_what_was_not_measured_is_not_decided_and_another_ones_memory_is_free() -> None:
    contest = make_contest(LOSSES, SECONDS, hosted=[8], memory={28: 1e9})
    found = recommend(contest, replace(QUESTION, max_peak_memory_bytes=2e9), draws=0)
    assert standings(found)[8] == "qualifies"
    assert standings(found)[16] == "not decided"


def test_identical_pictures_need_no_test_and_equal_scores_are_no_pass() -> None:
    contest = make_contest({8: 0.0, 28: 0.0}, {8: 2.0, 28: 7.0})
    first = contest.entrants[0]
    nothing = replace(first.quality["clip"], difference=np.zeros(60), obstacle="all differences are equal")
    for identical, expected in ((True, "qualifies"), (False, "not decided")):
        entrant = replace(first, quality={"clip": replace(nothing, identical=identical)})
        spoilt = replace(contest, entrants=(entrant, *contest.entrants[1:]))
        assert standings(recommend(spoilt, QUESTION))[8] == expected


def test_an_unknown_noise_floor_decides_nothing_and_no_share_is_said() -> None:
    contest = make_contest({8: 0.0, 28: 0.0}, {8: 2.0, 28: 7.0})
    first = contest.entrants[0]
    entrant = replace(first, quality={"clip": replace(first.quality["clip"], noise=None)})
    found = recommend(replace(contest, entrants=(entrant, *contest.entrants[1:])), QUESTION)
    assert standings(found)[8] == "not decided"
    assert found.answer is not None
    assert found.answer.probability is None
    assert any("How sure" in remark for remark in remarks(contest, found))


def test_only_settings_that_are_asked_about_can_be_the_answer() -> None:
    contest = make_contest(LOSSES, SECONDS)
    asked = frozenset({contest.entrants[0].setting.id, contest.entrants[2].setting.id})
    found = recommend(replace(contest, asked=asked), QUESTION)
    assert standings(found) == {4: "does not", 16: "qualifies"}


def test_what_a_race_dropped_counts_as_tested() -> None:
    contest = make_contest(LOSSES, SECONDS)
    alone, after = (recommend(replace(contest, dropped=n), QUESTION).ranked[1].checks[0] for n in (0, 20))
    assert alone.p_value is not None
    assert after.p_value is not None
    assert after.p_value > 5 * alone.p_value
    assert "of 23 settings, 20 of them dropped" in after.reason


def test_quality_as_the_objective_wants_the_best_within_the_limits() -> None:
    contest = make_contest({4: 2.0, 8: 1.0, 16: 0.0, 28: 0.0}, SECONDS)
    loss = QualityLoss(metric="clip", margin=MarginSpec(kind="noise_floor", value=5.0))
    question = replace(QUESTION, objective="quality", max_latency_s=3.0, max_quality_loss=(loss,))
    assert steps_of(recommend(contest, question)) == 8


def test_few_prompts_are_warned_of() -> None:
    contest = make_contest(LOSSES, SECONDS, prompts=5)
    assert any("mean little" in remark for remark in remarks(contest, recommend(contest, QUESTION)))


def test_what_is_not_asked_is_chosen_and_said() -> None:
    contest = make_contest(LOSSES, SECONDS)
    asked = ask(contest, objective=None, metric=None, losses=(), limits=Limits(), level=0.05)
    assert asked.question == QUESTION
    said = " ".join(asked.assumed)
    assert "latency" in said
    assert "clip" in said
    assert "half a noise floor" in said
    everything = ask(contest, objective="latency", metric="clip", losses=(NOISE,), limits=Limits(), level=0.05)
    assert everything.assumed == ()


def test_a_race_for_another_question_may_have_dropped_the_answer() -> None:
    raced = QuestionSpec(objective="latency", quality_metric=None, max_quality_loss=(NOISE,), max_latency_s=3.0)
    assert same_question(raced, replace(raced, level=0.01, quality_metric="clip"))
    assert not same_question(raced, replace(raced, max_latency_s=4.0))
    assert not same_question(raced, replace(raced, max_quality_loss=()))
    best = replace(raced, objective="quality", quality_metric="clip")
    assert not same_question(best, replace(best, quality_metric="aesthetic"))
    assert state_lines(0, {"a": "slow"}, False) == [
        "Racing dropped 1 setting while the run was drawn: nothing in here is about it."
    ]
    assert "another question" in state_lines(0, {"a": "slow"}, True)[1]


@pytest.mark.parametrize(("metric", "objective"), [("clop", None), (None, "energy")])
def test_a_question_that_cannot_be_answered_names_what_is_wrong(metric: str | None, objective: str | None) -> None:
    contest: Contest = make_contest(LOSSES, SECONDS)
    with pytest.raises(ConfigError, match=metric or objective or ""):
        ask(contest, objective=objective, metric=metric, losses=(), limits=Limits(), level=0.05)  # type: ignore[arg-type]


def test_the_front_of_a_contest_names_what_dominates_and_what_it_leaves_out() -> None:
    contest = make_contest({4: 2.0, 8: 1.0, 16: 1.5, 28: 0.0}, SECONDS, usd={4: 1.0, 8: 1.0, 28: 1.0})
    front = front_of(contest, ("latency", "quality"), "clip")
    assert [point.on_front for point in front.points] == [True, True, False, True]
    dominated = front.points[2]
    assert dominated.dominated_by is not None
    assert dominated.dominated_by.setting.steps == 8
    assert dominated.p_dominated is not None
    assert dominated.p_dominated > 0.95
    assert dominated.probability < 0.05
    money = front_of(contest, ("usd_per_image", "latency", "quality"), "clip")
    assert [(entrant.setting.steps, axis) for entrant, axis in money.left_out] == [(16, "usd_per_image")]
    assert len(money.points) == 3


def test_a_contest_without_any_metric_is_decided_by_costs() -> None:
    contest = replace(make_contest(LOSSES, SECONDS), metrics={})
    found = recommend(contest, QuestionSpec(objective="latency", quality_metric=None))
    assert steps_of(found) == 4
    assert any("costs alone" in remark for remark in remarks(contest, found))
