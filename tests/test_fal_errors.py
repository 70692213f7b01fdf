"""Everything that fal or the way there can answer becomes one typed failure, without the key, and is never resent."""

from __future__ import annotations

import copy
import pickle
import traceback
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import httpx
import pytest

from kreabench.backends.fal_errors import _judge_answer, _judge_exception
from kreabench.backends.fal_failures import ANSWERS, TRANSPORT, AnswerRow, TransportRow
from kreabench.core.errors import GenerationError
from kreabench.core.records import FAILURE_TYPES
from tests.fal_support import (
    ACCEPTED,
    COMPLETED,
    KEY,
    RUNNING,
    Answers,
    ScriptedFal,
    answer,
    draw,
    gateway_error,
    image_to_image,
    open_backend,
    result_body,
    stored_input,
)
from tests.support import make_request, make_setting

FINDING = {
    "loc": ["body", "guidance_scale"],
    "msg": "Input should be at most 20",
    "type": "less_than_equal",
    "url": "u",
}
POLICY = {"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation", "url": "u"}
FAILED = {**COMPLETED, "error": "failed", "error_type": "x"}
CUT = "peer closed connection without sending complete message body (received 7 bytes, expected 100)"
NO_YEAR = "Fri, 31 Dec 99999999999 23:59:59 GMT"
SHORT = httpx.RemoteProtocolError(CUT)


def _error(error_type: str, detail: str = "it failed") -> dict[str, Any]:
    return {"detail": detail, "error_type": error_type}


@dataclass(frozen=True)
class Case:
    """What is answered at which call, and the failure that it must become."""

    row: str
    """Of the table of failures; empty where the failure comes from elsewhere."""
    at: str
    reply: Answers
    type: str
    words: str
    outlook: str = ""
    """`again`: transient, sent anew; `fetch`: its result is asked for again; empty: neither."""
    calls: int = 1
    """How often that call is made."""
    stage: str = ""

    @property
    def name(self) -> str:
        return f"{self.row or 'no row'} at {self.at}: {self.words}"


def _passing(code: int, error_type: str, type: str = "server_error") -> Case:
    """An error that fal declares passing, as the outcome of an accepted request."""
    row = {"server_error": "runner or service failed", "timeout": "time-out of the service"}[type]
    return Case(row, "result", answer(code, _error(error_type)), type, error_type, "again")


BEFORE = [
    Case(
        "too many requests", "submit", answer(429, _error("concurrent_requests_limit")), "rate_limited", "429", "again"
    ),
    Case("too many requests", "upload", answer(429, {"detail": "slow"}), "rate_limited", "slow", "again", 4),
    Case("key refused", "submit", answer(401, {"detail": "No user"}), "authentication", "HTTP 401: No user", "again"),
    Case("key refused", "submit", answer(402, {"detail": "Pay"}), "authentication", "HTTP 402: Pay", "again"),
    Case(
        "key refused",
        "submit",
        answer(403, {"detail": "Exhausted balance"}),
        "authentication",
        "Exhausted balance",
        "again",
    ),
    Case("key refused", "token", answer(401, {"detail": "No user"}), "authentication", "401", "again", stage="upload"),
    Case("not accepted", "submit", answer(400, _error("bad_request")), "invalid_request", "bad_request"),
    Case("not accepted", "submit", answer(404, {"detail": "Application not found"}), "invalid_request", "not found"),
    Case("validation", "submit", answer(422, {"detail": [FINDING]}), "invalid_request", "guidance_scale: Input should"),
    Case("runner or service failed", "submit", answer(500, _error("internal_error")), "server_error", "500", "again"),
    Case("gateway at submission", "submit", gateway_error(502), "network", "nginx"),
    Case("gateway at submission", "submit", gateway_error(504), "network", "HTTP 504"),
    Case("gateway at submission", "submit", gateway_error(408), "network", "HTTP 408"),
    Case("gateway at submission", "submit", gateway_error(499), "network", "HTTP 499"),
    Case("gateway at submission", "submit", answer(504, {"message": "Endpoint timed out"}), "network", "HTTP 504"),
    Case("no connection", "submit", httpx.ConnectError("refused"), "network", "ConnectError: refused", "again"),
    Case("no connection", "upload", httpx.ConnectError("refused"), "network", "refused", "again", 4),
    Case("no connection in time", "submit", httpx.ConnectTimeout("slow"), "timeout", "slow", "again"),
    Case("submission lost", "submit", httpx.ReadError("reset"), "network", "ReadError: reset"),
    Case("submission lost", "submit", httpx.RemoteProtocolError("closed"), "network", "closed"),
    Case("submission hung", "submit", httpx.ReadTimeout("slow"), "timeout", "ReadTimeout: slow"),
    Case("submission hung", "submit", httpx.WriteTimeout("slow"), "timeout", "WriteTimeout: slow"),
    Case("submission's answer unreadable", "submit", httpx.Response(200, html="<p>Wi-Fi</p>"), "network", "understood"),
    Case("submission's answer unreadable", "submit", answer(200, {"request_id": "r1"}), "network", "response_url"),
    Case("upload failed", "upload", answer(500, {"detail": "full"}), "server_error", "full", "again"),
    Case("upload failed", "upload", gateway_error(503), "server_error", "503", "again", 4),
    Case("upload failed", "token", gateway_error(500), "server_error", "500", "again", stage="upload"),
    Case("upload lost", "upload", httpx.ReadError("reset"), "network", "reset", "again", 4),
    Case("upload lost", "upload", answer(200, {}), "network", "access_url", "again"),
    Case("upload hung", "upload", httpx.ReadTimeout("slow"), "timeout", "slow", "again", 4),
]

