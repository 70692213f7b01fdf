"""The fal back end: what it checks, what it asks, what its stages mean, and that it never buys a picture twice."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from kreabench.backends.base import Generation
from kreabench.backends.fal import FalBackend
from kreabench.core.errors import GenerationError
from tests.fal_emulator_support import until
from tests.fal_support import (
    COMPLETED,
    ENDPOINT,
    KEY,
    QUEUED,
    RUNNING,
    ScriptedFal,
    answer,
    draw,
    emulated_target,
    emulator,
    fal_target,
    gateway_error,
    levels,
    open_backend,
    point_client_at,
    result_body,
)
from tests.support import ROOT, make_acceleration, make_request, make_setting

HOSTS = ("FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST")


def _generate(script: ScriptedFal, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Generation:
    backend = open_backend(script, monkeypatch, **options)
    return draw(backend)


@pytest.fixture
def no_fal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", *HOSTS):
        monkeypatch.delenv(name, raising=False)


# check


def test_a_missing_key_is_named_and_its_value_never(no_fal_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    target = fal_target(key_env="MY_FAL_KEY")
    (problem,) = FalBackend.check(target, levels("none"))
    assert problem.key == "MY_FAL_KEY"
    monkeypatch.setenv("MY_FAL_KEY", KEY)
    assert FalBackend.check(target, levels("none")) == ()


def test_a_target_with_its_own_service_needs_no_key(no_fal_environment: None) -> None:
    assert FalBackend.check(emulated_target(), levels("none")) == ()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model": "krea"}, "target.krea_fal.model"),
        ({"model": "fal-ai/../flux"}, "target.krea_fal.model"),
        ({"model": "fal-ai/flux krea"}, "target.krea_fal.model"),
        ({"model": "https://fal.run/fal-ai/flux"}, "target.krea_fal.model"),
        ({"inputs": {}}, "target.krea_fal.inputs"),
        ({"options": {"poll_interval_s": 0}}, "target.krea_fal.options.poll_interval_s"),
        ({"options": {"start_timeout_s": 1.0}}, "target.krea_fal.options.start_timeout_s"),
        ({"options": {"request_timeout_s": 0}}, "target.krea_fal.options.request_timeout_s"),
        ({"options": {"max_download_bytes": 0}}, "target.krea_fal.options.max_download_bytes"),
        ({"options": {"download_hosts": ["https://fal.media"]}}, "target.krea_fal.options.download_hosts"),
    ],
)
def test_what_is_wrong_with_a_target_is_named(
    no_fal_environment: None, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], key: str
) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    assert [problem.key for problem in FalBackend.check(fal_target(**changes), ())] == [key]


def test_levels_that_the_endpoint_does_not_take_are_named(
    no_fal_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    accelerations = [*levels("none", "max"), make_acceleration(name="compile", hosted=None)]
    problems = FalBackend.check(fal_target(), accelerations)
    assert [problem.key for problem in problems] == ["acceleration.max.hosted", "acceleration.compile.hosted"]
    without = fal_target(accelerations=())
    assert [problem.key for problem in FalBackend.check(without, levels("none", "high"))] == [
        "acceleration.high.hosted"
    ]


@pytest.mark.parametrize(
    ("emulated", "environment", "fine"),
    [
        (False, {}, True),
        (False, {"FAL_QUEUE_RUN_HOST": "gateway.example.org"}, True),
        (False, {"FAL_QUEUE_RUN_HOST": "127.0.0.1:8443"}, False),
        (False, {"FAL_RUN_HOST": "localhost:8443"}, False),
        (True, {"FAL_QUEUE_RUN_HOST": "127.0.0.1:8443"}, True),
        (True, {}, False),
    ],
)
def test_a_stand_in_is_never_taken_for_the_service_nor_the_reverse(
    no_fal_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    emulated: bool,
    environment: dict[str, str],
    fine: bool,
) -> None:
    for name, value in {"FAL_KEY": KEY, **environment}.items():
        monkeypatch.setenv(name, value)
    problems = FalBackend.check(fal_target(emulated=emulated), ())
    assert [problem.key for problem in problems] == ([] if fine else ["FAL_QUEUE_RUN_HOST"])


def test_check_imports_no_client_and_no_torch() -> None:
    script = (
        "import sys\nfrom kreabench.backends.table import backend_class\nbackend_class('fal')\n"
        "print([name for name in ('torch', 'fal_client', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# open and close


def test_open_without_a_key_is_a_typed_failure(no_fal_environment: None) -> None:
    with pytest.raises(GenerationError) as raised:
        FalBackend().open(fal_target(), levels("none"), (), concurrency=1)
    assert (raised.value.type, raised.value.stage) == ("authentication", "load")
    assert "FAL_KEY" in raised.value.message


@pytest.mark.parametrize("key", ["planted-key\n", "planted\r\nkey", "planted key", "planted-ключ"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(
    key: str, no_fal_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's error would quote it, with its line end escaped, so that nothing recognised it."""
    monkeypatch.setenv("FAL_KEY", key)
    (problem,) = FalBackend.check(fal_target(), ())
    assert problem.key == "FAL_KEY"
    assert "planted" not in str(problem)
    with pytest.raises(GenerationError) as raised:
        FalBackend().open(fal_target(), levels("none"), (), concurrency=1)
    assert (raised.value.type, raised.value.stage) == ("authentication", "load")
    assert "planted" not in f"{raised.value.message} {raised.value.remedy}"


