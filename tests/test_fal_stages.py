"""Where the time goes: client, upload, connect, submit; what is outside the clock; what an earlier session left."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.fal_wire import Connections, Exchange
from kreabench.core.errors import GenerationError
from kreabench.core.specs import InputField
from tests.fal_support import (
    COMPLETED,
    ENDPOINT,
    QUEUED,
    RUNNING,
    FakeTime,
    ScriptedFal,
    answer,
    draw,
    endpoint_inputs,
    image_to_image,
    open_backend,
    result_body,
    stored_input,
)
from tests.support import make_request, make_setting

TICK = 0.01
"""The fake clock moves by this at each look."""


def _sums_up(generation: Generation) -> None:
    timings = generation.timings
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s, abs=1e-12)
    assert timings.residual_s >= -1e-12


def _image_to_image(script: ScriptedFal, monkeypatch: pytest.MonkeyPatch, folder: Path, **options: Any) -> Generation:
    backend = open_backend(script, monkeypatch, target=image_to_image(), inputs=folder, **options)
    setting = make_setting(task="image-to-image", strength=0.8, steps=10)
    return draw(backend, setting, make_request(setting, images=(stored_input(folder),)))


# connect


def test_opening_the_connection_is_a_stage_of_its_own_and_no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    generation = draw(open_backend(ScriptedFal(connects=("submit",)), monkeypatch))
    stages = generation.timings.stages_s
    assert list(stages)[:3] == ["client", "connect", "submit"]
    assert stages["connect"] == pytest.approx(2 * TICK)
    assert generation.timings.first_call is True
    assert generation.flags == ()
    _sums_up(generation)


def test_a_connection_that_is_there_is_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    generation = draw(open_backend(ScriptedFal(), monkeypatch))
    assert "connect" not in generation.timings.stages_s
    assert generation.timings.first_call is False


@pytest.mark.parametrize(
    ("kind", "stage"), [("result", "result"), ("picture", "download"), ("status", "the last status")]
)
def test_a_connection_opened_on_the_way_is_told(monkeypatch: pytest.MonkeyPatch, kind: str, stage: str) -> None:
    generation = draw(open_backend(ScriptedFal(connects=(kind,)), monkeypatch))
    assert generation.flags == (f"a connection had to be opened within {stage} (20 ms)",)
    assert generation.timings.first_call is False
    first = draw(open_backend(ScriptedFal(connects=(kind, "submit")), monkeypatch))
    assert first.flags == (), "a first call is no timing anyway"


def test_through_a_proxy_the_request_is_what_follows_the_tunnel() -> None:
    time = FakeTime()
    exchange = Exchange(time.clock, Connections())
    for name in ("connection.connect_tcp", "http11.send_request_headers", "proxy.start_tls"):
        exchange.trace(f"{name}.started", {})
        exchange.trace(f"{name}.complete", {"return_value": None})
    before = time.now
    exchange.trace("http11.send_request_headers.started", {})
    assert exchange.sent == pytest.approx(before + TICK)
    assert exchange.connect_s is not None
    assert exchange.sent - exchange.connect_s >= exchange.made


# the intended start


def test_waiting_before_the_call_is_seen_as_client_time(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_backend(ScriptedFal(), monkeypatch)
    setting = make_setting()
    ticket = Ticket(intended_s=backend._clock() - 5.0, submitted=lambda _: None)
    timings = backend.generate(setting, make_request(setting), ticket).timings
    assert timings.stages_s["client"] == pytest.approx(5.0, abs=0.1)
    assert timings.end_to_end_s > 5


def test_the_id_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal()
    told: list[Any] = []
    draw(open_backend(script, monkeypatch), submitted=lambda name: told.append((name, list(script.calls))))
    assert told == [("r1", ["submit"])]


# input pictures


def test_an_upload_is_a_stage_and_its_preparation_is_outside_the_clock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = ScriptedFal()
    generation = _image_to_image(script, monkeypatch, tmp_path)
    assert list(generation.timings.stages_s)[:3] == ["client", "upload", "submit"]
    _sums_up(generation)
    assert script.calls[:3] == ["token", "upload", "submit"]
    uploaded = script.requests[1]
    assert uploaded.headers["authorization"] == "Bearer storage-token"
    assert uploaded.headers["content-type"] == "image/png"
    assert script.body()["image_url"] == "https://v3.fal.media/files/in.png"
    assert "image_size" not in script.body()


def test_the_time_of_preparing_moves_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ScriptedFal(status=answer(200, COMPLETED))
    backend = open_backend(script, monkeypatch, target=image_to_image(), inputs=tmp_path)
    setting = make_setting(task="image-to-image", strength=0.8, steps=10)
    request = make_request(setting, images=(stored_input(tmp_path),))
    assert backend._session is not None
    prepare = backend._session._inputs._encoded
    clock = backend._clock

    def slow(*arguments: Any) -> Any:
        clock.__self__.now += 30.0  # type: ignore[attr-defined]
        return prepare(*arguments)

    monkeypatch.setattr(backend._session._inputs, "_encoded", slow)
    first, second = (draw(backend, setting, request).timings for _ in range(2))
    assert first.stages_s["client"] < 1
    assert first.end_to_end_s < 10
    assert script.calls.count("upload") == 2, "each request uploads; the picture is prepared once"
    assert script.calls.count("token") == 1
    assert second.end_to_end_s == pytest.approx(first.end_to_end_s, abs=0.1)


def test_the_input_picture_is_scaled_to_the_setting_where_the_endpoint_takes_no_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = ScriptedFal()
    _image_to_image(script, monkeypatch, tmp_path)
    with Image.open(io.BytesIO(script.requests[1].content)) as sent:
        assert (sent.format, sent.size) == ("PNG", (128, 128))


def _redux(inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    fields = endpoint_inputs("krea_fal_redux")
    return {"task": "redux", "model": f"{ENDPOINT}/redux", "inputs": fields | (inputs or {})}


def test_redux_starts_from_the_picture_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ScriptedFal()
    backend = open_backend(script, monkeypatch, target=_redux(), inputs=tmp_path)
    setting = make_setting(task="redux")
    draw(backend, setting, make_request(setting, images=(stored_input(tmp_path),)))
    with Image.open(io.BytesIO(script.requests[1].content)) as sent:
        assert sent.size == (200, 100)
    assert script.body()["image_size"] == {"width": 128, "height": 128}
    assert "prompt" not in script.body()


def test_a_data_uri_needs_no_upload(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ScriptedFal()
    generation = _image_to_image(script, monkeypatch, tmp_path, input_images="data_uri")
    assert script.body()["image_url"].startswith("data:image/png;base64,iVBOR")
    assert script.calls[0] == "submit"
    assert "upload" not in generation.timings.stages_s


def test_an_address_goes_as_it_is_where_its_size_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ScriptedFal()
    backend = open_backend(script, monkeypatch, target=image_to_image(), inputs=tmp_path, input_images="url")
    setting = make_setting(task="image-to-image", strength=0.8, steps=10)
    address = "https://example.org/in.png"
    draw(backend, setting, make_request(setting, images=(stored_input(tmp_path, width=128, height=128, url=address),)))
    assert script.body()["image_url"] == address
    for image, words in (
        (stored_input(tmp_path, url=address), "200×100"),
        (stored_input(tmp_path), "no https address"),
    ):
        with pytest.raises(GenerationError, match=words) as raised:
            draw(backend, setting, make_request(setting, images=(image,)))
        assert (raised.value.type, raised.value.stage) == ("invalid_request", "check")
    assert script.calls.count("submit") == 1


def test_several_pictures_need_an_endpoint_that_takes_several(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ScriptedFal()
    setting = make_setting(task="redux")
    pair = (stored_input(tmp_path), stored_input(tmp_path, width=300))
    backend = open_backend(script, monkeypatch, target=_redux(), inputs=tmp_path)
    with pytest.raises(GenerationError, match="2 pictures") as raised:
        draw(backend, setting, make_request(setting, images=pair))
    assert (raised.value.type, raised.value.stage) == ("invalid_request", "check")
    assert script.calls == []

    several = _redux({"image_urls": InputField(type="image_urls", required=True)})
    del several["inputs"]["image_url"]
    backend = open_backend(script, monkeypatch, target=several, inputs=tmp_path)
    draw(backend, setting, make_request(setting, images=pair))
    assert script.body()["image_urls"] == ["https://v3.fal.media/files/in.png"] * 2
    assert script.calls.count("upload") == 2


def test_a_picture_that_is_gone_is_found_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = ScriptedFal()
    backend = open_backend(script, monkeypatch, target=image_to_image(), inputs=tmp_path)
    setting = make_setting(task="image-to-image", strength=0.8, steps=10)
    image = stored_input(tmp_path)
    (tmp_path / image.file_name).unlink()
    with pytest.raises(GenerationError) as raised:
        draw(backend, setting, make_request(setting, images=(image,)))
    assert (raised.value.type, raised.value.stage) == ("invalid_request", "check")
    assert script.calls == []


# what the endpoint takes


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"steps": 51}, "num_inference_steps: found 51, expected a whole number from 1 to 50"),
        ({"steps": None, "guidance": 0.5}, "guidance_scale"),
        ({"width": 1000, "height": 1000}, "multiples of 16"),
        ({"num_images": 5}, "num_images"),
        ({"strength": 0.5}, "strength: found 0.5"),
        ({"output_format": "webp"}, "output_format"),
        ({"acceleration": "compile"}, "acceleration"),
    ],
)
def test_what_the_endpoint_would_refuse_is_never_sent(
    monkeypatch: pytest.MonkeyPatch, setting: dict[str, Any], words: str
) -> None:
    script = ScriptedFal()
    backend = open_backend(script, monkeypatch)
    assert backend._session is not None
    backend._session._levels = {"none": "none", "compile": "fastest"}
    with pytest.raises(GenerationError) as raised:
        draw(backend, make_setting(**setting))
    assert words in raised.value.message
    assert (raised.value.type, raised.value.stage, raised.value.transient) == ("invalid_request", "check", False)
    assert script.calls == []


def test_an_endpoint_is_sent_only_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal()
    target = {
        "model": "fal-ai/flux-2-pro",
        "inputs": endpoint_inputs("flux2_pro_fal"),
        "parameters": {"safety_tolerance": "3"},
        "accelerations": (),
    }
    backend = open_backend(script, monkeypatch, target=target)
    draw(backend, make_setting(steps=None, guidance=None, width=1024, height=768))
    assert set(script.body()) == {"prompt", "image_size", "seed", "output_format", "sync_mode", "safety_tolerance"}
    assert script.body()["safety_tolerance"] == "3"
    for asked in ({"steps": 8}, {"guidance": 3.5}, {"num_images": 2}, {"acceleration": "high"}):
        with pytest.raises(GenerationError) as raised:
            draw(backend, make_setting(**({"steps": None, "guidance": None} | asked)))
        assert raised.value.stage == "check"
    assert script.calls.count("submit") == 1


# what an earlier session left


def test_what_was_submitted_before_is_fetched_and_nothing_is_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(result=answer(200, result_body(), X_Fal_Billable_Units="2"))
    told: list[str] = []
    generation = draw(open_backend(script, monkeypatch, observe="auto"), earlier_id="r1", submitted=told.append)
    assert script.calls == ["status", "status", "status", "result", "picture"]
    assert str(script.requests[0].url).startswith("https://queue.fal.run/fal-ai/flux/requests/r1/status")
    assert list(generation.timings.stages_s) == ["result", "download"]
    assert generation.timings.first_call is True
    assert generation.timings.resolution_s is None
    _sums_up(generation)
    assert generation.hosted is not None
    assert (generation.hosted.recovered, generation.hosted.service_request_id) == (True, "r1")
    assert (generation.hosted.billable_units, generation.hosted.queue_s) == (2.0, None)
    assert told == []


def test_what_the_service_no_longer_knows_is_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(404, {"detail": "Request not found"}))
    with pytest.raises(GenerationError) as raised:
        draw(open_backend(script, monkeypatch), earlier_id="r1")
    error = raised.value
    assert (error.type, error.transient, error.fetch_again) == ("expired", False, False)
    assert "no longer" in error.remedy


def test_patience_with_an_earlier_request_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(202, QUEUED))
    backend = open_backend(script, monkeypatch, start_timeout_s=20, request_timeout_s=5, poll_interval_s=1)
    with pytest.raises(GenerationError) as raised:
        draw(backend, earlier_id="r1")
    assert raised.value.type == "timeout"


def test_an_id_cannot_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(404, {"detail": "Request not found"}))
    with pytest.raises(GenerationError):
        draw(open_backend(script, monkeypatch), earlier_id="../../other?x=#y")
    assert script.requests[0].url.raw_path.startswith(b"/fal-ai/flux/requests/..%2F..%2Fother%3Fx%3D%23y/status")


# what comes with the result


def test_what_is_announced_otherwise_than_asked_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [
        {"url": "https://v3.fal.media/0.png", "width": 64, "height": 64, "content_type": "image/jpeg"},
        {"url": "https://v3.fal.media/1.png", "width": 128, "height": 128, "content_type": "image/png"},
        {"url": "https://v3.fal.media/2.png", "width": None, "height": None, "content_type": None},
    ]
    script = ScriptedFal(result=answer(200, result_body(3, images=images)))
    generation = draw(open_backend(script, monkeypatch), make_setting(num_images=3))
    assert generation.flags == (
        "picture 0 is announced as 64×64, asked for 128×128",
        "picture 0 is announced as image/jpeg, asked for image/png",
    )


def test_times_and_a_changed_prompt_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = {"inference": 0.5, "load": "0.25", "odd": "much", "minus": -1, "none": None}
    script = ScriptedFal(result=answer(200, result_body(timings=timings, prompt="a blue bicycle")))
    backend = open_backend(script, monkeypatch)
    hosted = draw(backend, request=make_request(prompt="a red bicycle")).hosted
    assert hosted is not None
    assert hosted.timings_s == {"inference": 0.5, "load": 0.25}
    assert (hosted.model_s, hosted.prompt) == (0.5, "a blue bicycle")
    hosted = draw(backend, request=make_request(prompt="a blue bicycle")).hosted
    assert hosted is not None
    assert hosted.prompt is None


@pytest.mark.parametrize(
    "odd", [{"timings": None}, {"timings": [1]}, {"seed": "x"}, {"has_nsfw_concepts": "no"}, {"prompt": 3}]
)
def test_odd_values_beside_the_pictures_spoil_nothing(monkeypatch: pytest.MonkeyPatch, odd: dict[str, Any]) -> None:
    generation = draw(open_backend(ScriptedFal(result=answer(200, result_body(**odd))), monkeypatch))
    assert len(generation.images) == 1


def test_the_first_request_on_a_runner_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    served = [answer(200, result_body(), X_Fal_Served_From=name) for name in ("a", "a", "b")]
    backend = open_backend(ScriptedFal(result=[*served, answer(200, result_body())]), monkeypatch)
    first = [generation.hosted.first_on_runner for generation in (draw(backend) for _ in range(4)) if generation.hosted]
    assert first == [True, False, True, None]


def test_one_request_alone_counts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=[answer(202, RUNNING), answer(200, COMPLETED)])
    hosted = draw(open_backend(script, monkeypatch)).hosted
    assert hosted is not None
    assert (hosted.in_flight, hosted.running) == (1, 1)
