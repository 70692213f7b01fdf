"""A service, or something in its place, that answers what no service should: neither key nor picture is lost by it."""

from __future__ import annotations

import json

import httpx
import pytest

from kreabench.core.errors import GenerationError
from kreabench.execution.answering import delivery_of
from kreabench.execution.messages import Done, decode_answer, encode_line
from tests.fal_support import ACCEPTED, ScriptedFal, answer, draw, open_backend, result_body


def test_an_id_is_recorded_as_the_service_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next session would ask for another one."""
    generation = draw(open_backend(ScriptedFal(), monkeypatch), earlier_id="a/b c")
    assert generation.hosted is not None
    assert generation.hosted.service_request_id == "a/b c"


@pytest.mark.parametrize(
    "base",
    ["http://queue.fal.run/r1", "https://elsewhere.example/r1", "https://queue.fal.run:8443/r1", "https://[", None],
)
def test_the_key_goes_nowhere_else_whatever_addresses_the_service_gives(
    monkeypatch: pytest.MonkeyPatch, base: str | None
) -> None:
    given = {name: base and base + path for name, path in (("response_url", ""), ("status_url", "/status"))}
    script = ScriptedFal(submit=answer(200, ACCEPTED | given))
    draw(open_backend(script, monkeypatch, observe="auto"))
    asked = [str(request.url) for request in script.requests if "authorization" in request.headers]
    assert len(asked) == 6
    assert all(url.startswith("https://queue.fal.run/fal-ai/flux/") for url in asked)


def test_what_no_record_can_hold_does_not_cost_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    half = "\ud800"
    body = result_body(prompt=half + "x" * 20_000, timings={half: 1.5} | {str(n): float(n) for n in range(100)})
    text = json.dumps(body)
    script = ScriptedFal(
        submit=lambda _: httpx.Response(200, text=json.dumps({**ACCEPTED, "request_id": f"r{half}"})),
        result=lambda _: httpx.Response(200, text=text),
    )
    told: list[str] = []
    generation = draw(open_backend(script, monkeypatch), submitted=told.append)
    assert told == ["r?"]
    assert generation.hosted is not None
    assert decode_answer(encode_line(Done(started_utc="", delivery=delivery_of(generation))))
    assert generation.hosted.prompt is not None
    assert (len(generation.hosted.prompt), len(generation.hosted.timings_s)) == (10_000, 50)
    assert generation.hosted.timings_s["?"] == 1.5


def test_a_call_after_the_end_hears_that_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread may have begun a moment before the back end was closed: a resume sends it."""
    script = ScriptedFal()
    backend = open_backend(script, monkeypatch)
    backend.close()
    with pytest.raises(GenerationError) as raised:
        draw(backend)
    backend.close()
    assert (raised.value.type, raised.value.stage, raised.value.transient) == ("cancelled", "check", True)
    assert script.calls == []


@pytest.mark.parametrize(
    ("at", "outlook"), [("submit", (False, False)), ("status", (True, True)), ("result", (True, True))]
)
def test_an_answer_that_breaks_its_reader_is_one_that_was_not_understood(
    at: str, outlook: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is of the kind that a closed client raises, which would mean that nothing was sent."""
    script = ScriptedFal()
    setattr(script, at, lambda _: httpx.Response(200, text="[" * 200_000))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch))
    assert (raised.value.type, raised.value.transient, raised.value.fetch_again) == ("network", *outlook)
    assert "recursion" in raised.value.message


def test_an_error_that_breaks_its_reader_is_still_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(submit=lambda _: httpx.Response(500, text="[" * 200_000))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch))
    assert (raised.value.type, raised.value.stage, raised.value.transient) == ("network", "submit", False)
