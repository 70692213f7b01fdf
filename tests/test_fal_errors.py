"""Everything that fal or the way there can answer becomes one typed failure, without the key, and is never resent."""

from __future__ import annotations

import copy
import pickle
import traceback
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from kreabench.core.errors import GenerationError
from kreabench.core.records import FAILURE_TYPES
from tests.fal_support import (
    ACCEPTED,
    COMPLETED,
    KEY,
    Answers,
    ScriptedFal,
    answer,
    gateway_error,
    open_backend,
    result_body,
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


def _error(error_type: str, detail: str = "it failed") -> dict[str, Any]:
    return {"detail": detail, "error_type": error_type}


@dataclass(frozen=True)
class Case:
    """What is answered, and the failure that it must become."""

    name: str
    reply: Answers
    type: str
    words: str
    transient: bool = False
    at: str = "submit"
    stage: str = ""
    calls: int = 1
    """How often that call is made."""


def _result(name: str, reply: Answers, type: str, words: str, transient: bool = False) -> Case:
    """The outcome of a request that had been accepted."""
    return Case(name, reply, type, words, transient, at="result")


def _status(name: str, reply: Answers, words: str, calls: int = 1) -> Case:
    """A fault while waiting: what became of the request is not known."""
    return Case(name, reply, "network", words, at="status", stage="queue", calls=calls)


def _service(code: int, error_type: str) -> Case:
    """An error that fal declares passing."""
    return _result(error_type, answer(code, _error(error_type)), "server_error", error_type, True)


SUBMIT_CASES = [
    Case("401", answer(401, {"detail": "No user"}), "authentication", "HTTP 401: No user"),
    Case("403", answer(403, {"detail": "Exhausted balance"}), "authentication", "Exhausted balance"),
    Case("400", answer(400, _error("bad_request")), "invalid_request", "bad_request"),
    Case("404", answer(404, {"detail": "Application not found"}), "invalid_request", "Application not found"),
    Case("429", answer(429, _error("concurrent_requests_limit")), "rate_limited", "concurrent_requests_limit", True),
    Case("500", answer(500, _error("internal_error")), "server_error", "internal_error", True),
    Case("502 of nginx", gateway_error(502), "network", "nginx"),
    Case("504 of nginx", gateway_error(504), "network", "nginx"),
    Case("no connection", httpx.ConnectError("refused"), "network", "ConnectError: refused", True),
    Case("no connection in time", httpx.ConnectTimeout("slow"), "timeout", "slow", True),
    Case("reset after the body", httpx.ReadError("reset"), "network", "ReadError: reset"),
    Case("no answer in time", httpx.ReadTimeout("slow"), "timeout", "ReadTimeout: slow"),
    Case("server hung up", httpx.RemoteProtocolError("closed"), "network", "closed"),
    Case("no JSON", httpx.Response(200, html="<html>log in to the Wi-Fi</html>"), "network", "not understood"),
    Case("a field missing", answer(200, {"request_id": "r1"}), "network", "response_url"),
]

OUTCOME_CASES = [
    _result("422", answer(422, {"detail": [FINDING]}), "invalid_request", "guidance_scale: Input should be at most 20"),
    _result("422 policy", answer(422, {"detail": [POLICY]}), "content_policy", "[content_policy_violation]"),
    _result("422 text", answer(422, {"detail": "bad"}), "invalid_request", "HTTP 422: bad"),
    _result("499", answer(499, _error("client_cancelled")), "server_error", "client_cancelled"),
    _service(500, "runner_server_error"),
    _service(500, "internal_error"),
    _service(502, "runner_incomplete_response"),
    _service(503, "runner_scheduling_failure"),
    _service(503, "runner_connection_timeout"),
    _service(503, "runner_disconnected"),
    _service(503, "runner_connection_refused"),
    _service(503, "runner_connection_error"),
    _result("request_timeout", answer(504, _error("request_timeout")), "timeout", "request_timeout", True),
    _result("startup_timeout", answer(504, _error("startup_timeout")), "timeout", "startup_timeout", True),
    _result("type in the header", answer(504, {"detail": ""}, X_Fal_Error_Type="request_timeout"), "timeout", "", True),
    _result("a result that is no object", answer(200, ["x"]), "network", "not understood"),
    _result("a result without pictures", answer(200, {"seed": 1}), "network", "images"),
    _result("pictures without addresses", answer(200, {"images": [{}]}), "network", "url"),
]

WAY_CASES = [
    _status("status 401", answer(401, {"detail": "no"}), "HTTP 401"),
    Case("result 401", answer(401, {"detail": "no"}), "network", "HTTP 401", at="result"),
    Case("result 402", answer(402, {"detail": "no"}), "network", "HTTP 402", at="result"),
    _status("status unreadable", answer(200, {"status": "LOST"}), "Unknown status: LOST"),
    _status("status without position", answer(202, {"status": "IN_QUEUE"}), "queue_position"),
    _status("status lost", httpx.ReadError("reset"), "reset", calls=4),
    _status("status by a gateway", gateway_error(503), "HTTP 503", calls=4),
    _status("too many status reads", answer(429, {"detail": "slow down"}), "HTTP 429", calls=4),
    Case("result lost", httpx.ReadTimeout("slow"), "timeout", "slow", at="result", calls=4),
    Case("result by a gateway", gateway_error(502), "network", "HTTP 502", at="result", calls=4),
    Case("picture lost", httpx.ReadError("x"), "network", "ReadError", at="picture", stage="download", calls=4),
    Case("picture gone", httpx.Response(404), "network", "HTTP 404", at="picture", stage="download"),
]


@pytest.mark.parametrize("case", [*SUBMIT_CASES, *OUTCOME_CASES, *WAY_CASES], ids=lambda case: case.name)
def test_every_answer_becomes_its_failure(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal()
    setattr(script, case.at, case.reply)
    backend = open_backend(script, monkeypatch)
    with pytest.raises(GenerationError) as raised:
        backend.generate(make_setting(), make_request())
    error = raised.value
    assert (error.type, error.stage, error.transient) == (case.type, case.stage or case.at, case.transient)
    assert error.type in FAILURE_TYPES
    assert case.words in error.message
    assert error.remedy
    assert script.calls.count(case.at) == case.calls
    assert script.calls.count("submit") == 1, "a request is submitted once, whatever happens"


def test_the_failure_after_a_lost_status_cancels_what_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=httpx.ReadError("reset"))
    with pytest.raises(GenerationError):
        open_backend(script, monkeypatch).generate(make_setting(), make_request())
    assert script.calls[-1] == "cancel"


def test_a_failure_that_comes_with_a_result_is_believed_neither_way(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(200, FAILED), result=answer(200, result_body()))
    with pytest.raises(GenerationError, match=r"failed \(x\)") as raised:
        open_backend(script, monkeypatch).generate(make_setting(), make_request())
    assert (raised.value.type, raised.value.transient) == ("bad_image", False)


def test_the_next_request_works_after_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(submit=[answer(500, _error("internal_error")), answer(200, ACCEPTED)])
    backend = open_backend(script, monkeypatch)
    with pytest.raises(GenerationError):
        backend.generate(make_setting(), make_request())
    assert len(backend.generate(make_setting(), make_request()).images) == 1


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
        ScriptedFal(status=answer(200, {**FAILED, "error": KEY})),
    ],
)
def test_the_key_is_in_no_message_traceback_or_log(
    script: ScriptedFal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    backend = open_backend(script, monkeypatch)
    with pytest.raises(GenerationError) as raised:
        backend.generate(make_setting(), make_request())
    shown = "".join(traceback.format_exception(raised.value))
    assert "GenerationError" in shown
    for text in (str(raised.value), repr(raised.value), shown, caplog.text):
        assert SECRET not in text


def test_what_the_service_names_is_recorded_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(
        submit=answer(200, {**ACCEPTED, "request_id": f"r-{SECRET}"}),
        result=answer(200, result_body(), X_Fal_Served_From=f"runner-{SECRET}"),
    )
    hosted = open_backend(script, monkeypatch).generate(make_setting(), make_request()).hosted
    assert hosted is not None
    assert (hosted.service_request_id, hosted.runner) == ("r-[key]", "runner-[key]")


def test_messages_are_short_and_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(submit=answer(500, {"detail": "a\n\x1b[31mb\x00" + "c" * 10_000}))
    with pytest.raises(GenerationError) as raised:
        open_backend(script, monkeypatch).generate(make_setting(), make_request())
    assert len(raised.value.message) <= 500
    assert raised.value.message.isprintable()


def test_errors_can_leave_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own error class can be neither pickled nor copied; ours holds plain values only."""
    script = ScriptedFal(submit=answer(500, _error("internal_error")))
    with pytest.raises(GenerationError) as raised:
        open_backend(script, monkeypatch).generate(make_setting(), make_request())
    state = copy.deepcopy(vars(raised.value))
    assert pickle.loads(pickle.dumps(state)) == state
