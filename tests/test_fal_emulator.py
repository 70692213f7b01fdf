"""The loopback fal speaks the real client's protocol: submit, status, result, cancel, run, subscribe, pictures."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
from fal_client.client import Completed, FalClientHTTPError, InProgress, Queued
from PIL import Image

from tests.fal_emulator_support import until
from tests.fal_support import ENDPOINT, emulator, point_client_at

SMALL = {"width": 64, "height": 48}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    folder = tmp_path_factory.mktemp("fal")
    with emulator(folder, truth_log=str(folder / "truth.jsonl"), seed=5) as environment:
        yield environment, folder / "truth.jsonl"


@pytest.fixture(scope="module")
def slow_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with emulator(tmp_path_factory.mktemp("slow"), queue_s=60) as environment:
        yield environment


@pytest.fixture
def client(service: tuple[dict[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    yield from _client(service[0], monkeypatch)


@pytest.fixture
def slow_client(slow_service: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    yield from _client(slow_service, monkeypatch)


def _client(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    point_client_at(environment, monkeypatch)
    client = fal_client.SyncClient()
    yield client
    client._client.close()


def _arguments(**changes: Any) -> dict[str, Any]:
    return {"prompt": "a red bicycle", "image_size": SMALL, "output_format": "png", **changes}


def test_subscribe_gives_the_documented_result(client: fal_client.SyncClient) -> None:
    updates: list[Any] = []
    result = client.subscribe(
        ENDPOINT, _arguments(seed=3, num_images=2), with_logs=True, interval=0.01, on_queue_update=updates.append
    )
    assert set(result) == {"images", "timings", "seed", "has_nsfw_concepts", "prompt"}
    assert result["seed"] == 3
    assert result["prompt"] == "a red bicycle"
    assert result["has_nsfw_concepts"] == [False, False]
    assert result["timings"]["inference"] >= 0
    assert [(image["width"], image["height"], image["content_type"]) for image in result["images"]] == [
        (64, 48, "image/png")
    ] * 2
    last = updates[-1]
    assert isinstance(last, Completed)
    assert last.metrics["inference_time"] > 0
    assert last.logs is not None
    assert [entry["message"] for entry in last.logs] == ["started", "finished"]


def test_run_answers_with_the_result_and_the_service_headers(client: fal_client.SyncClient) -> None:
    headers: dict[str, str] = {}
    client._client.event_hooks = {"response": [lambda response: headers.update(response.headers)]}
    result = client.run(ENDPOINT, _arguments(image_size="square_hd", num_images=2))
    assert (result["images"][0]["width"], result["images"][0]["height"]) == (1024, 1024)
    assert headers["x-fal-billable-units"] == "4"  # 1.05 megapixels each, rounded up, twice
    assert headers["x-fal-served-from"].startswith("emulated-runner-")
    assert headers["x-fal-request-id"] in result["images"][0]["url"]


def test_pictures_are_public_files_that_follow_from_seed_prompt_and_level(client: fal_client.SyncClient) -> None:
    def draw(**changes: Any) -> bytes:
        url = client.run(ENDPOINT, _arguments(**({"seed": 1} | changes)))["images"][0]["url"]
        response = httpx.get(url)
        assert response.headers["content-type"] == f"image/{changes.get('output_format', 'png')}"
        return response.content

    first = draw()
    with Image.open(io.BytesIO(first)) as image:
        assert (image.format, image.size) == ("PNG", (64, 48))
    assert draw() == first
    assert draw(seed=2) != first
    assert draw(prompt="a blue bicycle") != first
    assert draw(acceleration="high") != first
    assert draw(output_format="jpeg").startswith(b"\xff\xd8")


def test_image_k_is_drawn_with_seed_plus_k(client: fal_client.SyncClient) -> None:
    pair = client.run(ENDPOINT, _arguments(seed=10, num_images=2))
    single = client.run(ENDPOINT, _arguments(seed=11))
    assert httpx.get(pair["images"][1]["url"]).content == httpx.get(single["images"][0]["url"]).content


def test_a_request_without_a_seed_gets_a_random_one(client: fal_client.SyncClient) -> None:
    seeds = {client.run(ENDPOINT, _arguments())["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_sync_mode_puts_the_picture_in_the_result(client: fal_client.SyncClient) -> None:
    result = client.run(ENDPOINT, _arguments(sync_mode=True))
    assert result["images"][0]["url"].startswith("data:image/png;base64,iVBOR")


def test_the_result_is_also_at_the_response_suffix(client: fal_client.SyncClient) -> None:
    handle = client.submit(ENDPOINT, _arguments(seed=1))
    result = handle.get(interval=0.01)
    again = client._client.get(f"{handle.response_url}/response")
    assert again.status_code == 200
    assert again.json() == result


def test_status_is_202_while_queued(slow_client: fal_client.SyncClient) -> None:
    handle = slow_client.submit(ENDPOINT, _arguments())
    waiting = slow_client._client.get(handle.status_url)
    assert waiting.status_code == 202
    assert waiting.json()["status"] == "IN_QUEUE"
    assert "logs" not in waiting.json()


def test_completed_status_is_200(client: fal_client.SyncClient) -> None:
    handle = client.submit(ENDPOINT, _arguments())
    handle.get(interval=0.01)
    done = client._client.get(handle.status_url)
    assert done.status_code == 200
    assert done.json()["status"] == "COMPLETED"
    assert done.json()["logs"] is None


def test_invalid_input_is_accepted_at_submit_and_fails_at_the_result(client: fal_client.SyncClient) -> None:
    handle = client.submit(ENDPOINT, {"image_size": "huge", "num_images": 9, "acceleration": "max"})
    *_, last = handle.iter_events(interval=0.01)
    assert isinstance(last, Completed)
    assert last.error == "Input validation failed"
    with pytest.raises(FalClientHTTPError) as raised:
        handle.get(interval=0.01)
    assert raised.value.status_code == 422
    findings = raised.value.response.json()["detail"]
    assert {tuple(finding["loc"][:2]) for finding in findings} == {
        ("body", "prompt"),
        ("body", "image_size"),
        ("body", "num_images"),
        ("body", "acceleration"),
    }
    assert all({"loc", "msg", "type", "url"} <= set(finding) for finding in findings)


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("prompt", None, "string_type"),
        ("num_inference_steps", 0, "greater_than_equal"),
        ("num_inference_steps", 51, "less_than_equal"),
        ("num_inference_steps", 8.5, "int_from_float"),
        ("guidance_scale", 0.5, "greater_than_equal"),
        ("guidance_scale", 20.5, "less_than_equal"),
        ("num_images", 0, "greater_than_equal"),
        ("num_images", 5, "less_than_equal"),
        ("output_format", "webp", "literal_error"),
        ("seed", "abc", "int_parsing"),
        ("image_size", {"width": 4096, "height": 2048}, "value_error"),
        ("image_size", {"width": 8, "height": 64}, "greater_than_equal"),
    ],
)
def test_run_refuses_what_is_out_of_range(client: fal_client.SyncClient, field: str, value: Any, kind: str) -> None:
    with pytest.raises(FalClientHTTPError) as raised:
        client.run(ENDPOINT, _arguments(**{field: value}))
    assert raised.value.status_code == 422
    finding = raised.value.response.json()["detail"][0]
    assert finding["loc"][:2] == ["body", field]
    assert finding["type"] == kind
    assert "function" not in str(finding["loc"])


def test_sizes_are_floored_to_whole_blocks_of_16_pixels(client: fal_client.SyncClient) -> None:
    image = client.run(ENDPOINT, _arguments(image_size={"width": 100, "height": 65}))["images"][0]
    assert (image["width"], image["height"]) == (96, 64)
    with Image.open(io.BytesIO(httpx.get(image["url"]).content)) as drawn:
        assert drawn.size == (96, 64)


@pytest.mark.parametrize("header", [None, "test", "Bearer abc", "Key", "Key a b"])
def test_a_missing_or_malformed_key_is_401(client: fal_client.SyncClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for host in (fal_client.client.RUN_URL_FORMAT, fal_client.client.QUEUE_URL_FORMAT):
        response = httpx.post(f"{host}{ENDPOINT}", json=_arguments(), headers=headers)
        assert response.status_code == 401
        assert isinstance(response.json()["detail"], str)


def test_unknown_endpoints_requests_and_files_are_404(client: fal_client.SyncClient) -> None:
    with pytest.raises(FalClientHTTPError) as raised:
        client.submit("fal-ai/no-such-model", _arguments())
    assert raised.value.status_code == 404
    with pytest.raises(FalClientHTTPError) as raised:
        client.status(ENDPOINT, "00000000-0000-0000-0000-000000000000")
    assert raised.value.status_code == 404
    url = client.run(ENDPOINT, _arguments())["images"][0]["url"]
    assert httpx.get(url.replace("0.png", "1.png")).status_code == 404


def test_run_and_queue_hosts_are_told_apart(client: fal_client.SyncClient) -> None:
    status_url = client.submit(ENDPOINT, _arguments()).status_url
    on_run_host = status_url.replace("127.0.0.1", "localhost")
    assert client._client.get(on_run_host).status_code == 404
    other_host = client._client.get(status_url, headers={"Host": "evil.example"})
    assert other_host.status_code == 404


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{not json", 400),
        (b"\xff\xfe", 400),
        (b'{"prompt": "x", "guidance_scale": NaN}', 400),
        (b"[" * 200_000, 400),
        (b'{"prompt": "\\ud800"}', 400),
        (b'"' + b"x" * 33 * 2**20, 413),
    ],
)
def test_bodies_that_are_no_json_or_too_large_are_refused(
    client: fal_client.SyncClient, content: bytes, status: int
) -> None:
    response = client._client.post(f"{fal_client.client.QUEUE_URL_FORMAT}{ENDPOINT}", content=content)
    assert response.status_code == status
    assert response.json()["detail"]


def test_a_number_beyond_all_bounds_is_a_finding_like_any_other(client: fal_client.SyncClient) -> None:
    content = b'{"prompt": "x", "guidance_scale": 1e999}'
    response = client._client.post(f"{fal_client.client.RUN_URL_FORMAT}{ENDPOINT}", content=content)
    assert (response.status_code, response.json()["detail"][0]["type"]) == (422, "finite_number")


def test_queued_jobs_have_positions_and_can_be_cancelled(slow_client: fal_client.SyncClient) -> None:
    handles = [slow_client.submit(ENDPOINT, _arguments()) for _ in range(3)]
    positions = [handle.status().position for handle in handles]
    assert [position - positions[0] for position in positions] == [0, 1, 2]
    handles[0].cancel()
    after = handles[1].status()
    assert isinstance(after, Queued)
    assert after.position == positions[0]
    assert isinstance(handles[0].status(), Completed)
    with pytest.raises(FalClientHTTPError) as raised:
        handles[0].get()
    assert (raised.value.status_code, raised.value.error_type) == (499, "client_cancelled")


def test_cancel_says_what_it_found(client: fal_client.SyncClient) -> None:
    handle = client.submit(ENDPOINT, _arguments())
    handle.get(interval=0.01)
    done = client._client.put(handle.cancel_url)
    assert (done.status_code, done.json()) == (400, {"status": "ALREADY_COMPLETED"})
    unknown = client._client.put(handle.cancel_url.replace(handle.request_id, "unknown"))
    assert (unknown.status_code, unknown.json()) == (404, {"status": "NOT_FOUND"})


def test_a_result_that_is_not_there_yet_is_400(slow_client: fal_client.SyncClient) -> None:
    handle = slow_client.submit(ENDPOINT, _arguments())
    assert slow_client._client.get(handle.response_url).status_code == 400


def test_a_start_timeout_ends_the_wait_in_the_queue(slow_client: fal_client.SyncClient) -> None:
    handle = slow_client.submit(ENDPOINT, _arguments(), start_timeout=1.05)
    *_, last = handle.iter_events(interval=0.05)
    assert isinstance(last, Completed)
    assert last.error_type == "request_timeout"
    with pytest.raises(FalClientHTTPError) as raised:
        handle.get()
    assert raised.value.status_code == 504
    assert raised.value.response_headers["x-fal-request-timeout-type"] == "user"


def test_jobs_run_one_at_a_time_in_order_and_the_truth_log_tells_when(
    service: tuple[dict[str, str], Path], client: fal_client.SyncClient
) -> None:
    handles = [client.submit(ENDPOINT, _arguments(seed=seed)) for seed in range(4)]
    for handle in handles:
        httpx.get(handle.get(interval=0.01)["images"][0]["url"])
    # A line follows its last picture within moments.
    assert until(lambda: handles[-1].request_id in service[1].read_text())
    entries = {entry["request_id"]: entry for entry in map(json.loads, service[1].read_text().splitlines())}
    mine = [entries[handle.request_id] for handle in handles]
    for entry, later in zip(mine, [*mine[1:], None], strict=True):
        assert entry["accepted_monotonic_s"] <= entry["started_monotonic_s"] <= entry["finished_monotonic_s"]
        assert later is None or entry["finished_monotonic_s"] <= later["started_monotonic_s"]
    assert [entry["seed"] for entry in mine] == [0, 1, 2, 3]
    assert {(entry["pixels"], entry["billable_units"], entry["usd"]) for entry in mine} == {(64 * 48, 1.0, 0.025)}
    assert mine[0]["started_utc"].endswith("Z")
    for entry in mine:
        received, sent, result = (entry[f"{name}_monotonic_s"] for name in ("received", "submit_sent", "result_sent"))
        assert received <= entry["accepted_monotonic_s"] <= sent
        assert entry["finished_monotonic_s"] <= result <= entry["pictures_sent"][0]["monotonic_s"]


def test_the_unchanged_client_finds_it_by_environment_variables_alone(
    service: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    script = (
        "import fal_client, json\n"
        f"arguments = {_arguments(seed=1)!r}\n"
        f"print(json.dumps([fal_client.run({ENDPOINT!r}, arguments)['seed'],"
        f" fal_client.subscribe({ENDPOINT!r}, arguments, interval=0.01)['seed']]))\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **service[0]}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[1, 1]"), done.stderr


def test_in_progress_is_seen_while_the_runner_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with emulator(tmp_path, inference_s=60) as environment:
        for client in _client(environment, monkeypatch):
            first = client.submit(ENDPOINT, _arguments())
            while isinstance(first.status(), Queued):
                pass
            assert isinstance(first.status(), InProgress)
            second = client.submit(ENDPOINT, _arguments())
            assert isinstance(second.status(), Queued)
            first.cancel()  # a running job is cut short, and the next one starts
            while not isinstance(first.status(), Completed):
                pass
            while isinstance(second.status(), Queued):
                pass
            assert isinstance(second.status(), InProgress)
