"""Headers, limits, events, webhooks and the async client, against the real client library."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
from fal_client.client import Completed, FalClientHTTPError, Queued

from kreabench.emulator import webhooks
from kreabench.emulator.webhooks import is_loopback
from tests.fal_emulator_support import ENDPOINT, HEADERS, Served, arguments, client_of, served, until


@pytest.fixture(scope="module")
def place() -> Iterator[Served]:
    with served(runners=4) as place:
        yield place


@pytest.fixture
def client(place: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    with client_of(place, monkeypatch) as client:
        yield client


def test_the_whole_sync_client(client: fal_client.SyncClient) -> None:
    updates: list[Any] = []
    result = client.subscribe(ENDPOINT, arguments(seed=1), interval=0.005, on_queue_update=updates.append)
    assert isinstance(updates[-1], Completed)
    assert client.run(ENDPOINT, arguments(seed=1))["seed"] == result["seed"] == 1
    handle = client.submit(ENDPOINT, arguments(seed=1), priority="low", hint="h", start_timeout=30)
    assert client.result(ENDPOINT, handle.request_id)["seed"] == 1
    assert isinstance(client.status(ENDPOINT, handle.request_id, with_logs=True), Completed)
    with pytest.raises(FalClientHTTPError):
        client.cancel(ENDPOINT, handle.request_id)
    assert [event["seed"] for event in client.stream(ENDPOINT, arguments(seed=1))] == [1]


def test_the_async_client(place: Served, client: fal_client.SyncClient) -> None:
    async def go() -> None:
        asynchronous = fal_client.AsyncClient()
        results = await asyncio.gather(
            *(asynchronous.subscribe(ENDPOINT, arguments(seed=seed), interval=0.01) for seed in range(5))
        )
        assert [result["seed"] for result in results] == list(range(5))
        assert [event["seed"] async for event in asynchronous.stream(ENDPOINT, arguments(seed=9))] == [9]
        await (await asynchronous._client).aclose()

    asyncio.run(go())


def test_a_stream_that_cannot_be_is_an_http_error(client: fal_client.SyncClient) -> None:
    response = client._client.post(f"{fal_client.client.RUN_URL_FORMAT}{ENDPOINT}/stream", json={})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "prompt"]


def test_keys_that_are_missing_or_forbidden(place: Served) -> None:
    for base in (place.url, place.run_url):
        assert httpx.post(f"{base}/{ENDPOINT}", json=arguments()).status_code == 401
        forbidden = httpx.post(f"{base}/{ENDPOINT}", json=arguments(), headers={"Authorization": "Key a-forbidden-one"})
        assert forbidden.status_code == 403
        assert isinstance(forbidden.json()["detail"], str)


def test_status_events_tell_each_change_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    seen: dict[str, float] = {}
    with served(log, inference_s=0.2, queue_s=0.1) as place, client_of(place, monkeypatch) as client:
        handle = client.submit(ENDPOINT, arguments())
        bodies = []
        with client._client.stream("GET", f"{handle.status_url}/stream?logs=1") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["x-fal-request-id"] == handle.request_id
            for line in response.iter_lines():
                if line.startswith("data: "):
                    bodies.append(json.loads(line[6:]))
                    seen[bodies[-1]["status"]] = time.monotonic()
        assert [body["status"] for body in bodies] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
        assert bodies[-1] == client._client.get(f"{handle.status_url}?logs=1").json()
        assert bodies[0]["queue_position"] == 0
        assert [entry["message"] for entry in bodies[-1]["logs"]] == ["started", "finished"]
        assert client._client.get(f"{handle.status_url}?logs=0").json()["logs"] is None
    (entry,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert entry["request_id"] == handle.request_id
    for name, state in (("started", "IN_PROGRESS"), ("finished", "COMPLETED")):
        assert 0 <= seen[state] - entry[f"{name}_monotonic_s"] < 0.25  # within 2 ms on an idle machine
    assert 0.2 <= entry["finished_monotonic_s"] - entry["started_monotonic_s"] < 0.7
    assert entry["result_sent_utc"] is None, "jobs that nobody collected are written too"


def test_a_quiet_stream_gets_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.emulator.routes.watching.COMMENT_S", 0.05)
    with served(inference_s=0.3) as place, client_of(place, monkeypatch) as client:
        handle = client.submit(ENDPOINT, arguments())
        with client._client.stream("GET", f"{handle.status_url}/stream") as response:
            text = response.read().decode()
    assert text.count(": ping") >= 2


def test_a_stream_of_a_job_that_is_done_tells_that_alone(client: fal_client.SyncClient) -> None:
    handle = client.submit(ENDPOINT, arguments())
    handle.get(interval=0.005)
    text = client._client.get(f"{handle.status_url}/stream").text
    assert text.count("data: ") == 1
    assert json.loads(text.removeprefix("data: "))["status"] == "COMPLETED"
    unknown = handle.status_url.replace(handle.request_id, "unknown")
    assert client._client.get(f"{unknown}/stream").status_code == 404
    other_app = handle.status_url.replace("fal-ai/flux", "fal-ai/flux-2-pro")
    assert client._client.get(other_app).status_code == 404


def test_the_accounts_limit_queues_some_and_refuses_direct_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        served(runners=4, concurrency=1, inference_s=30, submit_limit=3) as place,
        client_of(place, monkeypatch) as client,
    ):
        running, waiting = (client.submit(ENDPOINT, arguments()) for _ in range(2))
        assert until(lambda: not isinstance(running.status(), Queued))
        assert isinstance(waiting.status(), Queued)
        with pytest.raises(FalClientHTTPError) as raised:
            client.run(ENDPOINT, arguments())
        assert (raised.value.status_code, raised.value.error_type) == (429, "concurrent_requests_limit")
        assert raised.value.response_headers["x-fal-needs-retry"] == "1"
        assert "retry-after" not in raised.value.response_headers
        client.submit(ENDPOINT, arguments())
        with pytest.raises(FalClientHTTPError) as raised:
            client.submit(ENDPOINT, arguments())
        assert raised.value.response_headers["retry-after"] == "1"
        account = place.account()
        assert account["jobs"] == 3
        assert account["by_status"] == {"in_progress": 1, "in_queue": 2}
        assert account["refused_submits"] == {"concurrency limit": 1, "submit limit": 1}
        assert account["jobs_with_a_body_seen_before"] == 2


def test_a_timeout_that_is_no_number_is_a_bad_request(client: fal_client.SyncClient) -> None:
    for text in ("soon", "nan", "-1"):
        with pytest.raises(FalClientHTTPError) as raised:
            client.submit(ENDPOINT, arguments(), headers={"X-Fal-Request-Timeout": text})
        assert (raised.value.status_code, raised.value.error_type) == (400, "bad_request")


def test_service_times_follow_from_the_seed() -> None:
    drawn = []
    for _ in range(2):
        with served(runners=8, inference_s="uniform:0.01,0.05", queue_s="lognormal:0.01,0.5") as place:
            for number in range(3):
                httpx.post(f"{place.run_url}/{ENDPOINT}", json=arguments(prompt=f"{number}"), headers=HEADERS)
            drawn.append([(job.queue_s, job.inference_s) for job in place.service.dispatcher.jobs()])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3


class _Hook(http.server.BaseHTTPRequestHandler):
    received: list[dict[str, Any]]
    fail: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        hook = type(self)
        hook.received.append(body)
        self.send_response(503 if len(hook.received) <= hook.fail else 200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[tuple[str, type[_Hook]]]:
    handler = type("Hook", (_Hook,), {"received": [], "fail": 0})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_brings_the_result_or_the_error(client: fal_client.SyncClient, hook: tuple[str, type[_Hook]]) -> None:
    url, handler = hook
    good = client.submit(ENDPOINT, arguments(seed=2), webhook_url=url)
    assert until(lambda: len(handler.received) == 1)
    assert handler.received[0] == {
        "request_id": good.request_id,
        "gateway_request_id": good.request_id,
        "status": "OK",
        "error": None,
        "payload": good.get(interval=0.005),
    }
    bad = client.submit(ENDPOINT, {}, webhook_url=url)
    assert until(lambda: len(handler.received) == 2)
    assert (handler.received[1]["status"], handler.received[1]["request_id"]) == ("ERROR", bad.request_id)
    assert handler.received[1]["payload"]["detail"][0]["loc"] == ["body", "prompt"]


def test_a_webhook_is_tried_again_and_given_up(
    client: fal_client.SyncClient, hook: tuple[str, type[_Hook]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_FIRST_DELAY_S", 0.01)
    url, handler = hook
    handler.fail = 2
    client.submit(ENDPOINT, arguments(), webhook_url=url)
    assert until(lambda: len(handler.received) == 3)
    handler.fail = 100
    client.submit(ENDPOINT, arguments(), webhook_url=url)
    assert until(lambda: len(handler.received) == 3 + webhooks.ATTEMPTS)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://127.0.0.1:80/x", True),
        ("https://localhost/x", True),
        ("http://[::1]:1/x", True),
        ("http://127.9.9.9/x", True),
        ("https://example.org/hook", False),
        ("http://10.0.0.1/x", False),
        ("ftp://127.0.0.1/x", False),
        ("http://127.0.0.1@example.org/", False),
        ("http://localhost.example.org/", False),
        ("nonsense", False),
        ("http://127.0.0.1:port/", False),
    ],
)
def test_webhooks_go_to_this_machine_alone(client: fal_client.SyncClient, url: str, good: bool) -> None:
    assert is_loopback(url) == good
    if not good:
        with pytest.raises(FalClientHTTPError) as raised:
            client.submit(ENDPOINT, arguments(), webhook_url=url)
        assert (raised.value.status_code, raised.value.error_type) == (400, "bad_request")
