"""Everything that fal or the way there can answer becomes one typed failure, without the key, and is never resent."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field
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


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is answered where, and the failure that it must become."""

    name: str
    at: str
    reply: Answers
    type: str
    transient: bool
    words: str
    stage: str | None = None
    calls: int = field(default=1)
    """How often that call is made."""


SUBMIT_CASES = [
    Case(name="401", at="submit", reply=answer(401, {"detail": "No user"}), type="authentication", transient=False, words="HTTP 401: No user"),
    Case(name="403", at="submit", reply=answer(403, {"detail": "Exhausted balance"}), type="authentication", transient=False, words="Exhausted balance"),
    Case(name="400", at="submit", reply=answer(400, _error("bad_request")), type="invalid_request", transient=False, words="bad_request"),
    Case(name="404", at="submit", reply=answer(404, {"detail": "Application not found"}), type="invalid_request", transient=False, words="Application not found"),
    Case(name="429", at="submit", reply=answer(429, _error("concurrent_requests_limit"), X_Fal_Needs_Retry="1"), type="rate_limited", transient=True, words="concurrent_requests_limit"),
    Case(name="500", at="submit", reply=answer(500, _error("internal_error")), type="server_error", transient=True, words="internal_error"),
    Case(name="502 of nginx", at="submit", reply=gateway_error(502), type="network", transient=False, words="nginx"),
    Case(name="504 of nginx", at="submit", reply=gateway_error(504), type="network", transient=False, words="nginx"),
    Case(name="no connection", at="submit", reply=httpx.ConnectError("refused"), type="network", transient=True, words="ConnectError: refused"),
    Case(name="no connection in time", at="submit", reply=httpx.ConnectTimeout("slow"), type="timeout", transient=True, words="slow"),
    Case(name="reset after the body", at="submit", reply=httpx.ReadError("reset"), type="network", transient=False, words="ReadError: reset"),
    Case(name="no answer in time", at="submit", reply=httpx.ReadTimeout("slow"), type="timeout", transient=False, words="ReadTimeout: slow"),
    Case(name="server hung up", at="submit", reply=httpx.RemoteProtocolError("closed"), type="network", transient=False, words="closed"),
    Case(name="no JSON", at="submit", reply=httpx.Response(200, html="<html>log in to the Wi-Fi</html>"), type="network", transient=False, words="not understood"),
    Case(name="a field missing", at="submit", reply=answer(200, {"request_id": "r1"}), type="network", transient=False, words="response_url"),
]  # fmt: skip

OUTCOME_CASES = [
    Case(name="422", at="result", reply=answer(422, {"detail": [FINDING]}), type="invalid_request", transient=False, words="guidance_scale: Input should be at most 20 [less_than_equal]"),
    Case(name="422 policy", at="result", reply=answer(422, {"detail": [POLICY]}), type="content_policy", transient=False, words="content_policy_violation"),
    Case(name="422 text", at="result", reply=answer(422, {"detail": "bad"}), type="invalid_request", transient=False, words="HTTP 422: bad"),
    Case(name="499", at="result", reply=answer(499, _error("client_cancelled")), type="server_error", transient=False, words="client_cancelled"),
    *(
        Case(name=kind, at="result", reply=answer(code, _error(kind)), type="server_error", transient=True, words=kind)
        for code, kind in [
            (500, "runner_server_error"),
            (500, "internal_error"),
            (502, "runner_incomplete_response"),
            (503, "runner_scheduling_failure"),
            (503, "runner_connection_timeout"),
            (503, "runner_disconnected"),
            (503, "runner_connection_refused"),
            (503, "runner_connection_error"),
        ]
    ),
    Case(name="request_timeout", at="result", reply=answer(504, _error("request_timeout"), X_Fal_Request_Timeout_Type="user"), type="timeout", transient=True, words="request_timeout"),
    Case(name="startup_timeout", at="result", reply=answer(504, _error("startup_timeout")), type="timeout", transient=True, words="startup_timeout"),
    Case(name="type in the header", at="result", reply=answer(504, {"detail": "late"}, X_Fal_Error_Type="request_timeout"), type="timeout", transient=True, words="request_timeout"),
    Case(name="a result that is no object", at="result", reply=answer(200, ["x"]), type="network", transient=False, words="not understood"),
    Case(name="a result without pictures", at="result", reply=answer(200, {"seed": 1}), type="network", transient=False, words="images"),
    Case(name="pictures without addresses", at="result", reply=answer(200, {"images": [{}]}), type="network", transient=False, words="url"),
]  # fmt: skip

WAY_CASES = [
    Case(name="status 401", at="status", reply=answer(401, {"detail": "no"}), type="network", transient=False, words="HTTP 401", stage="queue"),
    Case(name="status unreadable", at="status", reply=answer(200, {"status": "LOST"}), type="network", transient=False, words="Unknown status: LOST", stage="queue"),
    Case(name="status without position", at="status", reply=answer(202, {"status": "IN_QUEUE"}), type="network", transient=False, words="queue_position", stage="queue"),
    Case(name="status lost", at="status", reply=httpx.ReadError("reset"), type="network", transient=False, words="reset", stage="queue", calls=4),
    Case(name="status by a gateway", at="status", reply=gateway_error(503), type="network", transient=False, words="HTTP 503", stage="queue", calls=4),
    Case(name="too many status reads", at="status", reply=answer(429, {"detail": "slow down"}), type="network", transient=False, words="HTTP 429", stage="queue", calls=4),
    Case(name="result lost", at="result", reply=httpx.ReadTimeout("slow"), type="timeout", transient=False, words="slow", calls=4),
    Case(name="result by a gateway", at="result", reply=gateway_error(502), type="network", transient=False, words="HTTP 502", calls=4),
    Case(name="picture lost", at="picture", reply=httpx.RemoteProtocolError("incomplete body"), type="network", transient=False, words="incomplete", stage="download", calls=4),
    Case(name="picture gone", at="picture", reply=httpx.Response(404), type="network", transient=False, words="HTTP 404", stage="download"),
]  # fmt: skip


@pytest.mark.parametrize("case", [*SUBMIT_CASES, *OUTCOME_CASES, *WAY_CASES], ids=lambda case: case.name)
def test_every_answer_becomes_its_failure(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(**{case.at: case.reply})
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
    for text in (str(raised.value), repr(raised.value), caplog.text):
        assert SECRET not in text
    assert raised.value.__cause__ is None, "the library's error quotes the service"
    assert raised.value.__suppress_context__


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
