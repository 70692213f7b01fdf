"""Each fault of the table does what the table says, and the account knows what it cost."""

from __future__ import annotations

import contextlib
import io
import json
import random
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
from fal_client.client import Completed, FalClientHTTPError
from PIL import Image

from kreabench.emulator import faults
from kreabench.emulator.faults import FAULTS, FaultPlan, parse_faults
from tests.fal_emulator_support import ENDPOINT, HEADERS, Served, arguments, client_of, served, until
from tests.fal_support import emulator


@pytest.fixture(scope="module")
def place() -> Iterator[Served]:
    with served(runners=2, inference_s=0.02) as place:
        yield place


@pytest.fixture
def client(place: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    with client_of(place, monkeypatch) as client:
        yield client
    place.strike(None)


@pytest.fixture
def strike(place: Served) -> Any:
    return place.strike


def _jobs(place: Served) -> int:
    return int(place.account()["jobs"])


def _completed(handle: Any) -> Completed:
    *_, last = handle.iter_events(interval=0.005)
    assert isinstance(last, Completed)
    return last


def _result(client: fal_client.SyncClient, handle: Any) -> httpx.Response:
    response: httpx.Response = client._client.get(handle.response_url)
    return response


@pytest.mark.parametrize(("fault", "made"), [("reset", 1), ("reset_before", 0)])
def test_a_reset_at_the_submit(
    place: Served, client: fal_client.SyncClient, strike: Any, fault: str, made: int
) -> None:
    strike(fault)
    for call in (client.submit, client.run):
        before = _jobs(place)
        with pytest.raises(httpx.ReadError) as raised:
            call(ENDPOINT, arguments())
        assert "reset" in str(raised.value).lower()
        assert _jobs(place) - before == made


def test_a_reset_is_a_real_one_also_below_tls(tmp_path: Path) -> None:
    """Seen below TLS, as Python's own TLS socket reads a reset as an end."""
    with emulator(tmp_path, fault={"reset": 1.0}) as environment:
        host = environment["FAL_QUEUE_RUN_HOST"]
        context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
        with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as connection:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            shaken = False
            while not shaken:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    shaken = True
                connection.sendall(outgoing.read())
                if not shaken:
                    incoming.write(connection.recv(65536))
            tls.write(_raw_submit(host))
            connection.sendall(outgoing.read())
            with pytest.raises(ConnectionResetError):
                _read_to_the_end(connection)


def _read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def _raw_submit(host: str) -> bytes:
    body = json.dumps(arguments()).encode()
    head = f"POST /{ENDPOINT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Key x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_the_clients_own_retries_make_a_second_job(
    place: Served, client: fal_client.SyncClient, strike: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike("reset")
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 2)
    before = place.account()
    with pytest.raises(httpx.ReadError):
        client.submit(ENDPOINT, arguments(prompt="sent twice"))
    after = place.account()
    assert after["jobs"] - before["jobs"] == 2
    assert after["jobs_with_a_body_seen_before"] - before["jobs_with_a_body_seen_before"] == 1


def test_a_refused_submit_makes_no_job(place: Served, client: fal_client.SyncClient, strike: Any) -> None:
    strike("rate_limit")
    before = _jobs(place)
    with pytest.raises(FalClientHTTPError) as raised:
        client.submit(ENDPOINT, arguments())
    assert (raised.value.status_code, raised.value.error_type) == (429, "concurrent_requests_limit")
    assert raised.value.response_headers["x-fal-needs-retry"] == "1"
    assert _jobs(place) == before


def test_a_submit_that_is_never_answered_makes_a_job(place: Served, client: fal_client.SyncClient, strike: Any) -> None:
    strike("hang_submit")
    before = _jobs(place)
    with pytest.raises(httpx.ReadTimeout):
        client._client.post(f"{place.url}/{ENDPOINT}", json=arguments(), timeout=0.2)
    assert _jobs(place) == before + 1


@pytest.mark.parametrize("fault", ["reset_status", "hang_status", "gateway"])
def test_the_first_status_call_fails_and_the_second_is_answered(
    place: Served, client: fal_client.SyncClient, strike: Any, fault: str
) -> None:
    strike(fault)
    handle = client.submit(ENDPOINT, arguments())
    if fault == "gateway":
        response = client._client.get(handle.status_url)
        assert (response.status_code, "nginx" in response.text) == (502, True)
        assert response.headers["content-type"].startswith("text/html")
        assert "x-fal-request-id" not in response.headers
    else:
        with pytest.raises(httpx.ReadError if fault == "reset_status" else httpx.ReadTimeout):
            client._client.get(handle.status_url, timeout=0.2)
    assert _completed(handle).error is None
    assert _result(client, handle).status_code == 200