OUTCOMES = [
    Case("validation", "result", answer(422, {"detail": [FINDING]}), "invalid_request", "guidance_scale"),
    Case("validation", "result", answer(422, {"detail": "bad"}), "invalid_request", "HTTP 422: bad"),
    Case("content policy", "result", answer(422, {"detail": [POLICY]}), "content_policy", "[content_policy_violation]"),
    Case("cancelled", "result", answer(499, _error("client_cancelled")), "cancelled", "client_cancelled", "again"),
    Case("cancelled", "result", answer(499, _error("client_disconnected")), "cancelled", "client_disco", "again"),
    _passing(500, "runner_server_error"),
    _passing(500, "internal_error"),
    _passing(502, "runner_incomplete_response"),
    _passing(503, "runner_scheduling_failure"),
    _passing(503, "runner_connection_timeout"),
    _passing(503, "runner_disconnected"),
    _passing(503, "runner_connection_refused"),
    _passing(503, "runner_connection_error"),
    _passing(504, "request_timeout", "timeout"),
    _passing(504, "startup_timeout", "timeout"),
    Case(
        "time-out of the service",
        "result",
        answer(504, {"detail": "late"}, X_Fal_Error_Type="request_timeout"),
        "timeout",
        "late",
        "again",
    ),
    Case("request no longer known", "result", answer(404, {"detail": "Request not found"}), "expired", "not found"),
    Case("request no longer known", "result", answer(410, {"detail": "deleted"}), "expired", "deleted"),
    Case("request no longer known", "status", answer(404, {"detail": "gone"}), "expired", "gone", stage="queue"),
    Case("request no longer known", "result", answer(404, {"status": "NOT_FOUND"}), "expired", "NOT_FOUND"),
    Case("", "result", answer(200, ["x"]), "bad_image", "not understood"),
    Case("", "result", answer(200, {"seed": 1}), "bad_image", "images"),
    Case("", "result", answer(200, {"images": [{}]}), "bad_image", "url"),
]

