"""The `hf_inference` back end on the real huggingface_hub, against a loopback server that speaks as providers do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.inference._client as client_module
import msgspec
import pytest
import yaml
from huggingface_hub.inference._providers import get_provider_helper
from huggingface_hub.utils._http import get_session

from kreabench.backends.hf_inference import HfInferenceBackend
from kreabench.backends.hf_inference_arguments import call_arguments
from kreabench.backends.options import HfInferenceOptions
from kreabench.core.endpoint_inputs import FILLED_INPUTS
from kreabench.core.errors import GenerationError
from kreabench.core.specs import InputField
from tests.hf_support import (
    INPUTS,
    KEY,
    MODEL,
    OWN_KEY,
    PICTURE,
    Reply,
    Seen,
    Server,
    base64_reply,
    certificate,
    draw,
    hf_target,
    json_reply,
    opened,
    picture_reply,
    serving,
    setting,
    ticket,
)
from tests.support import ROOT, make_acceleration, make_request, make_setting


@pytest.fixture(name="files")
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where pictures lie that an answer only names: https on this machine."""
    with serving(lambda _: picture_reply(), tls=certificate(tmp_path, monkeypatch)) as server:
        yield server


def fal_reply(files: Server, **changes: Any) -> Reply:
    body = {"images": [{"url": f"{files.url}/a.png"}], "seed": 7, "has_nsfw_concepts": [False]} | changes
    return json_reply(body, headers={"x-fal-request-id": "fal-1", "x-fal-served-from": "r9"})


def replicate_reply(files: Server, **changes: Any) -> Reply:
    body = {"id": "p1", "status": "succeeded", "output": [f"{files.url}/a.png"], "metrics": {"predict_time": 0.5}}
    return json_reply(body | changes, status=201)


def test_own_endpoint_answers_with_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    headers = {"content-type": "image/png", "x-request-id": "req-1", "x-compute-time": "0.25"}
    with (
        serving(lambda _: picture_reply(headers=headers, wait_s=0.05)) as server,
        opened("hf-inference", server.url, monkeypatch) as backend,
    ):
        first = draw(backend, tell=told.append)
        second = draw(backend)
    assert [image.content for image in first.images] == [PICTURE]
    assert first.images[0].seed is None
    assert first.images[0].nsfw is None
    assert list(first.timings.stages_s) == ["client", "connect", "call"]
    assert list(second.timings.stages_s) == ["client", "call"]
    assert first.timings.first_call
    assert not second.timings.first_call
    assert first.timings.stages_s["call"] >= 0.05
    assert first.timings.resolution_s is None
    assert server.connections == 1
    assert told == ["req-1"]
    assert first.hosted is not None
    assert (first.hosted.observed_by, first.hosted.attempts, first.hosted.inference_s) == ("response", 1, 0.25)
    assert (first.hosted.queue_s, first.hosted.polls, first.hosted.in_flight) == (None, 0, 1)
    body = server.posts()[0].json()
    assert body["inputs"] == "a photograph of 0 red bicycles"
    assert body["parameters"] == {
        "height": 96,
        "width": 64,
        "num_inference_steps": 4,
        "guidance_scale": 4.5,
        "seed": 7,
    }
    assert server.posts()[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("key", "path"), [(KEY, "/router/fal-ai/fal-ai/flux/krea"), (OWN_KEY, "/fal-ai/flux/krea")])
