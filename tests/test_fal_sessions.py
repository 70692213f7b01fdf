"""Whole sessions with the loopback fal: many requests at once, faults, what is left behind, and how a session ends."""

from __future__ import annotations

import io
import json
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from PIL import Image

from kreabench.backends import fal_events
from kreabench.backends.base import Generation, Ticket
from kreabench.backends.fal import FalBackend
from kreabench.core.errors import GenerationError
from kreabench.core.records import HostedCall
from tests.fal_emulator_support import served
from tests.fal_support import (
    draw,
    emulated_target,
    endpoint_inputs,
    image_to_image,
    levels,
    point_client_at,
    stored_input,
)
from tests.support import make_request, make_setting

SETTING = make_setting(target="krea_fal")
END_S = 3.0
"""How soon a session ends that is closed in the middle of its work."""


class Loopback:
    """A running service and back ends that ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: list[FalBackend] = []

    def open(self, *, concurrency: int = 1, target: dict[str, Any] | None = None, **options: Any) -> FalBackend:
        backend = FalBackend()
        self._opened.append(backend)
        changes = {"options": options} | (target or {})
        backend.open(emulated_target(**changes), levels("none"), (), concurrency=concurrency, inputs=self.folder)
        return backend

    def truth(self) -> dict[str, dict[str, Any]]:
        """What really happened, by request id."""
        lines = (self.folder / "truth.jsonl").read_text().splitlines()
        return {entry["request_id"]: entry for entry in map(json.loads, lines)}

    def close(self) -> None:
        for backend in self._opened:
            backend.close()


@contextmanager
def loopback(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Loopback]:
    """A service with these options, and the client pointed at it."""
    with served(folder / "truth.jsonl", http=False, seed=5, **options) as service:
        point_client_at(service.environment, monkeypatch)
        place = Loopback(folder)
        try:
            yield place
        finally:
            place.close()


def _hosted(generation: Generation) -> HostedCall:
    assert generation.hosted is not None
    return generation.hosted


def _many(backend: FalBackend, count: int, *, at_once: int) -> list[Generation]:
    def one(number: int) -> Generation:
        return draw(backend, SETTING, make_request(SETTING, seed=number, prompt=f"bicycle {number}"))

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(count)))


# many at once


@pytest.mark.parametrize("observe", ["auto", "polling"])
def test_what_is_measured_of_many_at_once_is_what_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, observe: str
) -> None:
    at_once = 6
    options = {"queue_s": 0.15, "inference_s": 0.3, "runners": at_once}
    with loopback(tmp_path, monkeypatch, **options) as place:
        backend = place.open(concurrency=at_once, observe=observe)
        first = _many(backend, at_once, at_once=at_once)
        generations = _many(backend, 2 * at_once, at_once=at_once)
        place.close()
        assert all(generation.timings.first_call for generation in first)
        _until(lambda: len(place.truth()) == 3 * at_once)  # a line is written after its answer is sent
        truth = place.truth()
    off_s = []
    for generation in generations:
        hosted, timings = _hosted(generation), generation.timings
        entry = truth[hosted.service_request_id]
        assert hosted.observed_by == ("polling" if observe == "polling" else "status_events")
        assert (hosted.attempts, hosted.rerouted, timings.first_call, generation.flags) == (1, False, False, ())
        assert list(timings.stages_s) == ["client", "submit", "queue", "inference", "result", "download"]
        assert timings.resolution_s is not None
        happened = entry["finished_monotonic_s"] - entry["started_monotonic_s"]
        assert hosted.inference_s == pytest.approx(happened, abs=1e-6)
        off_s.append(abs(timings.stages_s["inference"] - happened) - timings.resolution_s)
        off_s.append(abs(timings.stages_s["queue"] - 0.15) - timings.resolution_s)
        assert (hosted.billable_units, hosted.runner) == (entry["billable_units"], entry["runner"])
        assert hosted.in_flight is not None
        assert hosted.running is not None
        assert 1 <= hosted.running <= hosted.in_flight <= at_once
    # Most are right within a twentieth of a second; a busy machine may hold up a few.
    assert statistics.median(off_s) < 0.05
    assert max(off_s) < 0.5
    assert max(_hosted(generation).in_flight or 0 for generation in generations) > 1
    assert len({_hosted(generation).service_request_id for generation in generations}) == 2 * at_once


def test_the_answers_of_one_request_are_never_those_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers are noted by the thread: with several pictures and sizes each request has other units."""
    counts = [1, 2, 3, 4] * 4
    with loopback(tmp_path, monkeypatch, runners=4) as place:
        backend = place.open(concurrency=8)

        def one(count: int) -> Generation:
            setting = make_setting(num_images=count)
            return draw(backend, setting, make_request(setting, seed=count))

        with ThreadPoolExecutor(8) as pool:
            generations = list(pool.map(one, counts))
    assert [_hosted(generation).billable_units for generation in generations] == counts
    assert [len(generation.images) for generation in generations] == counts


