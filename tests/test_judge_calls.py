"""How calls of a judge fail, what they cost, and what must be there first. The client is the real one."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.errors import BudgetReached, EnvironmentProblem, ExitCode
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import OutOfBudget
from kreabench.metrics.judge import Judge, JudgeOptions
from kreabench.metrics.shared import Purse, Shared
from kreabench.scoring.spending import scores_usd
from tests.judge_service import KEY, PRICES, JudgeServer, Make, completion, error, item, judge_server, only, yes
from tests.scoring_support import counts, group_of, new_run, score_with
from tests.support import make_plan


@pytest.fixture(scope="module")
def running() -> Iterator[JudgeServer]:
    with judge_server() as server:
        yield server


@pytest.fixture
def service(running: JudgeServer) -> JudgeServer:
    running.reset()
    return running


@pytest.fixture
def judge(service: JudgeServer) -> Make:
    return service.judge


# What fails, and how


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(judge: Make, service: JudgeServer, status: int) -> None:
    score = only(judge(), service=service, script=[(status, error("busy"), {"retry-after": "0.01"})])

    assert (score.status, len(service.requests)) == ("ok", 2)


def test_attempts_are_bounded_and_counted(judge: Make, service: JudgeServer) -> None:
    service.always = (429, error("slow down"), {"retry-after-ms": "10"})

    score = only(judge(max_attempts=3))

    assert len(service.requests) == 3
    assert score.reason == "q1 has no answer: HTTP 429: slow down (3 attempts)"


def test_a_service_that_wants_an_hour_is_not_waited_for(judge: Make, service: JudgeServer) -> None:
    began = time.monotonic()
    score = only(judge(), service=service, script=[(429, error("later"), {"retry-after": "3600"})])

    assert score.reason == "q1 has no answer: HTTP 429: later"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("answer", ["hang", "drip"])
def test_an_answer_that_does_not_come_ends_at_the_limit(judge: Make, service: JudgeServer, answer: str) -> None:
    began = time.monotonic()
    score = only(judge(timeout_s=0.3, max_attempts=1, **PRICES), service=service, script=[answer])

    assert time.monotonic() - began < 2
    assert score.status == "failed"
    assert score.usd == pytest.approx(1.0)  # it may have been billed


@pytest.mark.parametrize(
    "refusal",
    [
        (401, error("no"), {}),
        (402, error("pay"), {}),
        (404, error("no such model"), {}),
        (429, error("spent", "insufficient_quota"), {}),
        (307, {}, {"location": "http://127.0.0.1:1/v1/chat/completions"}),
    ],
)
def test_what_every_call_would_meet_is_met_once(judge: Make, service: JudgeServer, refusal: Any) -> None:
    service.always = refusal
    metric = judge(max_attempts=4)

    scores = [*metric.score([item()] * 3), *metric.score([item()])]

    assert len(service.requests) == 1
    assert {score.status for score in scores} == {"failed"}
    assert ["nothing more is asked" in score.reason for score in scores] == [False, True, True, True]


def test_a_key_is_never_told_even_where_the_service_does(judge: Make, service: JudgeServer) -> None:
    key = "sk-wrong-abcdef"

    score = only(judge(key=key))

    assert "Bearer sk-wrong-abcdef" in service.headers[0]["authorization"]
    assert "does not accept the key" in score.reason
    assert "[key]" in score.reason
    assert key not in repr(score)


def test_no_part_of_a_key_is_told_where_a_long_answer_is_cut_short(judge: Make, service: JudgeServer) -> None:
    refused = {"message": {"role": "assistant", "content": "", "refusal": f"{'x' * 110}{KEY}"}}

    score = only(judge(), service=service, script=[completion({**yes(0.5), **refused})])
    other = only(judge(), service=service, script=[b"x" * 70 + KEY.encode()])

    assert "refused by the judge" in score.reason
    assert KEY[:8] not in score.reason + other.reason


def test_a_refused_picture_costs_no_other_its_score(judge: Make, service: JudgeServer) -> None:
    service.script.extend([(403, error("flagged by moderation"), {}), completion(yes(0.5))])

    scores = judge().score([item(), item()])

    assert [score.status for score in scores] == ["failed", "ok"]
    assert "content policy" in scores[0].reason


def test_a_service_that_is_not_there_is_given_up(judge: Make) -> None:
    began = time.monotonic()
    scores = judge(url="http://127.0.0.1:1/v1", max_attempts=1, **PRICES).score([item()] * 50)

    assert time.monotonic() - began < 5
    assert {score.usd for score in scores} == {0.0}
    assert all("cannot be reached" in score.reason for score in scores)
    assert "nothing more is asked" in scores[-1].reason


def test_pictures_are_asked_about_at_once_as_far_as_configured(judge: Make, service: JudgeServer) -> None:
    prompts = [f"prompt {number}" for number in range(12)]

    several = judge(concurrency=4).score([item(prompt) for prompt in prompts])
    most = service.most_at_once
    alone = judge(concurrency=1).score([item(prompt) for prompt in prompts])

    assert [score.value for score in several] == [score.value for score in alone]
    assert len({score.value for score in several}) > 6
    assert 2 <= most <= 4


def test_an_interrupt_waits_for_no_answer(judge: Make, service: JudgeServer) -> None:
    metric = judge(concurrency=2)
    service.always = "hang"
    began = time.monotonic()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()

    with pytest.raises(KeyboardInterrupt):
        metric.score([item()] * 4)

    metric.close()
    assert time.monotonic() - began < 2


# What it costs


def test_a_score_costs_what_the_service_says_it_used(judge: Make) -> None:
    purse = Purse(limit_usd=10.0, spent_usd=1.0)

    score = only(judge(purse=purse, **PRICES), questions=("a?", "b?"))

    assert score.usd == pytest.approx(2.002)
    assert purse.spent_usd == pytest.approx(3.002)
    assert purse.held_usd == pytest.approx(0.0)


def test_without_usage_a_call_counts_as_expected_and_says_so(judge: Make, service: JudgeServer) -> None:
    score = only(judge(**PRICES), service=service, script=[completion(yes(0.5), usage={"prompt_tokens": -5})])

    assert score.usd == pytest.approx(1.0)
    assert any("did not say what it used" in note for note in score.notes)


@pytest.mark.parametrize("tokens", [-5, 10**400, "12", 1e999])
def test_usage_that_cannot_be_counts_as_expected(judge: Make, service: JudgeServer, tokens: Any) -> None:
    usage = {"prompt_tokens": tokens, "completion_tokens": 0}
    body = json.dumps(completion(yes(0.5), usage=usage)).encode()

    score = only(judge(**PRICES), service=service, script=[body])

    assert score.status == "ok"
    assert score.usd == pytest.approx(0.992)
    assert any("did not say what it used" in note for note in score.notes)


def test_a_gateway_that_gave_up_waiting_may_be_billed(judge: Make, service: JudgeServer) -> None:
    score = only(judge(**PRICES), service=service, script=[(504, error("upstream timeout"), {"retry-after": "0"})])

    assert score.status == "ok"
    assert score.usd == pytest.approx(2.001)


def test_unknown_prices_give_no_dollars(judge: Make) -> None:
    assert only(judge()).usd is None


def test_a_budget_needs_prices() -> None:
    environ = {"KREABENCH_JUDGE_URL": "https://judge.example/v1", "KREABENCH_JUDGE_KEY": KEY}

    with pytest.raises(EnvironmentProblem) as caught:
        Judge().open(Shared(environ=environ, purse=Purse(limit_usd=1.0)))

    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["options.usd_per_million_input_tokens", "options.usd_per_million_output_tokens"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_budget_is_kept_and_what_was_paid_for_is_not_lost(
    judge: Make, service: JudgeServer, concurrency: int
) -> None:
    purse = Purse(limit_usd=5.1)
    metric = judge(purse=purse, concurrency=concurrency, **PRICES)

    with pytest.raises(OutOfBudget, match="the next score could cost") as caught:
        metric.score([item(questions=("a?", "b?"))] * 6)

    assert [score.status if score else None for score in caught.value.scores].count("ok") == 2
    assert caught.value.scores.count(None) == 4
    assert "--budget-usd" in caught.value.remedy
    assert len(service.requests) == 4  # no picture was asked about in part
    assert purse.spent_usd == pytest.approx(4.004)
    with pytest.raises(OutOfBudget) as again:
        metric.score([item()])
    assert again.value.scores == (None,)


def test_a_budget_is_kept_where_calls_cost_more_than_was_expected(judge: Make, service: JudgeServer) -> None:
    purse = Purse(limit_usd=10.0)
    metric = judge(purse=purse, concurrency=2, **PRICES)
    service.always = completion(yes(0.5), usage={"prompt_tokens": 2500, "completion_tokens": 0})

    with pytest.raises(OutOfBudget) as caught:
        metric.score([item(questions=("a?", "b?", "c?", "d?"))] * 3)

    assert 5.0 <= purse.spent_usd <= 10.0
    assert sum(score.usd or 0.0 for score in caught.value.scores if score) == pytest.approx(purse.spent_usd)
    assert purse.held_usd == pytest.approx(0.0)


def test_a_chunk_of_pictures_is_asked_about_at_once_under_a_budget_too(
    service: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scoring stage hands them over together, and no score that was paid for is lost."""
    monkeypatch.setenv("KREABENCH_JUDGE_URL", service.url)
    monkeypatch.setenv("KREABENCH_JUDGE_KEY", KEY)
    plan = make_plan(group_of(prompts=4))
    run, purse = new_run(tmp_path / "run", plan), Purse(limit_usd=6.5)
    spec = MetricSpec(name="judge", kind="judge", options={"model": "judge-1", "concurrency": 4, **PRICES})

    summary = score_with(run, plan, spec, purse=purse)

    assert service.most_at_once > 1
    assert counts(summary, "judge") == {"scored": 6, "left": 2}
    assert summary.exit_code == ExitCode.BUDGET
    assert scores_usd(run) == pytest.approx(purse.spent_usd) == pytest.approx(6.006)