WAY = [
    Case(
        "key refused for an accepted request",
        "status",
        answer(401, {"detail": "no"}),
        "authentication",
        "401",
        "fetch",
        stage="queue",
    ),
    Case(
        "key refused for an accepted request", "result", answer(402, {"detail": "no"}), "authentication", "402", "fetch"
    ),
    Case("answer unreadable", "status", answer(200, {"status": "LOST"}), "network", "LOST", "fetch", stage="queue"),
    Case("answer unreadable", "status", answer(202, {"status": "IN_QUEUE"}), "network", "pos", "fetch", stage="queue"),
    Case("answer unreadable", "result", httpx.Response(200, html="<p>"), "network", "understood", "fetch"),
    Case("read lost", "status", httpx.ReadError("reset"), "network", "reset", "fetch", 4, "queue"),
    Case("read hung", "status", httpx.ReadTimeout("slow"), "timeout", "slow", "fetch", 4, "queue"),
    Case("read lost", "status", [answer(202, RUNNING), httpx.ReadError("x")], "network", "x", "fetch", 5, "inference"),
    Case("status not given", "status", gateway_error(503), "network", "HTTP 503", "fetch", 4, "queue"),
    Case("status not given", "status", answer(429, {"detail": "slow down"}), "network", "429", "fetch", 4, "queue"),
    Case("read hung", "result", httpx.ReadTimeout("slow"), "timeout", "slow", "fetch", 4),
    Case("result not given by a gateway", "result", gateway_error(502), "network", "HTTP 502", "fetch", 4),
    Case("too many reads of the result", "result", answer(429, {"detail": "slow"}), "network", "429", "fetch", 4),
    Case("read lost", "picture", httpx.ReadError("x"), "network", "ReadError", "fetch", 4, "download"),
    Case("read hung", "picture", httpx.ReadTimeout("x"), "timeout", "ReadTimeout", "fetch", 4, "download"),
    Case("picture cut short", "picture", SHORT, "truncated", "peer closed", "fetch", 4, "download"),
    Case("picture's address expired", "picture", httpx.Response(403), "expired", "HTTP 403", stage="download"),
    Case("picture's address expired", "picture", httpx.Response(404), "expired", "HTTP 404", stage="download"),
    Case("picture's address expired", "picture", httpx.Response(410), "expired", "HTTP 410", stage="download"),
    Case("picture not given", "picture", httpx.Response(500), "network", "HTTP 500", "fetch", 1, "download"),
    Case("picture not given", "picture", httpx.Response(503), "network", "HTTP 503", "fetch", 4, "download"),
    Case(
        "picture's address is none",
        "result",
        answer(200, result_body(images=[{"url": "https://v3.fal.media:port/"}])),
        "bad_image",
        "InvalidURL",
        stage="download",
    ),
    Case("", "picture", httpx.Response(200, text="<p>"), "bad_image", "content type", stage="download"),
    Case(
        "",
        "picture",
        httpx.Response(302, headers={"location": "https://v3.fal.media/again"}),
        "network",
        "more than 3 redirects",
        calls=4,
        stage="download",
    ),
    Case(
        "",
        "picture",
        httpx.Response(200, headers={"content-type": "image/png"}, content=b"x" * 2_000_001),
        "bad_image",
        "more than 2000000",
        stage="download",
    ),
]
ROWS: tuple[AnswerRow | TransportRow, ...] = (*ANSWERS, *TRANSPORT)
CASES = [*BEFORE, *OUTCOMES, *WAY]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_answer_becomes_its_failure(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ScriptedFal()
    with pytest.raises(GenerationError) as raised:
        _run(case, script, monkeypatch, tmp_path)
    error = raised.value
    outlook = {"": (False, False), "again": (True, False), "fetch": (True, True)}[case.outlook]
    assert (error.type, error.stage, error.transient, error.fetch_again) == (case.type, case.stage or case.at, *outlook)
    assert error.type in FAILURE_TYPES
    assert case.words in error.message
    assert error.remedy
    assert script.calls.count(case.at) == case.calls
    assert script.calls.count("submit") == (error.stage != "upload"), "a request is submitted once, whatever happens"
    assert "cancel" not in script.calls, "what may still be fetched is not cancelled"


def test_every_row_of_the_table_has_a_case_and_is_reached() -> None:
    rows = {row.name for row in ROWS}
    assert {case.row for case in CASES} - {""} == rows
    assert all(row.verdict.type in FAILURE_TYPES and row.verdict.remedy for row in ROWS)


def test_the_rows_decide_as_they_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A case that names a row is decided by this row, not by another of the same type."""
    verdicts = {row.name: row.verdict for row in ROWS}
    seen: list[Any] = []
    for judge in (_judge_answer, _judge_exception):

        def note(*arguments: Any, judge: Any = judge) -> Any:
            seen.append(judge(*arguments))
            return seen[-1]

        monkeypatch.setattr(f"kreabench.backends.fal_errors.{judge.__name__}", note)
    for case in CASES:
        seen.clear()
        with pytest.raises(GenerationError):
            _run(case, ScriptedFal(), monkeypatch, tmp_path)
        if case.row:
            assert seen[-1] is verdicts[case.row], case.name
        else:
            assert seen == [], case.name


def _run(case: Case, script: ScriptedFal, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    setattr(script, case.at, case.reply)
    uploads = (case.stage or case.at) == "upload"
    backend = open_backend(
        script, monkeypatch, target=image_to_image() if uploads else None, inputs=folder, max_download_bytes=2_000_000
    )
    setting = make_setting(task="image-to-image", strength=0.8, steps=10) if uploads else make_setting()
    draw(backend, setting, make_request(setting, images=(stored_input(folder),) if uploads else ()))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("date", 20.0),
        (NO_YEAR, None),
    ],
)
def test_what_the_service_asks_to_wait_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float | None
) -> None:
    text = formatdate(time() + 20, usegmt=True) if text == "date" else text
    script = ScriptedFal(submit=answer(429, {"detail": "wait"}, Retry_After=text))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch))
    assert raised.value.retry_after_s == (None if seconds is None else pytest.approx(seconds, abs=2))


def test_a_failure_that_comes_with_a_result_is_believed_neither_way(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(200, FAILED), result=answer(200, result_body()))
    with pytest.raises(GenerationError, match=r"failed \(x\)") as raised:
        draw(open_backend(script, monkeypatch))
    assert (raised.value.type, raised.value.transient) == ("bad_image", False)


def test_the_next_request_works_after_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(submit=[answer(500, _error("internal_error")), answer(200, ACCEPTED)])
    backend = open_backend(script, monkeypatch)
    with pytest.raises(GenerationError):
        draw(backend)
    assert len(draw(backend).images) == 1


SECRET = KEY.partition(":")[2]


@pytest.mark.parametrize(
    "script",
    [
        ScriptedFal(submit=answer(401, {"detail": f"Key {KEY} is not valid"})),
        ScriptedFal(submit=answer(401, {"detail": f"secret {SECRET}"})),
        ScriptedFal(submit=httpx.ReadError(f"while sending {KEY}")),
        ScriptedFal(submit=httpx.Response(502, html=f"<p>authorization: Key {KEY}</p>")),
        ScriptedFal(submit=answer(200, {KEY: 1})),
        ScriptedFal(status=answer(200, {"status": KEY})),
        ScriptedFal(result=answer(422, {"detail": [{"loc": [KEY], "msg": KEY, "type": KEY}]})),
        ScriptedFal(result=answer(500, {"detail": "x", "error_type": KEY})),
        ScriptedFal(result=answer(200, {"images": KEY})),
        ScriptedFal(status=answer(200, {**FAILED, "error": KEY})),
        ScriptedFal(picture=httpx.ReadError(f"while sending {KEY}")),
    ],
)
def test_the_key_is_in_no_message_traceback_repr_or_log(
    script: ScriptedFal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    backend = open_backend(script, monkeypatch)
    with pytest.raises(GenerationError) as raised:
        draw(backend)
    shown = "".join(traceback.format_exception(raised.value))
    assert "GenerationError" in shown
    session = backend._session
    held = [
        repr(part) for part in (backend, session, *vars(session).values(), *vars(vars(session)["_clients"]).values())
    ]
    for text in (str(raised.value), repr(raised.value), raised.value.remedy, shown, caplog.text, *held):
        assert SECRET not in text


def test_what_the_service_names_is_recorded_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(
        submit=answer(200, {**ACCEPTED, "request_id": f"r-{SECRET}"}),
        result=answer(200, result_body(prompt=f"a {SECRET}"), X_Fal_Served_From=f"runner-{SECRET}"),
    )
    told: list[str] = []
    hosted = draw(open_backend(script, monkeypatch), submitted=told.append).hosted
    assert hosted is not None
    assert (hosted.service_request_id, hosted.runner, hosted.prompt) == ("r-[key]", "runner-[key]", "a [key]")
    assert told == ["r-[key]"]


def test_messages_are_short_and_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(submit=answer(500, {"detail": "a\n\x1b[31mb\x00" + "c" * 10_000}))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch))
    assert len(raised.value.message) <= 500
    assert raised.value.message.isprintable()


def test_errors_can_leave_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own error class can be neither pickled nor copied; ours holds plain values only."""
    script = ScriptedFal(submit=answer(500, _error("internal_error")))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch))
    state = copy.deepcopy(vars(raised.value))
    assert pickle.loads(pickle.dumps(state)) == state
