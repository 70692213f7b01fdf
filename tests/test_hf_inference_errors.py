"""What goes wrong at a provider: the type of each failure, whether it is tried again, and no key in any message."""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.hf_inference import HfInferenceBackend
from kreabench.backends.service_values import retry_after_s
from kreabench.core.errors import GenerationError
from tests.hf_support import (
    KEY,
    PICTURE,
    Reply,
    base64_reply,
    certificate,
    draw,
    hf_target,
    json_reply,
    opened,
    picture_reply,
    point_library_at,
    serving,
)

HTML = Reply(status=502, body=b"<html>nginx</html>", headers={"content-type": "text/html"})


def failure(
    reply: Reply, monkeypatch: pytest.MonkeyPatch, provider: str = "together", **options: Any
) -> GenerationError:
    """Of one request that is answered so. It was sent once, and no error shows the key."""
    told: list[str] = []
    with serving(lambda _: reply) as server, opened(provider, server.url, monkeypatch, **options) as backend:
        with pytest.raises(GenerationError) as caught:
            draw(backend, tell=told.append)
        assert len(server.posts()) == 1
    error = caught.value
    assert KEY not in f"{error} {error.message} {error.remedy}"
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert not error.fetch_again
    if not 200 <= reply.status < 300:
        assert not told
    return error