def test_a_certificate_file_that_is_not_there_is_a_typed_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(GenerationError) as raised:
        FalBackend().open(fal_target(), levels("none"), (), concurrency=1)
    assert raised.value.type == "load_failed"
    assert "SSL_CERT_FILE" in raised.value.remedy


def test_close_is_allowed_without_open_and_twice() -> None:
    backend = FalBackend()
    backend.close()
    backend.close()


def test_the_identity_says_who_was_asked_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    backend = FalBackend()
    identity = backend.open(fal_target(), levels("none"), (), concurrency=1)
    backend.close()
    assert identity["endpoint"] == ENDPOINT
    assert identity["fal_client"]
    assert identity["emulated"] is False
    assert KEY not in json.dumps(identity)


# what is asked


def test_the_request_is_what_the_endpoint_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(result=answer(200, result_body(2)))
    backend = open_backend(script, monkeypatch, target={"parameters": {"enable_safety_checker": False}})
    setting = make_setting(
        acceleration="high", steps=12, guidance=3.5, width=1024, height=768, num_images=2, output_format="jpeg"
    )
    draw(backend, setting, make_request(setting, prompt="a red bicycle", seed=42))
    assert script.body() == {
        "prompt": "a red bicycle",
        "image_size": "landscape_4_3",
        "num_inference_steps": 12,
        "guidance_scale": 3.5,
        "seed": 42,
        "num_images": 2,
        "output_format": "jpeg",
        "acceleration": "high",
        "enable_safety_checker": False,
        "sync_mode": False,
    }
    submitted = script.requests[0]
    assert submitted.url == f"https://queue.fal.run/{ENDPOINT}"
    assert submitted.headers["authorization"] == f"Key {KEY}"
    assert submitted.headers["x-fal-no-retry"] == "1"
    assert submitted.headers["x-fal-request-timeout"] == "300.0"


def test_a_size_that_is_no_preset_goes_as_width_and_height(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal()
    draw(open_backend(script, monkeypatch), make_setting(width=640, height=480))
    assert script.body()["image_size"] == {"width": 640, "height": 480}


def test_pictures_are_fetched_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal()
    _generate(script, monkeypatch)
    request = script.requests[script.calls.index("picture")]
    assert "authorization" not in request.headers


# what is seen


def test_stages_and_residual_sum_to_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = _generate(ScriptedFal(), monkeypatch).timings
    assert list(timings.stages_s) == ["client", "submit", "queue", "inference", "result", "download"]
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s, abs=1e-12)
    assert all(seconds > 0 for seconds in timings.stages_s.values())
    assert timings.residual_s >= 0


def test_a_run_that_no_poll_saw_is_no_stage_of_zero_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=[answer(202, QUEUED), answer(200, COMPLETED)])
    generation = _generate(script, monkeypatch)
    assert list(generation.timings.stages_s) == ["client", "submit", "queue_and_inference", "result", "download"]
    assert generation.hosted is not None
    assert generation.hosted.queue_s is None
    assert generation.hosted.inference_s == 0.75


def test_the_resolution_is_the_widest_gap_around_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    # The fake clock moves 0.01 s a look, also those at the wire; an edge lies between sending one poll and the answer
    # to the next.
    timings = _generate(ScriptedFal(), monkeypatch, poll_interval_s=0.5).timings
    assert timings.resolution_s == pytest.approx(0.5 + 7 * 0.01)