@pytest.mark.parametrize("fault", ["reset_result", "hang_result"])
def test_the_first_result_call_fails_and_the_second_is_answered(
    client: fal_client.SyncClient, strike: Any, fault: str
) -> None:
    strike(fault)
    handle = client.submit(ENDPOINT, arguments())
    _completed(handle)
    with pytest.raises(httpx.ReadError if fault == "reset_result" else httpx.ReadTimeout):
        client._client.get(handle.response_url, timeout=0.2)
    assert _result(client, handle).status_code == 200


def _events(client: fal_client.SyncClient, handle: Any, timeout: float = 2.0) -> list[dict[str, Any]]:
    events = []
    with client._client.stream("GET", f"{handle.status_url}/stream?logs=1", timeout=timeout) as response:
        assert response.status_code == 200
        events += [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    return events


def test_streams_that_end_go_silent_or_are_not_to_be_had(client: fal_client.SyncClient, strike: Any) -> None:
    strike("drop_stream")
    handle = client.submit(ENDPOINT, arguments())
    assert len(_events(client, handle)) == 1
    assert _events(client, handle)[-1]["status"] == "COMPLETED"
    strike("hang_stream")
    with pytest.raises(httpx.ReadTimeout):
        _events(client, client.submit(ENDPOINT, arguments()), timeout=0.2)
    strike("no_stream")
    handle = client.submit(ENDPOINT, arguments())
    assert client._client.get(f"{handle.status_url}/stream").status_code == 404
    assert _completed(handle).error is None


def test_a_lost_runner_puts_the_job_back_and_another_one_finishes_it(
    place: Served, client: fal_client.SyncClient, strike: Any
) -> None:
    strike("requeue")
    handle = client.submit(ENDPOINT, arguments())
    states = [event["status"] for event in _events(client, handle)]
    assert [state for state, before in zip(states, ["", *states], strict=False) if state != before][-4:] == [
        "IN_PROGRESS",
        "IN_QUEUE",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    job = place.service.dispatcher.find(handle.request_id)
    assert job is not None
    assert len(set(job.runners)) == 2
    assert _result(client, handle).headers["x-fal-served-from"] == job.runners[1]
    handle = client.submit(ENDPOINT, arguments(), headers={"X-Fal-No-Retry": "1"})
    assert _completed(handle).error_type == "runner_disconnected"
    handle = client.submit(ENDPOINT, arguments(), headers={"x-app-fal-disable-fallback": "true"})
    _completed(handle)
    job = place.service.dispatcher.find(handle.request_id)
    assert job is not None
    assert len(job.runners) == 2
    assert len(set(job.runners)) == 1


@pytest.mark.parametrize("fault", [*faults.AT_WORK, *faults.BEFORE_WORK])
def test_jobs_that_end_in_an_error_are_not_billed(
    place: Served, client: fal_client.SyncClient, strike: Any, fault: str
) -> None:
    strike(fault)
    status_code, error_type, _ = (faults.AT_WORK | faults.BEFORE_WORK)[fault]
    before = place.account()["billed_usd"]
    handle = client.submit(ENDPOINT, arguments())
    completed = _completed(handle)
    assert completed.error_type == error_type
    assert ("inference_time" in completed.metrics) == (fault in faults.AT_WORK)
    with pytest.raises(FalClientHTTPError) as raised:
        handle.get()
    assert (raised.value.status_code, raised.value.error_type) == (status_code, error_type)
    assert raised.value.response_headers["x-fal-error-type"] == error_type
    assert raised.value.response_headers["x-fal-request-id"] == handle.request_id
    assert place.account()["billed_usd"] == before


def test_units_that_are_wrong_or_missing(place: Served, client: fal_client.SyncClient, strike: Any) -> None:
    for fault, units, usd in (("wrong_units", "2", 0.05), ("no_units", None, 0.025)):
        strike(fault)
        before = place.account()["billed_usd"]
        handle = client.submit(ENDPOINT, arguments())
        _completed(handle)
        assert _result(client, handle).headers.get("x-fal-billable-units") == units
        assert place.account()["billed_usd"] - before == pytest.approx(usd)


def _picture(client: fal_client.SyncClient) -> tuple[dict[str, Any], httpx.Response]:
    result = client.run(ENDPOINT, arguments())
    return result, httpx.get(result["images"][0]["url"])


def test_flagged_pictures(client: fal_client.SyncClient, strike: Any) -> None:
    for fault, black in (("black", True), ("nsfw", False)):
        strike(fault)
        result, response = _picture(client)
        assert result["has_nsfw_concepts"] == [True]
        with Image.open(io.BytesIO(response.content)) as image:
            assert image.size == (64, 48)
            assert (image.convert("L").getextrema() == (0, 0)) == black


def test_pictures_that_are_not_what_they_should_be(client: fal_client.SyncClient, strike: Any) -> None:
    strike("wrong_size")
    result, response = _picture(client)
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == (32, 16)
    assert (result["images"][0]["width"], result["images"][0]["height"]) == (64, 48)
    strike("not_an_image")
    _, response = _picture(client)
    assert response.headers["content-type"] == "image/png"
    assert response.text.startswith("This is not")
    strike("truncated_file")
    _, response = _picture(client)
    assert len(response.content) == int(response.headers["content-length"])
    with pytest.raises(OSError, match=r"truncated|broken"), Image.open(io.BytesIO(response.content)) as image:
        image.load()
    strike("expired_link")
    assert _picture(client)[1].status_code == 404


def test_a_download_that_ends_early_and_one_that_takes_long(
    client: fal_client.SyncClient, strike: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike("truncated")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        _picture(client)
    strike("slow_download")
    monkeypatch.setattr("kreabench.emulator.routes.collecting._SLOW_S", 0.2)
    result = client.run(ENDPOINT, arguments())
    response = httpx.get(result["images"][0]["url"])
    assert response.elapsed.total_seconds() >= 0.15


def test_every_fault_of_the_table_is_tested() -> None:
    source = Path(__file__).read_text()
    tested = {name for name in FAULTS if f'"{name}"' in source} | set(faults.AT_WORK) | set(faults.BEFORE_WORK)
    assert set(FAULTS) == tested


def test_faults_follow_from_seed_and_number_and_come_as_often_as_asked() -> None:
    plan = FaultPlan(probabilities={"reset": 0.05, "black": 0.02}, seed=1)
    drawn = [plan.fault_of(number) for number in range(10_000)]
    assert drawn == [plan.fault_of(number) for number in range(10_000)]
    counts = Counter(drawn)
    assert counts["reset"] == pytest.approx(500, abs=100)
    assert counts["black"] == pytest.approx(200, abs=60)
    other = FaultPlan(probabilities=plan.probabilities, seed=2)
    assert drawn != [other.fault_of(number) for number in range(10_000)]


def test_faults_as_written() -> None:
    assert parse_faults(("reset=0.02", '{"black": 0.5}')) == {"reset": 0.02, "black": 0.5}
    for text, words in (
        ("reset", "NAME=PROBABILITY"),
        ("reset=often", "NAME=PROBABILITY"),
        ("{", "an object"),
        ("reset=1.5", "a probability"),
        ("reset=nan", "a probability"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_faults((text,))


def test_forty_clients_with_faults_and_the_account_agree(tmp_path: Path) -> None:
    """Every job is in the truth log once, and its dollars sum to the account's."""
    log = tmp_path / "truth.jsonl"
    mix = {"reset": 0.1, "rate_limit": 0.1, "server_error": 0.1, "hang_submit": 0.05, "wrong_units": 0.1}
    with served(log, runners=8, fault=mix) as place:
        rng = random.Random(0)
        for number in range(40):
            with httpx.Client(headers=HEADERS, timeout=0.3) as client:
                try:
                    answer = client.post(f"{place.url}/{ENDPOINT}", json=arguments(prompt=f"{number}"))
                except httpx.TransportError:
                    continue
                if answer.status_code != 200 or rng.random() < 0.2:
                    continue
                url = answer.json()["response_url"]
                assert until(lambda url=url, client=client: client.get(url).status_code != 400)
        assert until(lambda: not set(place.account()["by_status"]) & {"in_queue", "in_progress"})
        account = place.account()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert len({entry["request_id"] for entry in entries}) == len(entries) == account["jobs"]
    assert sum(entry["usd"] for entry in entries) == pytest.approx(account["billed_usd"])
    assert account["refused_submits"]["rate_limit fault"] > 0
    assert account["by_status"]["500"] > 0
    assert Counter(str(entry["status_code"]) for entry in entries) == account["by_status"]


def test_hanging_calls_do_not_keep_the_service_from_ending() -> None:
    with served(fault={"hang_submit": 1.0}) as place:
        connection = socket.create_connection(("127.0.0.1", place.service.place.port))
        connection.sendall(_raw_submit(place.service.place.queue_host))
        assert until(lambda: place.account()["jobs"] == 1)
    connection.close()