def test_a_budget_that_allows_nothing_is_raised_at_once(judge: Make, service: JudgeServer) -> None:
    with pytest.raises(BudgetReached):
        judge(purse=Purse(limit_usd=0.5), **PRICES).score([item()])

    assert not service.requests


def test_attempts_that_may_have_been_billed_do_not_pass_the_budget(judge: Make, service: JudgeServer) -> None:
    purse = Purse(limit_usd=1.5)
    service.always = "hang"

    with pytest.raises(OutOfBudget) as caught:
        judge(purse=purse, timeout_s=0.2, max_attempts=4, **PRICES).score([item()])

    [score] = caught.value.scores
    assert score is not None
    assert len(service.requests) == 1
    assert score.status == "failed"
    assert score.usd == pytest.approx(1.0)
    assert "$1.5000" in score.reason
    assert purse.held_usd == pytest.approx(0.0)


# What must be there


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({}, "KREABENCH_JUDGE_URL"),
        ({"KREABENCH_JUDGE_URL": "judge.example/v1"}, "KREABENCH_JUDGE_URL"),
        ({"KREABENCH_JUDGE_URL": "https://me:hunter2@judge.example/v1"}, "KREABENCH_JUDGE_URL"),
        ({"KREABENCH_JUDGE_URL": "https://judge.example/v1?key=hunter2"}, "KREABENCH_JUDGE_URL"),
        ({"KREABENCH_JUDGE_URL": "https://judge.example:hunter2/v1"}, "KREABENCH_JUDGE_URL"),
        ({"KREABENCH_JUDGE_URL": "https://judge.example/v1"}, "KREABENCH_JUDGE_KEY"),
        (
            {"KREABENCH_JUDGE_URL": "https://judge.example/v1", "KREABENCH_JUDGE_KEY": "hunter2\n"},
            "KREABENCH_JUDGE_KEY",
        ),
    ],
)
def test_what_is_missing_is_named_and_no_secret_is_said(environ: dict[str, str], key: str) -> None:
    problems = [found for need in Judge().needs if (found := need.problem(environ)) is not None]

    assert problems[0].key == key
    assert "hunter2" not in str(problems)
    with pytest.raises(EnvironmentProblem):
        Judge().open(Shared(environ=environ))


