"""What the driver relies on in the worker of a hosted target: answers in any order, each with its name, and an end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.base import GeneratedImage, Generation, Ticket
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.execution import hosted_worker
from kreabench.execution.messages import (
    Answer,
    Close,
    Done,
    Failed,
    Generate,
    Open,
    Opened,
    Received,
    Submitted,
    decode_answer,
    encode_line,
)
from kreabench.execution.worker import Worker, serve
from tests.support import (
    encode_image,
    make_acceleration,
    make_request,
    make_setting,
    make_target,
    make_timings,
    picture,
)

SETTING = make_setting()
KEY = "id-of-the-key:secret-of-the-key"


class ScriptedService:
    """Does what the test says."""

    calling: Callable[[Request, Ticket], Generation]
    concurrency = 0
    closed = threading.Event()

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        concurrency: int,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        type(self).concurrency = concurrency
        return {}

    def generate(self, setting: Setting, request: Request, ticket: Ticket) -> Generation:
        return type(self).calling(request, ticket)

    def close(self) -> None:
        type(self).closed.set()


def generation(**changes: Any) -> Generation:
    image = GeneratedImage(content=encode_image(picture()), seed=0, nsfw=None)
    base = Generation(images=(image,), timings=make_timings(), memory=None, steps_run=None, hosted=None)
    return replace(base, **changes)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedService]:
    scripted = type("Scripted", (ScriptedService,), {"closed": threading.Event()})
    monkeypatch.setattr(hosted_worker, "hosted_backend_class", lambda name: scripted)
    return scripted


class Line:
    """The driver's end of a worker that runs in a thread."""

    def __init__(self, run_path: Path, concurrency: int, **target: Any) -> None:
        self._near, far = socket.socketpair()
        self._lines = self._near.makefile("rb")
        self.thread = threading.Thread(target=serve, args=(far, Worker()), daemon=True)
        self.thread.start()
        self.say(
            Open(
                target=make_target(hosted=True, **target),
                accelerations=(make_acceleration(),),
                settings=(SETTING,),
                run_path=str(run_path),
                concurrency=concurrency,
            )
        )
        assert isinstance(self.hear(), Opened)

    def say(self, order: Open | Generate | Close) -> None:
        self._near.sendall(encode_line(order))

    def ask(self, number: int, earlier_id: str | None = None) -> str:
        request = make_request(SETTING, id=f"request-{number}", seed=number)  # names of files hold a part of ids
        self.say(Generate(setting_id=SETTING.id, request=request, earlier_id=earlier_id))
        return request.id

    def hear(self) -> Answer:
        return decode_answer(self._lines.readline())

    def rest(self) -> list[Answer]:
        return [decode_answer(line) for line in self._lines]

    def hang_up(self) -> None:
        self._lines.close()
        self._near.close()


@pytest.fixture
def line(tmp_path: Path, service: type[ScriptedService]) -> Iterator[Line]:
    opened = Line(tmp_path, 3)
    yield opened
    opened.hang_up()
    opened.thread.join(10)
    assert not opened.thread.is_alive()
    assert service.closed.is_set()


def test_calls_overlap_and_are_answered_as_they_end(line: Line, service: type[ScriptedService]) -> None:
    gates = {f"request-{number}": threading.Event() for number in range(3)}

    def call(request: Request, ticket: Ticket) -> Generation:
        assert gates[request.id].wait(10)
        return generation()

    service.calling = staticmethod(call)
    assert service.concurrency == 3
    asked = [line.ask(number) for number in range(3)]
    for request_id in reversed(asked):
        gates[request_id].set()
        answers = [line.hear(), line.hear()]
        assert {type(answer) for answer in answers} == {Received, Done}
        assert {answer.request_id for answer in answers} == {request_id}  # type: ignore[union-attr]


def test_the_service_s_name_comes_as_soon_as_it_is_known(line: Line, service: type[ScriptedService]) -> None:
    gate = threading.Event()

    def call(request: Request, ticket: Ticket) -> Generation:
        ticket.submitted("job-1")
        assert gate.wait(10)
        return generation()

    service.calling = staticmethod(call)
    request_id = line.ask(0)
    assert line.hear() == Submitted(request_id=request_id, service_request_id="job-1")
    gate.set()