def test_fal_names_an_address(key: str, path: str, files: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    inputs = INPUTS | {
        "output_format": InputField(type="string", values=("jpeg", "png")),
        "acceleration": InputField(type="string", values=("none", "regular")),
        "enable_safety_checker": InputField(type="boolean"),
    }
    target = {"inputs": inputs, "parameters": {"enable_safety_checker": True}}
    with (
        serving(lambda _: fal_reply(files, timings={"inference": 1.5})) as server,
        opened("fal-ai", server.url, monkeypatch, key=key, target=target) as backend,
    ):
        generation = draw(backend, tell=told.append)
    assert generation.images[0].content == PICTURE
    assert (generation.images[0].seed, generation.images[0].nsfw) == (7, False)
    assert list(generation.timings.stages_s) == ["client", "connect", "call", "download"]
    assert told == ["fal-1"]
    assert generation.hosted is not None
    assert (generation.hosted.model_s, generation.hosted.runner) == (1.5, "r9")
    assert [seen.path for seen in server.posts()] == [path]
    body = server.posts()[0].json()
    assert body["image_size"] == {"width": 64, "height": 96}
    assert (body["output_format"], body["acceleration"], body["enable_safety_checker"]) == ("png", "none", True)
    assert len(files.seen) == 1
    assert "authorization" not in files.seen[0].headers


def test_replicate_has_other_names(files: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    inputs = {name: field for name, field in INPUTS.items() if name != "image_size"} | {
        "output_format": InputField(type="string", values=("webp", "jpg", "png")),
        "aspect_ratio": InputField(type="string"),
    }
    target = {"inputs": inputs, "parameters": {"aspect_ratio": "1:1"}}
    with (
        serving(lambda _: replicate_reply(files)) as server,
        opened("replicate", server.url, monkeypatch, target=target, names={"guidance_scale": "guidance"}) as backend,
    ):
        generation = draw(backend, of=setting(output_format="jpeg"), tell=told.append)
    assert generation.images[0].content == PICTURE
    assert generation.hosted is not None
    assert generation.hosted.inference_s == 0.5
    assert told == ["p1"]
    assert server.posts()[0].json()["input"] == {
        "prompt": "a photograph of 0 red bicycles",
        "num_inference_steps": 4,
        "guidance": 4.5,
        "seed": 7,
        "output_format": "jpg",
        "aspect_ratio": "1:1",
    }
    assert server.posts()[0].headers["prefer"] == "wait"


@pytest.mark.parametrize("provider", ["together", "nscale"])
def test_base64_is_taken_apart(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(lambda _: base64_reply()) as server,
        opened(provider, server.url, monkeypatch) as backend,
    ):
        generation = draw(backend)
    assert generation.images[0].content == PICTURE
    assert "download" not in generation.timings.stages_s
    assert len(server.posts()) == 1


def test_a_job_is_asked_for(files: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    states = ["created", "processing", "completed"]

    def answer(seen: Seen) -> Reply:
        if seen.method == "POST":
            return json_reply({"data": {"id": "w1", "status": "created", "urls": {"get": "https://x.example/r/w1"}}})
        reads = len(server.seen) - 1
        if reads == 2:
            return Reply(status=502, body=b"<html>")
        return json_reply({"data": {"status": states[min(reads, 3) - 1], "outputs": [f"{files.url}/a.png"]}})

    monkeypatch.setattr("huggingface_hub.inference._providers.wavespeed._POLLING_INTERVAL", 0.01)
    with serving(answer) as server, opened("wavespeed", server.url, monkeypatch) as backend:
        generation = draw(backend)
    assert generation.images[0].content == PICTURE
    assert generation.hosted is not None
    assert (generation.hosted.observed_by, generation.hosted.polls, generation.hosted.attempts) == ("polling", 2, 2)
    assert generation.timings.resolution_s is not None
    assert 0 < generation.timings.resolution_s < generation.timings.stages_s["call"]
    assert len(server.posts()) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another host", "another port"])
def test_the_key_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A provider's answer cannot make us show the key elsewhere, whatever the library makes of it."""
    with serving(lambda _: picture_reply()) as other, serving(lambda _: base64_reply()) as server:
        with opened("together", server.url, monkeypatch) as backend:

            def get_response(response: bytes, _: Any = None) -> bytes:
                address = other.url.replace("127.0.0.1", host)
                content: bytes = get_session().get(address, headers={"authorization": f"Bearer {KEY}"}).content
                return content

            helper = get_provider_helper("together", "text-to-image", MODEL)
            monkeypatch.setattr(helper, "get_response", get_response)
            with pytest.raises(GenerationError, match="another host") as caught:
                draw(backend)
        assert not other.seen
    assert (caught.value.type, caught.value.transient) == ("network", False)


def test_a_second_post_is_not_let(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: base64_reply()) as server, opened("together", server.url, monkeypatch) as backend:
        helper = get_provider_helper("together", "text-to-image", MODEL)
        monkeypatch.setattr(helper, "get_response", lambda *_: get_session().post(server.url).content)
        with pytest.raises(GenerationError, match="second time"):
            draw(backend)
    assert len(server.posts()) == 1


def test_times_add_up(files: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: fal_reply(files)) as server, opened("fal-ai", server.url, monkeypatch) as backend:
        asked = setting()
        begun_s = time.perf_counter()
        waited = ticket(intended_s=begun_s - 1.0)
        generation = backend.generate(asked, make_request(asked), waited)
        took_s = time.perf_counter() - begun_s
    timings = generation.timings
    assert timings.stages_s["client"] >= 1.0
    assert timings.end_to_end_s == pytest.approx(sum(timings.stages_s.values()) + timings.residual_s)
    assert timings.end_to_end_s <= took_s + 1.0
    assert abs(timings.residual_s) < 0.2


def test_eight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread gets the picture of its own request, and no connection is opened twice."""
    together = threading.Barrier(8, timeout=20)

    def answer(seen: Seen) -> Reply:
        together.wait()
        return base64_reply(PICTURE + str(seen.json()["seed"]).encode())

    with serving(answer) as server, opened("together", server.url, monkeypatch) as backend:
        asked = setting(concurrency=8)

        def one(seed: int) -> tuple[int, Any]:
            return seed, backend.generate(asked, make_request(asked, seed=seed), ticket())

        with ThreadPoolExecutor(8) as pool:
            drawn = list(pool.map(one, range(16)))
    for seed, generation in drawn:
        assert generation.images[0].content == PICTURE + str(seed).encode()
    assert len(server.posts()) == 16
    assert server.connections == 8
    assert sum(generation.timings.first_call for _, generation in drawn) == 8
    assert max(generation.hosted.in_flight for _, generation in drawn) >= 2


def test_identity_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: base64_reply()) as server, opened("together", server.url, monkeypatch):
        backend = HfInferenceBackend()
        options = {"provider": "together", "bill_to": "some-organisation"}
        identity = backend.open(hf_target(options=options), (), (), concurrency=1)
        backend.close()
    assert identity["provider"] == "together"
    assert identity["model"] == MODEL
    assert identity["provider_model"] == "black-forest-labs/FLUX.1-krea-dev"
    assert identity["host"] == "127.0.0.1"
    assert identity["huggingface_hub"]
    assert KEY not in repr(identity)
    assert not server.seen


def test_base_url_shows_its_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: picture_reply()) as server:
        monkeypatch.setenv("HF_TOKEN", KEY)
        backend = HfInferenceBackend()
        options = {"base_url": f"{server.url}/some/path"}
        identity = backend.open(hf_target(options=options), (), (), concurrency=1)
        backend.close()
    assert identity["host"] == "127.0.0.1"
    assert "path" not in repr(identity)


def test_the_library_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = client_module._bytes_to_image  # type: ignore[attr-defined]
    with serving(lambda _: base64_reply()) as server:
        with opened("together", server.url, monkeypatch):
            assert client_module._bytes_to_image is not before  # type: ignore[attr-defined]
            # Others in the process still get pictures.
            assert client_module._bytes_to_image(PICTURE).format == "PNG"  # type: ignore[attr-defined]
        assert client_module._bytes_to_image is before  # type: ignore[attr-defined]
        assert get_session().follow_redirects


def test_an_earlier_request_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: base64_reply()) as server, opened("together", server.url, monkeypatch) as backend:
        asked = setting()
        with pytest.raises(GenerationError) as caught:
            backend.generate(asked, make_request(asked), ticket(earlier_id="r1"))
    assert "no way to fetch" in caught.value.remedy
    assert (caught.value.type, caught.value.stage, caught.value.transient) == ("expired", "result", False)
    assert not server.seen


def test_what_the_inputs_refuse_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: base64_reply()) as server, opened("together", server.url, monkeypatch) as backend:
        for wrong in (setting(steps=99), setting(num_images=2)):
            with pytest.raises(GenerationError) as caught:
                draw(backend, of=wrong)
            assert (caught.value.type, caught.value.stage) == ("invalid_request", "client")
    assert not server.seen


def test_an_input_that_the_endpoint_lacks_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    target = {"inputs": {"prompt": INPUTS["prompt"]}}
    with (
        serving(lambda _: base64_reply()) as server,
        opened("together", server.url, monkeypatch, target=target) as backend,
    ):
        draw(backend, of=setting(steps=None, guidance=None))
    assert set(server.posts()[0].json()) == {"prompt", "model", "response_format"}


@pytest.fixture(name="fine")
def _fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def problems(levels: tuple[str, ...] = ("none",), **changes: Any) -> dict[str, str]:
    options = {"provider": "together"} | changes.pop("options", {})
    target = hf_target(options=options, **({"emulated": False} | changes))
    accelerations = tuple(make_acceleration(name=name, hosted=name) for name in levels)
    return {problem.key: str(problem) for problem in HfInferenceBackend.check(target, accelerations)}


@pytest.mark.usefixtures("fine")
def test_check_finds_nothing_wrong() -> None:
    assert not problems()
    own = {"provider": "hf-inference", "base_url": "https://me.endpoints.example/x"}
    assert not problems(options=own)
    assert not problems(options={**own, "base_url": "http://127.0.0.1:8000"}, emulated=True)
    assert not problems(levels=("regular",), accelerations=("none", "regular"))


@pytest.mark.usefixtures("fine")
@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"options": {"provider": "nobody"}}, "target.krea_hf.options.provider"),
        ({"options": {"provider": "groq"}}, "target.krea_hf.options.provider"),
        ({"options": {"routed": False}}, "target.krea_hf.options.routed"),
        ({"options": {"base_url": "https://x.example"}}, "target.krea_hf.options.provider"),
        (
            {"options": {"provider": "hf-inference", "base_url": "http://x.example"}},
            "target.krea_hf.options.base_url",
        ),
        (
            {"options": {"provider": "hf-inference", "base_url": "https://u:p@x.example"}},
            "target.krea_hf.options.base_url",
        ),
        (
            {"options": {"provider": "hf-inference", "base_url": "http://127.0.0.1:1"}},
            "target.krea_hf.options.base_url",
        ),
        ({"emulated": True}, "target.krea_hf.options.base_url"),
        ({"options": {"request_timeout_s": 0.0}}, "target.krea_hf.options.request_timeout_s"),
        ({"options": {"max_download_bytes": 0}}, "target.krea_hf.options.max_download_bytes"),
        ({"options": {"download_hosts": ["https://x"]}}, "target.krea_hf.options.download_hosts"),
        ({"task": "redux"}, "target.krea_hf.task"),
        ({"inputs": {}}, "target.krea_hf.inputs"),
        ({"inputs": INPUTS | {"num_images": InputField(type="integer")}}, "target.krea_hf.inputs.num_images"),
        ({"levels": ("high",)}, "acceleration.high.hosted"),
    ],
)
def test_check_names_the_key(changes: dict[str, Any], key: str) -> None:
    found = problems(**changes)
    assert list(found) == [key]
    assert "u:p" not in found[key]


@pytest.mark.usefixtures("fine")
@pytest.mark.parametrize(
    ("prepare", "key"),
    [
        (lambda monkeypatch: monkeypatch.delenv("HF_TOKEN"), "HF_TOKEN"),
        (lambda monkeypatch: monkeypatch.setenv("HF_TOKEN", f"{KEY}\n"), "HF_TOKEN"),
        (lambda monkeypatch: monkeypatch.setenv("HF_HUB_OFFLINE", "1"), "HF_HUB_OFFLINE"),
    ],
)
def test_check_looks_at_the_environment(
    prepare: Callable[[pytest.MonkeyPatch], None], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch)
    found = problems()
    assert list(found) == [key]
    assert KEY not in repr(found)


@pytest.mark.usefixtures("fine")
def test_a_key_of_the_providers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWN_KEY)
    assert not problems(options={"routed": False})
    assert list(problems()) == ["target.krea_hf.options.routed"]
    assert list(problems(options={"routed": False, "bill_to": "org"})) == ["target.krea_hf.options.bill_to"]


@pytest.mark.usefixtures("fine")
@pytest.mark.parametrize("name", ["krea_hf_fal", "krea_hf_replicate", "krea_hf_together"])
def test_shipped_targets_ask_for_what_the_endpoint_takes(name: str) -> None:
    file = yaml.safe_load((ROOT / "conf" / "target" / f"{name}.yaml").read_text(encoding="utf-8"))
    options = msgspec.convert(file["options"], HfInferenceOptions)
    target = hf_target(
        name=name,
        model=file["model"],
        emulated=False,
        key_env=file["key_env"],
        options=file["options"],
        accelerations=tuple(file["accelerations"]),
        inputs=msgspec.convert(file["inputs"], dict[str, InputField]),
        parameters=file.get("parameters", {}),
    )
    assert not HfInferenceBackend.check(target, (make_acceleration(),))
    for output_format in ("png", "jpeg"):
        asked = make_setting(steps=28, width=1024, height=1024, output_format=output_format)
        arguments = call_arguments(target, asked, make_request(asked), level="none", names=options.names)
        assert arguments["num_inference_steps"] == 28
        assert arguments["extra_body"]["output_format"] in {"png", "jpeg", "jpg"}
        assert 4.5 in {arguments.get("guidance_scale"), arguments["extra_body"].get("guidance")}
    assert not FILLED_INPUTS & set(target.parameters)


def test_open_needs_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    backend = HfInferenceBackend()
    with pytest.raises(GenerationError) as caught:
        backend.open(hf_target(options={"provider": "together"}), (), (), concurrency=1)
    backend.close()
    assert (caught.value.type, caught.value.stage) == ("authentication", "load")


def test_a_closed_back_end_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: base64_reply()) as server:
        with opened("together", server.url, monkeypatch) as backend:
            pass
        with pytest.raises(GenerationError) as caught:
            draw(backend)
    assert (caught.value.type, caught.value.stage) == ("cancelled", "client")
    assert caught.value.transient
    assert not server.seen


@pytest.mark.parametrize("encrypted", [False, True])
def test_closing_ends_what_is_being_drawn(encrypted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a short wait for it; the picture may be billed, so it is not to be sent again."""
    tls = certificate(tmp_path, monkeypatch) if encrypted else None
    monkeypatch.setattr("kreabench.backends.hf_inference_transport._DRAIN_S", 0.2)
    errors: list[GenerationError] = []
    with serving(lambda _: replace(base64_reply(), wait_s=60), tls=tls) as server:
        with opened("together", server.url, monkeypatch) as backend:

            def one() -> None:
                with pytest.raises(GenerationError) as caught:
                    draw(backend)
                errors.append(caught.value)

            thread = threading.Thread(target=one)
            thread.start()
            while not server.seen:
                time.sleep(0.01)
            begun = time.monotonic()
        thread.join(timeout=5)
        assert not thread.is_alive()
        assert time.monotonic() - begun < 4
    assert [(error.type, error.stage, error.transient) for error in errors] == [("network", "call", False)]


def test_closing_waits_for_a_picture_that_comes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: replace(base64_reply(), wait_s=0.3)) as server, ThreadPoolExecutor(1) as pool:
        with opened("together", server.url, monkeypatch) as backend:
            drawing = pool.submit(draw, backend)
            while not server.seen:
                time.sleep(0.01)
        assert drawing.result(timeout=5).images[0].content == PICTURE