def test_a_service_of_ones_own_needs_no_key(judge: Make, service: JudgeServer) -> None:
    metric = judge(key_env=None)

    assert len(metric.needs) == 1
    only(metric)
    assert service.headers[0]["authorization"] == "Bearer none"


def test_the_identity_tells_services_apart_and_holds_no_secret() -> None:
    def identity(url: str, **options: Any) -> dict[str, Any]:
        metric = Judge(**options)
        found = metric.open(Shared(environ={"KREABENCH_JUDGE_URL": url, "KREABENCH_JUDGE_KEY": KEY}))
        metric.close()
        return found

    base = identity("https://one.example/v1/accounts/hunter2")
    assert KEY not in str(base)
    assert "hunter2" not in str(base)
    assert base != identity("https://two.example/v1")
    assert base != identity("https://one.example/v1", model="another")
    assert base != identity("https://one.example/v1", questions=["Is it good?"])
    assert base == identity("https://one.example/v1", concurrency=9, usd_per_million_input_tokens=1.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key_env": "sk-hunter2"}, "key_env must be the name"),
        ({"base_url_env": "https://judge.example"}, "base_url_env must be the name"),
        ({"model": " "}, "model must"),
        ({"questions": ()}, "questions must"),
        ({"questions": (" ",)}, "questions must not be empty"),
        ({"questions": ("Is {colour} right?",)}, "{colour}"),
        ({"questions": ("Is { prompt } shown?",)}, "braces around prompt or look_for alone"),
        ({"questions": ("Is {prompt!r} shown?",)}, "braces around prompt or look_for alone"),
        ({"logprobs": "maybe"}, "logprobs must be auto, required or never"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"timeout_s": 0.0}, "timeout_s must"),
        ({"usd_per_million_input_tokens": -1.0}, "usd_per_million_input_tokens must"),
        ({"temperature": math.nan}, "temperature must"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("{", r"\{")) as caught:
        JudgeOptions(**options)

    assert "hunter2" not in str(caught.value)