@pytest.mark.parametrize(
    ("reply", "type_", "transient"),
    [
        (json_reply({"error": "Invalid token"}, 401), "authentication", True),
        (json_reply({"error": "forbidden"}, 403), "authentication", True),
        (json_reply({"error": "You have exceeded your monthly included credits"}, 402), "authentication", True),
        (json_reply({"error": "no such model"}, 404), "invalid_request", False),
        (json_reply({"error": {"message": "steps too many", "code": "x"}}, 400), "invalid_request", False),
        (
            json_reply({"detail": [{"loc": ["body", "seed"], "msg": "bad", "type": "int"}]}, 422),
            "invalid_request",
            False,
        ),
        (
            json_reply({"error": {"message": "refused", "code": "content_policy_violation"}}, 422),
            "content_policy",
            False,
        ),
        (json_reply({"detail": "NSFW content detected"}, 400), "content_policy", False),
        (json_reply({"error": "slow down"}, 429, headers={"retry-after": "7"}), "rate_limited", True),
        (Reply(status=429, body=b"slow down"), "rate_limited", True),
        (json_reply({"error": "model is loading", "estimated_time": 20}, 503), "server_error", True),
        # It failed in the middle of the call, and nobody says whether that is billed.
        (json_reply({"error": "out of memory"}, 500), "server_error", False),
        (json_reply({"error": "upstream went away"}, 502), "server_error", False),
        (HTML, "network", False),
        (replace(HTML, status=503), "network", False),
        (replace(HTML, status=500), "network", False),
        (json_reply({"error": "upstream timed out"}, 504), "timeout", False),
        (replace(HTML, status=504), "timeout", False),
        (Reply(status=408), "timeout", False),
        (Reply(status=307, headers={"location": "http://127.0.0.1:1/"}), "network", False),
        (Reply(fault="reset"), "network", False),
        (replace(base64_reply(), fault="truncate"), "network", False),
        (Reply(body=b""), "network", False),
        (Reply(body=b"not json"), "network", False),
        (json_reply({}), "network", False),
        (json_reply([]), "network", False),
        (json_reply({"data": []}), "network", False),
        (json_reply({"data": [{"b64_json": "§"}]}), "network", False),
        (base64_reply(b"no picture"), "bad_image", False),
        (base64_reply(b""), "bad_image", False),
    ],
)
def test_an_answer_that_is_no_picture(
    reply: Reply, type_: str, transient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failure(reply, monkeypatch)
    assert (error.type, error.transient, error.stage) == (type_, transient, "call")
    assert error.remedy


def test_no_credit_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(json_reply({"error": "no credits"}, 402), monkeypatch)
    assert "no credit left" in error.remedy
    assert "HF_TOKEN" in error.remedy


def test_the_key_is_taken_out_of_what_the_provider_says(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(json_reply({"error": f"token {KEY} is\nnot known"}, 401), monkeypatch)
    assert "token [key] is not known" in error.message


def test_the_wait_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(json_reply({}, 429, headers={"retry-after": "7"}), monkeypatch).retry_after_s == 7
    assert failure(json_reply({}, 429), monkeypatch).retry_after_s is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2.5", 2.5),
        ("0", 0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": value}) == seconds


def test_a_slow_answer_may_be_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    error = failure(replace(base64_reply(), wait_s=30), monkeypatch, request_timeout_s=0.3)
    assert time.monotonic() - begun < 5
    assert (error.type, error.transient, error.stage) == ("timeout", False, "call")
    assert "billed" in error.remedy


def test_a_refused_connection_was_not_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: base64_reply()) as server:
        url = server.url
    with opened("together", url, monkeypatch) as backend, pytest.raises(GenerationError) as caught:
        draw(backend)
    assert (caught.value.type, caught.value.transient) == ("network", True)


def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(picture_reply(body=PICTURE * 50), monkeypatch, "hf-inference", max_download_bytes=len(PICTURE))
    assert (error.type, error.transient) == ("bad_image", False)
    error = failure(base64_reply(PICTURE + b"x"), monkeypatch, max_download_bytes=len(PICTURE))
    assert error.type == "bad_image"


def test_text_in_place_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(json_reply({"error": "none"}), monkeypatch, "hf-inference")
    assert (error.type, error.stage) == ("bad_image", "call")


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({"status": "processing", "output": None}, "timeout"),
        ({"status": "failed", "output": None, "error": "CUDA went away"}, "server_error"),
        ({"status": "failed", "output": None, "error": "NSFW content detected."}, "content_policy"),
        ({"status": "succeeded", "output": []}, "network"),
    ],
)
def test_replicate_without_output(body: dict[str, Any], type_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(json_reply({"id": "p1"} | body, 201), monkeypatch, "replicate")
    assert (error.type, error.transient) == (type_, False)


def test_a_failed_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.inference._providers.wavespeed._POLLING_INTERVAL", 0.01)
    begun = {"data": {"urls": {"get": "/r/1"}, "status": "failed", "error": f"worker died, {KEY}"}}
    error = failure(json_reply(begun), monkeypatch, "wavespeed")
    assert (error.type, error.transient) == ("server_error", False)
    assert "worker died, [key]" in error.message


def test_a_job_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would ask for ever."""
    monkeypatch.setattr("huggingface_hub.inference._providers.wavespeed._POLLING_INTERVAL", 0.01)
    begun = {"data": {"urls": {"get": "/r/1"}, "status": "processing"}}
    error = failure(json_reply(begun), monkeypatch, "wavespeed", request_timeout_s=0.3)
    assert (error.type, error.transient) == ("timeout", False)


@pytest.fixture(name="tls")
def _tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    return certificate(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("reply", "type_"),
    [
        (Reply(status=500), None),
        (picture_reply(body=b"<html>", headers={"content-type": "text/html"}), "bad_image"),
        (picture_reply(body=b"no picture at all"), "bad_image"),
    ],
)
def test_a_picture_that_cannot_be_fetched(
    reply: Reply, type_: str | None, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda _: reply, tls=tls) as files:
        error = failure(json_reply({"images": [{"url": f"{files.url}/a.png"}]}), monkeypatch, "fal-ai")
    assert (error.stage, error.transient) == ("download", False)
    if type_ is not None:
        assert error.type == type_


def test_a_fault_on_the_way_of_the_picture_is_got_over(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(lambda _: Reply(fault="reset") if len(files.seen) == 1 else picture_reply(), tls=tls) as files,
        serving(lambda _: json_reply({"images": [{"url": f"{files.url}/a.png"}]})) as server,
        opened("fal-ai", server.url, monkeypatch) as backend,
    ):
        generation = draw(backend)
    assert generation.images[0].content == PICTURE
    assert generation.hosted is not None
    assert generation.hosted.attempts == 2
    assert len(server.posts()) == 1


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/a.png", "https://192.0.2.1/a.png", "file:///etc/passwd", "a.png", "https://[", 5]
)
def test_an_address_that_is_not_fetched(address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(json_reply({"images": [{"url": address}]}), monkeypatch, "fal-ai")
    assert (error.type, error.transient) == ("network", False)


def test_a_model_that_the_provider_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found at loading, before anything is bought. The Hub is the loopback here."""
    hub = {
        "id": "x/y",
        "inferenceProviderMapping": {"fal-ai": {"providerId": "a", "status": "live", "task": "text-to-image"}},
    }
    with serving(lambda _: json_reply(hub)) as server:
        point_library_at("together", server.url, monkeypatch)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", KEY)
        backend = HfInferenceBackend()
        target = hf_target(model="x/y", options={"provider": "together"})
        with pytest.raises(GenerationError) as caught:
            backend.open(target, (), (), concurrency=1)
        backend.close()
        assert not server.posts()
    assert (caught.value.type, caught.value.stage, caught.value.transient) == ("invalid_request", "load", False)
    assert "not supported by provider together" in caught.value.message


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: json_reply({})) as server:
        url = server.url
    point_library_at("together", url, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setenv("HF_TOKEN", KEY)
    backend = HfInferenceBackend()
    with pytest.raises(GenerationError) as caught:
        backend.open(hf_target(model="x/z", options={"provider": "together"}), (), (), concurrency=1)
    backend.close()
    assert (caught.value.type, caught.value.stage, caught.value.transient) == ("network", "load", True)