def test_more_than_were_announced_find_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch, inference_s=0.1, runners=4) as place:
        assert len(_many(place.open(concurrency=1), 4, at_once=4)) == 4


def test_an_account_limit_shows_in_what_was_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch, inference_s=0.2, runners=8, concurrency=2) as place:
        generations = _many(place.open(concurrency=6), 12, at_once=6)
    assert max(_hosted(generation).running or 0 for generation in generations) <= 3
    assert max(_hosted(generation).in_flight or 0 for generation in generations) >= 5


def test_input_pictures_are_uploaded_to_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch) as place:
        backend = place.open(target=image_to_image())
        setting = make_setting(task="image-to-image", strength=0.8, steps=10)
        request = make_request(setting, images=(stored_input(tmp_path),))
        first, second = (draw(backend, setting, request) for _ in range(2))
        for generation in (first, second):
            with Image.open(io.BytesIO(generation.images[0].content)) as drawn:
                assert drawn.size == (128, 128)
        assert list(second.timings.stages_s)[:3] == ["client", "upload", "submit"]
        assert second.flags == ()
        redux = place.open(target={"task": "redux", "inputs": endpoint_inputs("krea_fal_redux")} | _REDUX)
        setting = make_setting(task="redux")
        assert draw(redux, setting, make_request(setting, images=request.images)).images


_REDUX = {"model": "fal-ai/flux/krea/redux"}


# faults


def _with(fault: str) -> dict[str, Any]:
    return {"fault": {fault: 1.0}}


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ("reset_status", 2),
        ("gateway", 2),
        ("drop_stream", 1),
        ("reset_result", 2),
        ("hang_result", 2),
        ("no_stream", 1),
    ],
)
def test_a_fault_of_the_way_there_costs_no_picture_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, attempts: int
) -> None:
    with loopback(tmp_path, monkeypatch, queue_s=0.1, **_with(fault)) as place:
        hosted = _hosted(draw(place.open(request_timeout_s=1.0)))
    assert hosted.attempts == attempts
    assert len(place.truth()) == 1
    assert hosted.observed_by == ("polling" if fault == "no_stream" else "status_events")


def test_a_silent_stream_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch, queue_s=0.2, inference_s=0.2, **_with("hang_stream")) as place:
        generation = draw(place.open(request_timeout_s=1.0))
    assert _hosted(generation).observed_by == "polling"
    assert generation.timings.resolution_s is not None
    assert generation.timings.resolution_s > 0.9


@pytest.mark.parametrize(
    ("fault", "type", "outlook"),
    [
        ("rate_limit", "rate_limited", (True, False)),
        ("reset", "network", (False, False)),
        ("reset_before", "network", (False, False)),
        ("hang_submit", "timeout", (False, False)),
        ("server_error", "server_error", (True, False)),
        ("requeue", "server_error", (True, False)),
        ("runner_disconnected", "server_error", (True, False)),
        ("incomplete_response", "server_error", (True, False)),
        ("scheduling_failure", "server_error", (True, False)),
        ("startup_timeout", "timeout", (True, False)),
        ("truncated", "truncated", (True, True)),
        ("expired_link", "expired", (False, False)),
    ],
)
def test_a_fault_of_the_service_is_a_typed_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, type: str, outlook: tuple[bool, bool]
) -> None:
    with loopback(tmp_path, monkeypatch, **_with(fault)) as place:
        with pytest.raises(GenerationError) as raised:
            draw(place.open(request_timeout_s=1.0))
        error = raised.value
        assert (error.type, (error.transient, error.fetch_again)) == (type, outlook)


def test_flagged_pictures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch, **_with("black")) as place:
        assert [image.nsfw for image in draw(place.open()).images] == [True]


# what is left behind


def test_what_one_session_submitted_another_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch, inference_s=1.0) as place:
        told: list[str] = []
        begun = _start(place.open(), 1, told=told)
        _until(lambda: bool(told))
        time.sleep(0.3)
        place.close()
        error = begun[0].exception(END_S)
        assert isinstance(error, GenerationError)
        assert (error.type, error.fetch_again) == ("cancelled", True)
        generation = draw(place.open(), SETTING, earlier_id=told[0])
        assert _hosted(generation).recovered is True
        assert _hosted(generation).billable_units == 1.0
    assert len(place.truth()) == 1


