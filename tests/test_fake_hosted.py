"""The fake service: what the harness's own tests rely on."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.fake_hosted import FAULTS, FakeHostedBackend
from kreabench.backends.fake_service import read_account
from kreabench.backends.table import BACKENDS, hosted_backend_class
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request
from tests.hosted_support import SETTING, hosted_target
from tests.support import make_acceleration, make_request

REQUEST = make_request(SETTING)


def opened(state_dir: Path, *faults: dict[str, Any], **options: Any) -> FakeHostedBackend:
    backend = FakeHostedBackend()
    target = hosted_target(state_dir, *faults, **options)
    backend.open(target, (make_acceleration(),), (SETTING,), concurrency=2)
    return backend


def call(
    backend: FakeHostedBackend, request: Request = REQUEST, earlier_id: str | None = None
) -> tuple[Generation, list[str]]:
    """What it gives, and the names it told."""
    told: list[str] = []
    ticket = Ticket(intended_s=time.perf_counter(), submitted=told.append, earlier_id=earlier_id)
    return backend.generate(SETTING, request, ticket), told


def test_the_row_names_it() -> None:
    assert BACKENDS["fake_hosted"].hosted
    assert hosted_backend_class("fake_hosted") is FakeHostedBackend


def test_a_request_becomes_one_job_and_one_picture(tmp_path: Path) -> None:
    backend = opened(tmp_path, queue_s=0.02, inference_s=0.05)
    generation, told = call(backend)
    (job,) = read_account(tmp_path)
    assert told == [job.id] == ["job-00001"]
    assert (job.request_id, job.billed_units) == (REQUEST.id, 1.0)
    with Image.open(io.BytesIO(generation.images[0].content)) as picture:
        assert picture.size == (SETTING.width, SETTING.height)
    timings = generation.timings
    assert list(timings.stages_s) == ["client", "submit", "queue", "inference"]
    assert timings.end_to_end_s == pytest.approx(sum(timings.stages_s.values()) + timings.residual_s)
    assert timings.end_to_end_s >= 0.07
    assert timings.first_call
    assert not call(backend)[0].timings.first_call


def test_a_job_outlives_the_back_end_that_asked_for_it(tmp_path: Path) -> None:
    with pytest.raises(GenerationError) as caught:
        call(opened(tmp_path, {"kind": "lost"}))
    assert caught.value.fetch_again
    generation, told = call(opened(tmp_path), earlier_id="job-00001")
    assert told == []
    assert generation.hosted is not None
    assert generation.hosted.recovered
    assert generation.hosted.service_request_id == "job-00001"
    assert len(read_account(tmp_path)) == 1
    with pytest.raises(GenerationError, match="expired"):
        call(opened(tmp_path), earlier_id="job-00009")


def test_more_than_it_takes_is_refused(tmp_path: Path) -> None:
    backend = opened(tmp_path, inference_s=0.5, max_running=1)
    thread = threading.Thread(target=call, args=(backend,))
    thread.start()
    time.sleep(0.1)
    with pytest.raises(GenerationError) as caught:
        call(backend)
    thread.join()
    assert (caught.value.type, caught.value.stage) == ("rate_limited", "submit")
    assert len(read_account(tmp_path)) == 1


@pytest.mark.parametrize(("options", "fetch_again"), [({"queue_s": 9.0}, False), ({"inference_s": 9.0}, True)])
def test_closing_cancels_what_waits_and_leaves_what_is_worked_on(
    tmp_path: Path, options: dict[str, float], fetch_again: bool
) -> None:
    backend = opened(tmp_path, **options)
    caught: list[GenerationError] = []

    def ask() -> None:
        try:
            call(backend)
        except GenerationError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    backend.close()
    thread.join(5)
    assert [(error.type, error.fetch_again) for error in caught] == [("cancelled", fetch_again)]
    (job,) = read_account(tmp_path)
    assert job.cancelled is not fetch_again
    assert (job.billed_units == 0.0) is not fetch_again


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        ({"kind": "nonsense"}, "faults[0].kind"),
        ({}, "faults[0]"),
        ({"kind": "lost", "odd": 1}, "faults[0].odd"),
        ({"kind": "lost", "times": 0}, "faults[0].times"),
        ({"kind": "lost", "times": "often"}, "faults[0]"),
    ],
)
def test_a_fault_that_means_nothing_is_found_before_the_run(tmp_path: Path, fault: dict[str, Any], key: str) -> None:
    problems = FakeHostedBackend.check(hosted_target(tmp_path, fault), ())
    assert [problem.key for problem in problems] == [f"target.bought.options.{key}"]


def test_counted_faults_need_a_folder(tmp_path: Path) -> None:
    target = hosted_target(tmp_path, {"kind": "lost", "times": 1})
    target = replace(target, options={**target.options, "state_dir": None})
    assert [problem.key for problem in FakeHostedBackend.check(target, ())] == ["target.bought.options.faults[0].times"]
    missing = hosted_target(tmp_path / "missing")
    assert [problem.key for problem in FakeHostedBackend.check(missing, ())] == ["target.bought.options.state_dir"]


def test_every_fault_is_explained() -> None:
    assert all(text and not text.endswith(".") for text in FAULTS.values())
