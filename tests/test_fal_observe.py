"""When a request left the queue and when it was done: by events, by asking, and from the one to the other."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kreabench.backends.base import Generation
from kreabench.backends.fal_observe import READS_PER_S
from kreabench.core.errors import GenerationError
from kreabench.core.records import HostedCall
from tests.fal_support import (
    COMPLETED,
    QUEUED,
    RUNNING,
    Answers,
    ScriptedFal,
    answer,
    draw,
    events,
    gateway_error,
    open_backend,
)

BARE_RUNNING = {"status": "IN_PROGRESS"}
BARE_COMPLETED = {"status": "COMPLETED", "metrics": {"inference_time": 0.75}}


def _hosted(generation: Generation) -> HostedCall:
    assert generation.hosted is not None
    return generation.hosted


def _by_events(answers: Answers, monkeypatch: pytest.MonkeyPatch, **script: Any) -> tuple[Generation, ScriptedFal]:
    scripted = ScriptedFal(events=answers, **script)
    return draw(open_backend(scripted, monkeypatch, observe="auto")), scripted


def test_events_are_followed_to_the_end_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    generation, script = _by_events(events(QUEUED, RUNNING, COMPLETED), monkeypatch)
    hosted = _hosted(generation)
    assert script.calls == ["submit", "events", "result", "picture"]
    assert script.requests[1].url == "https://queue.fal.run/fal-ai/flux/requests/r1/status/stream?logs=0"
    assert script.requests[1].headers["accept"] == "text/event-stream"
    assert (hosted.observed_by, hosted.polls, hosted.attempts, hosted.inference_s) == ("status_events", 3, 1, 0.75)
    assert list(generation.timings.stages_s)[2:4] == ["queue", "inference"]


def test_events_may_lack_what_status_answers_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """And comments, texts that are no status, and statuses of tomorrow may stand between them."""
    odd: tuple[Any, ...] = (b": ping\n\n", b"data: hello\n\n", b"data: [1]\n\n", {"status": "WARMING_UP"}, {})
    generation, _ = _by_events(events({"status": "IN_QUEUE"}, *odd, BARE_RUNNING, BARE_COMPLETED), monkeypatch)
    assert (_hosted(generation).polls, _hosted(generation).inference_s) == (3, 0.75)


def test_an_edge_that_is_pushed_is_seen_within_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    generation, _ = _by_events(events(QUEUED, RUNNING, COMPLETED), monkeypatch)
    # The fake clock moves by 0.01 s from sending the request to its answer.
    assert generation.timings.resolution_s == pytest.approx(0.01)


def test_an_edge_before_the_first_event_is_no_better_known_than_since_the_submission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generation, _ = _by_events(events(RUNNING, COMPLETED), monkeypatch)
    assert generation.timings.resolution_s == pytest.approx(generation.timings.stages_s["queue"])
    generation, _ = _by_events(events(COMPLETED), monkeypatch)
    assert generation.timings.resolution_s == pytest.approx(generation.timings.stages_s["queue_and_inference"])


@pytest.mark.parametrize(
    "refusal",
    [answer(404, {"detail": "Path not found"}), answer(405, {}), answer(501, {}), answer(200, {"status": "IN_QUEUE"})],
)
def test_where_there_are_no_events_the_session_asks(monkeypatch: pytest.MonkeyPatch, refusal: httpx.Response) -> None:
    script = ScriptedFal(events=refusal)
    backend = open_backend(script, monkeypatch, observe="auto")
    first = draw(backend)
    script.status = answer(200, COMPLETED)
    second = draw(backend)
    assert [_hosted(generation).observed_by for generation in (first, second)] == ["polling", "polling"]
    assert _hosted(first).attempts == 1
    assert script.calls.count("events") == 1, "it is not tried again in this session"


def test_asked_for_by_name_events_are_tried_for_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(200, COMPLETED))
    backend = open_backend(script, monkeypatch, observe="status_events")
    assert [_hosted(draw(backend)).observed_by for _ in range(2)] == ["polling", "polling"]
    assert script.calls.count("events") == 2


def test_a_request_that_is_unknown_says_nothing_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(404, {"detail": "Request not found"}))
    backend = open_backend(script, monkeypatch, observe="auto")
    with pytest.raises(GenerationError) as raised:
        draw(backend)
    assert raised.value.type == "expired"
    script.events = events(COMPLETED)
    assert _hosted(draw(backend)).observed_by == "status_events"


@pytest.mark.parametrize(
    ("broken", "attempts"),
    [
        (events(QUEUED), 1),
        (events(QUEUED, httpx.ReadTimeout("silent")), 1),
        (gateway_error(502), 2),
        (events(QUEUED, httpx.ReadError("reset")), 2),
        (httpx.ReadError("reset"), 2),
        (events(QUEUED, httpx.RemoteProtocolError("incomplete chunked read")), 2),
    ],
    ids=["ended early", "silent", "refused", "reset", "reset at once", "cut"],
)
def test_a_broken_stream_is_asked_once_and_opened_again(
    monkeypatch: pytest.MonkeyPatch, broken: Any, attempts: int
) -> None:
    generation, script = _by_events([broken, events(RUNNING, COMPLETED)], monkeypatch, status=answer(202, QUEUED))
    hosted = _hosted(generation)
    assert script.calls == ["submit", "events", "status", "events", "result", "picture"]
    assert hosted.observed_by == "status_events"
    assert hosted.attempts == attempts, "a fault of the connection makes it no timing"


def test_a_stream_that_breaks_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    generation, script = _by_events(
        events(QUEUED), monkeypatch, status=[*[answer(202, QUEUED)] * 6, answer(202, RUNNING), answer(200, COMPLETED)]
    )
    assert script.calls.count("events") == 4
    assert _hosted(generation).observed_by == "polling"


def test_a_stream_of_comments_is_as_good_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    chatter = events(QUEUED, *[b": ping\n\n"] * 5000, AssertionError("it was read to its end"))
    script = ScriptedFal(events=[chatter, events(RUNNING, COMPLETED)], status=answer(202, QUEUED))
    generation = draw(open_backend(script, monkeypatch, observe="auto", request_timeout_s=5))
    assert script.calls == ["submit", "events", "status", "events", "result", "picture"]
    assert _hosted(generation).attempts == 1


def test_the_end_that_was_asked_for_after_a_break_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    generation, _ = _by_events(events(QUEUED, RUNNING), monkeypatch, status=answer(200, COMPLETED))
    assert _hosted(generation).observed_by == "polling"
    assert generation.timings.resolution_s is not None
    assert generation.timings.resolution_s >= 0.02


@pytest.mark.parametrize("observe", ["auto", "polling"])
def test_a_request_that_goes_back_into_the_queue_is_rerouted(monkeypatch: pytest.MonkeyPatch, observe: str) -> None:
    states = [QUEUED, RUNNING, QUEUED, RUNNING, COMPLETED]
    script = ScriptedFal(events=events(*states), status=[answer(200 if s is COMPLETED else 202, s) for s in states])
    generation = draw(open_backend(script, monkeypatch, observe=observe))
    assert _hosted(generation).rerouted is True


def test_another_runner_on_the_way_is_a_reroute(monkeypatch: pytest.MonkeyPatch) -> None:
    served = [answer(202, RUNNING, X_Fal_Served_From=name) for name in ("a", "b")]
    script = ScriptedFal(status=[*served, answer(200, COMPLETED)])
    hosted = _hosted(draw(open_backend(script, monkeypatch)))
    assert (hosted.rerouted, hosted.runner) == (True, "b")
    script = ScriptedFal(status=[served[0], answer(200, COMPLETED)])
    assert _hosted(draw(open_backend(script, monkeypatch))).rerouted is False


def test_a_queue_without_an_end_ends_with_events_too(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(events=events(*[QUEUED] * 5000))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch, observe="auto", start_timeout_s=20, request_timeout_s=5))
    assert (raised.value.type, raised.value.stage) == ("timeout", "queue")
    assert "cancel" in script.calls


def test_the_more_are_in_flight_the_less_often_each_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    script = ScriptedFal()
    backend = open_backend(script, monkeypatch, sleep=slept.append, poll_interval_s=0.05)
    assert backend._session is not None
    backend._session._observer._asking = 39
    draw(backend)
    assert slept == pytest.approx([40 / READS_PER_S] * 2)
    backend._session._observer._asking = 0
    slept.clear()
    script.calls.clear()
    draw(backend)
    assert slept == pytest.approx([0.05] * 2)