def test_what_the_service_never_knew_is_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch) as place, pytest.raises(GenerationError) as raised:
        draw(place.open(), earlier_id="0b7d4b6e-0000-4000-8000-000000000000")
    assert (raised.value.type, raised.value.transient) == ("expired", False)


# the end of a session


def _start(backend: FalBackend, count: int, *, told: list[str] | None = None) -> list[Future[Generation]]:
    """Requests under way, each in a thread of its own."""
    pool = ThreadPoolExecutor(count)
    names = told if told is not None else []

    def one(number: int) -> Generation:
        request = make_request(SETTING, seed=number, prompt=f"bicycle {number}")
        return backend.generate(SETTING, request, Ticket(intended_s=time.perf_counter(), submitted=names.append))

    futures = [pool.submit(one, number) for number in range(count)]
    pool.shutdown(wait=False)
    return futures


def _until(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _errors(futures: Sequence[Future[Generation]]) -> list[GenerationError]:
    errors = [future.exception(0.5) for future in futures]
    assert all(isinstance(error, GenerationError) for error in errors), errors
    return [error for error in errors if isinstance(error, GenerationError)]


@pytest.mark.parametrize("observe", ["auto", "polling"])
def test_closing_cancels_what_is_queued_and_leaves_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, observe: str
) -> None:
    with loopback(tmp_path, monkeypatch, inference_s=30, runners=2) as place:
        backend = place.open(concurrency=6, observe=observe)
        told: list[str] = []
        futures = _start(backend, 6, told=told)
        _until(lambda: len(told) == 6)
        time.sleep(0.5)
        began = time.monotonic()
        backend.close()
        assert time.monotonic() - began < END_S
        errors = _errors(futures)
        assert {error.type for error in errors} == {"cancelled"}
        assert all(error.transient and error.remedy for error in errors)
        assert sorted(error.fetch_again for error in errors) == [False] * 4 + [True] * 2
        assert sorted(entry["status_code"] for entry in place.truth().values()) == [499] * 4
    with pytest.raises(GenerationError):
        draw(backend)


def test_closing_before_a_request_is_sent_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch) as place:
        backend = place.open()
        session = backend._session
        assert session is not None
        backend.close()
        with pytest.raises(GenerationError) as raised:
            session.generate(SETTING, make_request(SETTING), Ticket(intended_s=0.0, submitted=lambda _: None))
        assert (raised.value.type, raised.value.stage, raised.value.transient) == ("cancelled", "check", True)


@pytest.mark.parametrize(
    ("fault", "observe", "type"),
    [
        ("hang_stream", "auto", "cancelled"),
        ("hang_status", "polling", "cancelled"),
        ("hang_result", "auto", "cancelled"),
        ("hang_submit", "auto", "network"),
    ],
)
def test_closing_ends_every_read_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, observe: str, type: str
) -> None:
    inference_s = 30 if fault in {"hang_stream", "hang_status"} else 0
    with loopback(tmp_path, monkeypatch, inference_s=inference_s, runners=3, **_with(fault)) as place:
        backend = place.open(concurrency=3, observe=observe)
        futures = _start(backend, 3)
        time.sleep(0.6)
        began = time.monotonic()
        backend.close()
        assert time.monotonic() - began < END_S
        for error in _errors(futures):
            # A submission without an answer may have been accepted under a name that nobody knows.
            assert (error.type, error.fetch_again) == (type, type == "cancelled")


def test_a_watchdog_is_closed_while_its_thread_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    created, go_on = threading.Event(), threading.Event()

    class SlowThread(threading.Thread):
        def start(self) -> None:
            created.set()
            assert go_on.wait(10)
            super().start()

    watchdog = fal_events.Watchdog()
    monkeypatch.setattr(fal_events, "threading", SimpleNamespace(Thread=SlowThread))
    with ThreadPoolExecutor(2) as pool:
        guarding = pool.submit(lambda: watchdog.guards(Mock()).__enter__())
        assert created.wait(10)
        closing = pool.submit(watchdog.close)
        wait([closing], 0.1)
        go_on.set()
        closing.result(10)
        guarding.result(10)


def test_a_session_leaves_no_thread_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch) as place:
        before = set(threading.enumerate())
        draw(place.open())
        place.close()
        assert not [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]


def test_a_full_service_says_how_long_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(tmp_path, monkeypatch, inference_s=30, submit_limit=1) as place:
        backend = place.open(concurrency=2)
        told: list[str] = []
        _start(backend, 1, told=told)
        _until(lambda: bool(told))
        with pytest.raises(GenerationError) as raised:
            draw(backend)
    assert (raised.value.type, raised.value.stage) == ("rate_limited", "submit")
    assert raised.value.retry_after_s is not None
