"""The `openai_images` back end on the real openai client, against a loopback server that speaks as such servers do."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.openai_images import OpenAIImagesBackend
from kreabench.backends.openai_images_arguments import request_body
from kreabench.backends.options import OpenAIImagesOptions
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Setting
from kreabench.core.specs import InputField, TargetSpec
from tests.hf_support import (
    INPUTS,
    PICTURE,
    Reply,
    Seen,
    Server,
    certificate,
    json_reply,
    picture_reply,
    serving,
    ticket,
)
from tests.support import make_acceleration, make_request, make_setting, make_target

KEY = "sk-testkeytestkeytestkey"
KEY_ENV = "IMAGES_TEST_KEY"
WITH_COUNT = INPUTS | {"num_images": InputField(type="integer", minimum=1, maximum=4)}
HTML = Reply(status=502, body=b"<html>nginx</html>", headers={"content-type": "text/html"})


def target(**changes: Any) -> TargetSpec:
    """A target at an address that nobody asks unless `options` name one."""
    values: dict[str, Any] = {
        "name": "own_server",
        "backend": "openai_images",
        "model": "some/model",
        "hosted": True,
        "accelerations": (),
        "key_env": None,
        "options": {"base_url": "http://127.0.0.1:1/v1"},
        "inputs": WITH_COUNT,
    }
    return make_target(**(values | changes))


def setting(**changes: Any) -> Setting:
    return make_setting(target="own_server", width=64, height=96, **changes)


@contextmanager
def opened(url: str, *, target_changes: dict[str, Any] | None = None, **options: Any) -> Iterator[OpenAIImagesBackend]:
    backend = OpenAIImagesBackend()
    spec = target(options={"base_url": f"{url}/v1", **options}, **(target_changes or {}))
    try:
        backend.open(spec, (make_acceleration(),), (), concurrency=1)
        yield backend
    finally:
        backend.close()


def draw(backend: OpenAIImagesBackend, of: Setting | None = None, tell: Callable[[str], None] = lambda _: None) -> Any:
    of = of or setting()
    return backend.generate(of, make_request(of, seed=7), ticket(tell))


def b64_reply(*contents: bytes, **changes: Any) -> Reply:
    items = [{"b64_json": base64.b64encode(content).decode()} for content in contents or (PICTURE,)]
    return json_reply({"created": 1, "data": items}, **changes)


def always(reply: Reply, _: Seen) -> Reply:
    return reply


def problems(**changes: Any) -> str:
    return "; ".join(map(str, OpenAIImagesBackend.check(target(**changes), (make_acceleration(),))))


def test_pictures_come_in_the_answer() -> None:
    told: list[str] = []
    second = PICTURE + b"2"
    headers = {"x-request-id": "req-1", "openai-processing-ms": "1250"}
    with serving(lambda _: b64_reply(PICTURE, second, headers=headers)) as server, opened(server.url) as backend:
        first = draw(backend, setting(num_images=2), told.append)
        again = draw(backend, setting(num_images=2))
    assert [image.content for image in first.images] == [PICTURE, second]
    assert [image.seed for image in first.images] == [None, None]
    assert told == ["req-1"]
    assert (first.hosted.inference_s, first.hosted.observed_by, first.hosted.attempts) == (1.25, "response", 1)
    assert list(first.timings.stages_s) == ["client", "connect", "call"]
    assert list(again.timings.stages_s) == ["client", "call"]
    assert (first.timings.first_call, again.timings.first_call) == (True, False)
    posts = server.posts()
    assert [seen.path for seen in posts] == ["/v1/images/generations"] * 2
    assert posts[0].json() == {
        "model": "some/model",
        "prompt": "a photograph of 0 red bicycles",
        "size": "64x96",
        "num_inference_steps": 4,
        "guidance_scale": 4.5,
        "seed": 7,
        "n": 2,
        "response_format": "b64_json",
    }


def test_pictures_come_by_address_from_the_server_itself() -> None:
    def answer(seen: Seen) -> Reply:
        if seen.method == "GET":
            return picture_reply(wait_s=0.05)
        host = seen.headers["host"]
        return json_reply({"data": [{"url": f"http://{host}/a.png", "seed": 11}, {"url": f"http://{host}/b.png"}]})

    with serving(answer) as server, opened(server.url, response_format="url") as backend:
        generation = draw(backend, setting(num_images=2))
    assert [image.content for image in generation.images] == [PICTURE, PICTURE]
    assert [image.seed for image in generation.images] == [11, None]
    assert generation.timings.stages_s["download"] >= 0.1
    assert generation.timings.end_to_end_s == pytest.approx(
        sum(generation.timings.stages_s.values()) + generation.timings.residual_s
    )
    gets = [seen for seen in server.seen if seen.method == "GET"]
    assert [seen.path for seen in gets] == ["/a.png", "/b.png"]
    assert all("authorization" not in seen.headers for seen in gets)


def test_another_address_is_fetched_only_where_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificate(tmp_path, monkeypatch)
    with serving(lambda _: picture_reply(), tls=tls) as files, serving(lambda _: picture_reply()) as other:
        for address, words in ((other.url, "not https"), ("https://example.com", "not allowed"), ("ftp://a/b", "ftp")):
            reply = json_reply({"data": [{"url": f"{address}/a.png"}]})
            with serving(partial(always, reply)) as server, opened(server.url) as backend:
                with pytest.raises(GenerationError, match=words) as caught:
                    draw(backend)
                assert not caught.value.transient
        with (
            serving(lambda _: json_reply({"data": [{"url": f"{files.url}/a.png"}]})) as server,
            opened(server.url) as it,
        ):
            assert draw(it).images[0].content == PICTURE
    assert not other.seen


def test_names_and_the_form_of_the_answer_are_configured() -> None:
    options = OpenAIImagesOptions(
        base_url="http://127.0.0.1:1",
        response_format=None,
        names={"num_inference_steps": "steps", "image_size": "dims"},
    )
    of = setting()
    spec = target(inputs=INPUTS | {"quality": InputField(type="string")}, parameters={"quality": "high"})
    body = request_body(spec, of, make_request(of), level=None, options=options)
    assert (body["steps"], body["dims"], body["quality"]) == (4, "64x96", "high")
    assert not {"response_format", "size", "num_inference_steps", "n"} & body.keys()


def test_what_the_inputs_refuse_is_not_sent() -> None:
    with serving(lambda _: b64_reply()) as server, opened(server.url) as backend:
        with pytest.raises(GenerationError) as caught:
            draw(backend, setting(steps=99))
        assert (caught.value.type, caught.value.stage) == ("invalid_request", "client")
    assert not server.seen


def failure(reply: Reply, **options: Any) -> GenerationError:
    """Of one request that is answered so, with a key: it was sent once, and no error shows the key."""
    told: list[str] = []
    with (
        serving(lambda _: reply) as server,
        opened(server.url, target_changes={"key_env": KEY_ENV}, **options) as backend,
    ):
        with pytest.raises(GenerationError) as caught:
            draw(backend, tell=told.append)
        assert len(server.posts()) == 1
        assert server.posts()[0].headers["authorization"] == f"Bearer {KEY}"
    error = caught.value
    assert KEY not in f"{error} {error.message} {error.remedy}"
    assert error.__suppress_context__ or error.__context__ is None
    assert not error.fetch_again
    assert not told
    return error


@pytest.mark.parametrize(
    ("reply", "type_", "transient"),
    [
        (
            json_reply({"error": {"message": f"Incorrect API key {KEY}", "code": "invalid_api_key"}}, 401),
            "authentication",
            True,
        ),
        (json_reply({"error": {"message": "spent", "code": "insufficient_quota"}}, 429), "authentication", True),
        (json_reply({"error": {"message": "slow down"}}, 429, headers={"retry-after": "7"}), "rate_limited", True),
        (json_reply({"error": {"message": "no such model"}}, 404), "invalid_request", False),
        (json_reply({"error": {"message": "bad size", "param": "size"}}, 400), "invalid_request", False),
        (json_reply({"error": {"message": "no", "code": "content_policy_violation"}}, 400), "content_policy", False),
        (json_reply({"error": {"message": "rejected by our safety system"}}, 400), "content_policy", False),
        (json_reply({"error": {"message": "loading"}}, 503), "server_error", True),
        (json_reply({"error": {"message": "out of memory"}}, 500), "server_error", False),
        (HTML, "network", False),
        (Reply(status=307, headers={"location": "http://127.0.0.1:1/"}), "network", False),
        (Reply(fault="reset"), "network", False),
        (replace(b64_reply(), fault="truncate"), "network", False),
        (Reply(body=b"not json"), "network", False),
        (json_reply({}), "network", False),
        (json_reply([]), "network", False),
        (json_reply({"data": []}), "network", False),
        (json_reply({"data": ["x"]}), "network", False),
        (json_reply({"data": [{"b64_json": "§"}]}), "network", False),
        (json_reply({"data": [{"b64_json": None, "url": None}]}), "network", False),
        (b64_reply(b"no picture"), "bad_image", False),
    ],
)
def test_an_answer_that_is_no_picture(
    reply: Reply, type_: str, transient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)
    error = failure(reply)
    assert (error.type, error.transient, error.stage) == (type_, transient, "call")
    assert error.remedy
    assert error.retry_after_s == (7 if type_ == "rate_limited" else None)


def test_time_and_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)
    slow = failure(replace(b64_reply(), wait_s=30), request_timeout_s=0.3)
    assert (slow.type, slow.transient, "billed" in slow.remedy) == ("timeout", False, True)
    large = failure(b64_reply(PICTURE + b"x"), max_download_bytes=len(PICTURE))
    assert large.type == "bad_image"


def test_a_refused_connection_was_not_billed() -> None:
    with serving(lambda _: b64_reply()) as server:
        url = server.url
    with opened(url) as backend, pytest.raises(GenerationError) as caught:
        draw(backend)
    assert (caught.value.type, caught.value.transient) == ("network", True)


def test_eight_at_once_each_with_its_own_picture() -> None:
    together = threading.Barrier(8, timeout=20)

    def answer(seen: Seen) -> Reply:
        together.wait()
        return b64_reply(PICTURE + str(seen.json()["seed"]).encode())

    def one(seed: int) -> tuple[int, Any]:
        of = setting()
        return seed, backend.generate(of, make_request(of, seed=seed), ticket())

    with serving(answer) as server, opened(server.url) as backend, ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(one, range(16)))
    assert all(generation.images[0].content == PICTURE + str(seed).encode() for seed, generation in drawn)
    assert server.connections == 8
    assert sum(generation.timings.first_call for _, generation in drawn) == 8


def test_closing_cuts_short_and_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.backends.hf_inference_transport._DRAIN_S", 0.2)
    waits = threading.Event()

    def answer(_: Seen) -> Reply:
        waits.set()
        return replace(b64_reply(), wait_s=30)

    with serving(answer) as server, opened(server.url) as backend, ThreadPoolExecutor(1) as pool:
        call = pool.submit(draw, backend)
        assert waits.wait(10)
        backend.close()
        error = call.exception(timeout=10)
        assert isinstance(error, GenerationError)
        assert (error.type, error.transient) == ("network", False)
        assert str(error).startswith("the run was ended while the provider was at work"), "the server has not hung up"
        with pytest.raises(GenerationError, match="ended before") as late:
            draw(backend)
        assert (late.value.type, late.value.transient) == ("cancelled", True)
        assert len(server.posts()) == 1


def test_an_earlier_request_is_not_sent_again() -> None:
    with serving(lambda _: b64_reply()) as server, opened(server.url) as backend:
        of = setting()
        with pytest.raises(GenerationError, match="earlier session"):
            backend.generate(of, make_request(of), ticket(earlier_id="req-1"))
    assert not server.seen


def test_the_identity_shows_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)
    backend = OpenAIImagesBackend()
    spec = target(key_env=KEY_ENV, options={"base_url": "https://images.example/some/path"})
    identity = backend.open(spec, (make_acceleration(),), (), concurrency=1)
    backend.close()
    assert identity["host"] == "images.example"
    assert not {"some/path", KEY} & set(map(str, identity.values()))


def test_a_key_that_is_wanted_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems() == ""
    monkeypatch.delenv(KEY_ENV, raising=False)
    assert KEY_ENV in problems(key_env=KEY_ENV)
    with pytest.raises(GenerationError, match="no usable key"):
        OpenAIImagesBackend().open(target(key_env=KEY_ENV), (), (), concurrency=1)
    monkeypatch.setenv(KEY_ENV, "two\nlines")
    assert "no header" in problems(key_env=KEY_ENV)
    assert "lines" not in problems(key_env=KEY_ENV)
    monkeypatch.setenv(KEY_ENV, KEY)
    assert problems(key_env=KEY_ENV) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": {"base_url": "images.example/v1"}}, "https address"),
        ({"options": {"base_url": "https://user:secret@images.example"}}, "https address"),
        ({"options": {"base_url": "https://images.example/v1?key=secret"}}, "https address"),
        ({"options": {"base_url": "http://images.example/v1"}, "key_env": "PATH"}, "https address"),
        ({"options": {"base_url": "https://images.example/v1"}, "emulated": True}, "loopback"),
        ({"options": {"base_url": "http://127.0.0.1:1", "request_timeout_s": 0.0}}, "more than 0"),
        ({"options": {"base_url": "http://127.0.0.1:1", "download_hosts": ["https://a"]}}, "bare host names"),
        ({"inputs": {}}, "no prompt"),
        ({"task": "redux"}, "text-to-image"),
        ({"accelerations": ("regular",)}, "one of regular"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_sent(changes: dict[str, Any], words: str) -> None:
    found = problems(**changes)
    assert words in found
    assert "secret" not in found


def test_a_server_in_ones_own_net_needs_no_tls_where_no_key_is_sent() -> None:
    assert problems(options={"base_url": "http://10.1.2.3:8000/v1"}) == ""


def test_the_server_is_seen_once_a_request_and_openai_variables_do_not_reach_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-anotherkeyanotherkey")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-somebody")

    def asked(server: Server) -> str:
        return repr(server.posts()[0].headers)

    with serving(lambda _: b64_reply()) as server, opened(server.url) as backend:
        draw(backend)
    assert not [word for word in ("anotherkey", "somebody") if word in asked(server)]