def test_a_request_starts_when_its_order_is_read(line: Line, service: type[ScriptedService]) -> None:
    tickets: list[Ticket] = []

    def call(request: Request, ticket: Ticket) -> Generation:
        tickets.append(ticket)
        time.sleep(0.2)
        return generation()

    service.calling = staticmethod(call)
    before = time.perf_counter()
    for number in range(4):
        line.ask(number, earlier_id="job-9" if number == 3 else None)
    answers = [line.hear() for _ in range(8)]
    assert sum(isinstance(answer, Done) for answer in answers) == 4
    # Also that of the fourth, which had to wait for a thread.
    assert all(before <= ticket.intended_s < before + 0.15 for ticket in tickets)
    assert [ticket.earlier_id for ticket in tickets].count("job-9") == 1


def test_the_first_call_is_what_the_back_end_says(line: Line, service: type[ScriptedService]) -> None:
    for number, first in enumerate((False, True)):
        timings = make_timings(first_call=first)
        service.calling = staticmethod(lambda request, ticket, timings=timings: generation(timings=timings))
        line.ask(number)
        (done,) = [answer for answer in (line.hear(), line.hear()) if isinstance(answer, Done)]
        assert done.delivery.timings.first_call is first


@pytest.mark.parametrize(
    ("result", "type_", "stage"),
    [
        (lambda: generation(images=()), "bad_image", "store"),
        (lambda: generation(images=(GeneratedImage(content=b"no picture", seed=0, nsfw=None),)), "bad_image", "store"),
        (lambda: generation(timings=make_timings(end_to_end_s=float("nan"))), "internal", "generate"),
    ],
)
def test_what_cannot_be_used_is_a_failure(
    line: Line, service: type[ScriptedService], result: Callable[[], Generation], type_: str, stage: str
) -> None:
    service.calling = staticmethod(lambda request, ticket: result())
    request_id = line.ask(0)
    (failed,) = [answer for answer in (line.hear(), line.hear()) if isinstance(answer, Failed)]
    assert (failed.request_id, failed.error.type, failed.error.stage) == (request_id, type_, stage)


def test_a_failure_says_what_the_service_asked_for(line: Line, service: type[ScriptedService]) -> None:
    error = GenerationError("too many", type="rate_limited", stage="submit", transient=True, fetch_again=True)
    error.retry_after_s = 2.5

    def call(request: Request, ticket: Ticket) -> Generation:
        raise error

    service.calling = staticmethod(call)
    line.ask(0)
    failed = line.hear()
    assert isinstance(failed, Failed)
    assert (failed.error.type, failed.retry_after_s, failed.error.fetch_again) == ("rate_limited", 2.5, True)


def test_closing_cuts_short_what_is_in_flight_and_answers_it(tmp_path: Path, service: type[ScriptedService]) -> None:
    def call(request: Request, ticket: Ticket) -> Generation:
        assert service.closed.wait(10)
        if request.id == "request-0":
            return generation()  # it was just done
        raise GenerationError("closed", type="cancelled", stage="queue", fetch_again=True)

    service.calling = staticmethod(call)
    line = Line(tmp_path, 2)
    asked = [line.ask(number) for number in range(4)]
    time.sleep(0.1)
    line.say(Close())
    answers = {answer.request_id: answer for answer in line.rest() if isinstance(answer, Done | Failed)}
    line.thread.join(10)
    assert not line.thread.is_alive()
    assert isinstance(answers[asked[0]], Done)
    cut = [answers[request_id] for request_id in asked[1:]]
    assert all(isinstance(answer, Failed) and answer.error.type == "cancelled" for answer in cut)
    # Those whose turn never came were not sent at all.
    assert [answer.error.fetch_again for answer in cut if isinstance(answer, Failed)] == [True, False, False]
    line.hang_up()


def test_the_key_is_in_no_answer(
    tmp_path: Path, service: type[ScriptedService], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)

    def call(request: Request, ticket: Ticket) -> Generation:
        raise RuntimeError(f"401 for {KEY}")

    service.calling = staticmethod(call)
    line = Line(tmp_path, 1, key_env="TEST_KEY")
    line.ask(0)
    failed = line.hear()
    assert isinstance(failed, Failed)
    assert failed.error.message == "builtins.RuntimeError: 401 for [hidden]"
    line.hang_up()
    line.thread.join(10)
    assert "of-the-key" not in capsys.readouterr().err