def test_a_repeated_poll_widens_the_resolution_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(
        status=[
            answer(202, QUEUED),
            httpx.ReadError("reset"),
            gateway_error(502),
            answer(202, RUNNING),
            answer(200, COMPLETED),
        ]
    )
    generation = _generate(script, monkeypatch, poll_interval_s=0.02)
    assert generation.hosted is not None
    assert generation.hosted.attempts == 3
    assert generation.hosted.polls == 3
    assert generation.timings.resolution_s is not None
    assert generation.timings.resolution_s > 0.5
    assert script.calls.count("submit") == 1


def test_what_the_service_said_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(
        result=answer(200, result_body(), X_Fal_Served_From="runner-9", X_Fal_Billable_Units="2", x_fal_request_id="r1")
    )
    hosted = _generate(script, monkeypatch).hosted
    assert hosted is not None
    assert hosted.service_request_id == "r1"
    assert hosted.attempts == 1
    assert hosted.polls == 3
    assert hosted.runner == "runner-9"
    assert hosted.billable_units == 2.0
    assert hosted.inference_s == 0.75


def test_headers_of_one_request_are_not_those_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(result=[answer(200, result_body(), X_Fal_Billable_Units="2"), answer(200, result_body())])
    backend = open_backend(script, monkeypatch)
    first, second = (draw(backend) for _ in range(2))
    assert first.hosted is not None
    assert second.hosted is not None
    assert (first.hosted.billable_units, second.hosted.billable_units) == (2.0, None)


@pytest.mark.parametrize("units", ["nan", "inf", "much", "", "-1"])
def test_units_that_are_no_number_are_absent(monkeypatch: pytest.MonkeyPatch, units: str) -> None:
    hosted = _generate(ScriptedFal(result=answer(200, result_body(), X_Fal_Billable_Units=units)), monkeypatch).hosted
    assert hosted is not None
    assert hosted.billable_units is None


def test_flags_and_seeds_go_to_their_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(result=answer(200, result_body(3, has_nsfw_concepts=[False, True, False], seed=99)))
    backend = open_backend(script, monkeypatch)
    images = draw(backend, make_setting(num_images=3)).images
    assert [image.nsfw for image in images] == [False, True, False]
    assert [image.seed for image in images] == [99, None, None]


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_a_number_that_is_no_seed_is_absent(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The table of samples has 64 bits for it: a paid run must not end without a report for such a number."""
    generation = _generate(ScriptedFal(result=answer(200, result_body(seed=seed))), monkeypatch)
    assert [image.seed for image in generation.images] == [None]


def test_no_backup_host_is_asked_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client library would fail to connect for up to 5 s, ask another host, and nobody would see it in a stage."""
    script = ScriptedFal(submit=httpx.ConnectError("refused"))
    backend = open_backend(script, monkeypatch)
    with pytest.raises(GenerationError):
        draw(backend)
    backend.close()
    assert [request.url.host for request in script.requests] == ["queue.fal.run"]


def test_without_a_safety_checker_nothing_is_said_about_safety(monkeypatch: pytest.MonkeyPatch) -> None:
    target = {"parameters": {"enable_safety_checker": False}}
    generation = draw(open_backend(ScriptedFal(), monkeypatch, target=target))
    assert [image.nsfw for image in generation.images] == [None]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (result_body(0), "asked for 1 pictures, the result names 0"),
        (result_body(2), "asked for 1 pictures, the result names 2"),
    ],
)
def test_another_number_of_pictures_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenerationError, match=message) as raised:
        _generate(ScriptedFal(result=answer(200, body)), monkeypatch)
    assert (raised.value.type, raised.value.stage, raised.value.transient) == ("bad_image", "result", False)


# the end of a wait


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_cancels_the_request(monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]) -> None:
    def sleep(_: float) -> None:
        raise interrupt

    script = ScriptedFal(status=answer(202, QUEUED))
    backend = open_backend(script, monkeypatch, sleep=sleep)
    with pytest.raises(interrupt):
        draw(backend)
    assert script.calls == ["submit", "status", "cancel", "status"]
    backend.close()
    assert script.calls.count("cancel") == 1


@pytest.mark.parametrize(
    "cancel",
    [
        httpx.ConnectError("no route"),
        answer(400, {"status": "ALREADY_COMPLETED"}),
        answer(500, {}),
        answer(404, {"detail": "Path not found"}),
        gateway_error(404),
    ],
)
def test_what_may_not_have_been_cancelled_can_still_be_fetched(monkeypatch: pytest.MonkeyPatch, cancel: Any) -> None:
    script = ScriptedFal(status=answer(202, QUEUED), cancel=cancel)
    with pytest.raises(GenerationError) as raised:
        _generate(script, monkeypatch, start_timeout_s=20, request_timeout_s=5, poll_interval_s=1)
    assert (raised.value.type, raised.value.fetch_again) == ("timeout", True)


def test_a_request_stuck_in_the_queue_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(status=answer(202, QUEUED))
    with pytest.raises(GenerationError) as raised:
        _generate(script, monkeypatch, start_timeout_s=20, request_timeout_s=5, poll_interval_s=1)
    assert (raised.value.type, raised.value.stage, raised.value.transient) == ("timeout", "queue", True)
    assert script.calls[-2:] == ["cancel", "status"]
    assert not raised.value.fetch_again


@pytest.mark.parametrize(
    ("error_type", "fetch_again"), [("client_cancelled", False), ("runner_server_error", True), (None, True)]
)
def test_what_ended_otherwise_before_it_was_cancelled_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, error_type: str | None, fetch_again: bool
) -> None:
    """An outcome such as invalid input may be on the bill; only what was cancelled is free to be sent again."""
    ended = {**COMPLETED, "error": "it ended", "error_type": error_type}
    script = ScriptedFal(
        status=lambda _: answer(200, ended) if "cancel" in script.calls else answer(202, QUEUED),
    )
    with pytest.raises(GenerationError) as raised:
        _generate(script, monkeypatch, start_timeout_s=20, request_timeout_s=5, poll_interval_s=1)
    assert (raised.value.type, raised.value.fetch_again) == ("timeout", fetch_again)


def test_a_finished_request_is_not_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedFal(result=answer(422, {"detail": []}))
    with pytest.raises(GenerationError):
        _generate(script, monkeypatch)
    assert "cancel" not in script.calls


# the loopback service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    folder = tmp_path_factory.mktemp("fal")
    with emulator(folder, queue_s=0.2, inference_s=0.5, truth_log=str(folder / "truth.jsonl")) as environment:
        yield environment, folder / "truth.jsonl"


def test_a_request_to_the_loopback_service_end_to_end(
    service: tuple[dict[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    point_client_at(service[0], monkeypatch)
    backend = FalBackend()
    identity = backend.open(emulated_target(), levels("none", "high"), (), concurrency=1)
    assert (identity["queue_host"], identity["emulated"]) == ("127.0.0.1", True)
    setting = make_setting(width=96, height=64, num_images=2, acceleration="high")
    generation = draw(backend, setting, make_request(setting, seed=11))
    backend.close()

    assert [image.seed for image in generation.images] == [11, None]
    for image in generation.images:
        with Image.open(io.BytesIO(image.content)) as opened:
            assert (opened.format, opened.size) == ("PNG", (96, 64))
    assert until(service[1].read_text)  # its line is written after the answer is sent
    truth = json.loads(service[1].read_text().splitlines()[-1])
    hosted, timings = generation.hosted, generation.timings
    assert hosted is not None
    assert hosted.service_request_id == truth["request_id"]
    assert hosted.billable_units == truth["billable_units"] == 2.0
    assert hosted.runner is not None
    assert hosted.inference_s == pytest.approx(truth["finished_monotonic_s"] - truth["started_monotonic_s"])
    # Both edges are seen late by at most the resolution, so what was seen differs from the truth by no more, but for
    # what a busy machine holds up.
    assert timings.resolution_s is not None
    assert hosted.inference_s is not None
    assert abs(timings.stages_s["inference"] - hosted.inference_s) <= timings.resolution_s + 0.2


def test_in_a_worker_the_environment_alone_leads_to_the_service(
    service: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    script = (
        "from kreabench.backends.fal import FalBackend\n"
        "from tests.fal_support import draw, emulated_target, levels\n"
        "from tests.support import make_request\n"
        "backend = FalBackend()\n"
        "backend.open(emulated_target(), levels('none'), (), concurrency=1)\n"
        "print(draw(backend, request=make_request(seed=3)).images[0].seed)\n"
        "backend.close()\n"
    )
    environment = os.environ | service[0] | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
