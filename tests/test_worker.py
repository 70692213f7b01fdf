"""What the driver relies on in a worker: an answer to every order, whatever the back end does, and no secret in it."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.backends.base import GeneratedImage, Generation
from kreabench.core.errors import EnvironmentProblem, GenerationError, Problem
from kreabench.core.planned import Request, Setting
from kreabench.core.records import HostedCall, Timings
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.execution import worker as worker_module
from kreabench.execution.failures import MAX_MESSAGE_CHARS, clean, describe, secrets
from kreabench.execution.messages import (
    Close,
    Delivery,
    Done,
    Failed,
    Generate,
    Open,
    Opened,
    Warmup,
    decode_answer,
    encode_line,
)
from kreabench.execution.outcomes import delivered_sample
from kreabench.execution.worker import Worker, serve
from tests.engine_support import is_gone, start, wait_until, worker_pids
from tests.support import (
    encode_image,
    make_acceleration,
    make_group,
    make_request,
    make_setting,
    make_target,
    make_timings,
    picture,
)

SETTING = make_setting()
REQUEST = make_request(SETTING)
KEY = "id-of-the-key:secret-of-the-key"


def make_generation(**changes: Any) -> Generation:
    image = GeneratedImage(content=encode_image(picture()), seed=0, nsfw=None)
    base = Generation(images=(image,), timings=make_timings(), memory=None, steps_run=4, hosted=None)
    return replace(base, **changes)


class ScriptedBackend:
    """Does what the test says."""

    opening: Callable[[], dict[str, Any]] = staticmethod(dict)
    generating: Callable[[], Generation] = staticmethod(make_generation)
    closed = 0

    def open(
        self,
        target: TargetSpec,
        accelerations: Sequence[AccelerationSpec],
        settings: Sequence[Setting],
        *,
        inputs: Path | None = None,
    ) -> dict[str, Any]:
        return type(self).opening()

    def generate(self, setting: Setting, request: Request) -> Generation:
        return type(self).generating()

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedBackend]:
    """The class that workers of this test use."""
    scripted = type("Scripted", (ScriptedBackend,), {})
    monkeypatch.setattr(worker_module, "backend_class", lambda name: scripted)
    return scripted


def raising(error: Exception) -> Any:
    def call() -> Any:
        raise error

    return staticmethod(call)


def open_order(run_path: Path, **target: Any) -> Open:
    return Open(
        target=make_target(**target),
        accelerations=(make_acceleration(),),
        settings=(SETTING,),
        run_path=str(run_path),
    )


def opened(run_path: Path, **target: Any) -> Worker:
    worker = Worker()
    assert isinstance(decode_answer(worker.answer(open_order(run_path, **target))), Opened)
    return worker


def generate(worker: Worker) -> Done | Failed:
    answer = decode_answer(worker.answer(Generate(setting_id=SETTING.id, request=REQUEST)))
    assert isinstance(answer, Done | Failed)
    return answer


def warm_up(worker: Worker) -> Done | Failed:
    answer = decode_answer(worker.answer(Warmup(setting_id=SETTING.id, request=REQUEST)))
    assert isinstance(answer, Done | Failed)
    return answer


def test_clocks_are_the_workers_own(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    ticks = iter([10.0, 12.5])
    worker = Worker(now=lambda: "2026-01-02T03:04:05.678Z", clock=lambda: next(ticks))
    answer = decode_answer(worker.answer(open_order(tmp_path)))
    assert answer == Opened(started_utc="2026-01-02T03:04:05.678Z", load_s=2.5, identity={})


def test_a_warm_up_stores_nothing(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    answer = warm_up(opened(tmp_path))
    assert isinstance(answer, Done)
    assert answer.delivery.images == ()
    assert list(tmp_path.iterdir()) == []


def test_the_first_call_that_succeeds_is_the_first_call(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    worker = opened(tmp_path)
    backend.generating = raising(GenerationError("no", type="server_error", stage="denoise"))
    assert isinstance(generate(worker), Failed)
    backend.generating = staticmethod(make_generation)
    first, second = generate(worker), generate(worker)
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert (first.delivery.timings.first_call, second.delivery.timings.first_call) == (True, False)


def test_a_local_model_has_a_first_call_of_each_setting(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    settings = (SETTING, make_setting(steps=9))
    worker = Worker()
    worker.answer(replace(open_order(tmp_path), settings=settings))
    orders = [Generate(setting_id=setting.id, request=make_request(setting)) for setting in (*settings, SETTING)]
    answers = [decode_answer(worker.answer(order)) for order in orders]
    firsts = [answer.delivery.timings.first_call for answer in answers if isinstance(answer, Done)]
    assert firsts == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "valid"),
    [({}, True), ({"attempts": 2}, False), ({"recovered": True}, False), ({"rerouted": True}, False)],
)
def test_a_hosted_call_that_was_disturbed_is_no_timing(changes: dict[str, Any], valid: bool) -> None:
    hosted = HostedCall(
        service_request_id="r",
        attempts=1,
        polls=3,
        queue_s=0.1,
        inference_s=0.2,
        runner=None,
        billable_units=None,
    )
    delivery = Delivery(timings=make_timings(), memory=None, steps_run=None, hosted=replace(hosted, **changes))
    done = Done(started_utc="2026-01-02T03:04:05.678Z", delivery=delivery)
    assert delivered_sample(make_group(), REQUEST, 1, done).timing_valid is valid
    assert not delivered_sample(make_group(), REQUEST, 2, done).timing_valid


def test_a_back_end_that_reports_no_number_is_a_failure(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    timings = Timings(end_to_end_s=math.nan, stages_s={}, residual_s=0.0)
    backend.generating = staticmethod(lambda: make_generation(timings=timings))
    answer = generate(opened(tmp_path))
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.stage) == ("internal", "generate")
    assert "end_to_end_s" in answer.error.message


def test_an_identity_that_is_no_json_is_a_failed_load(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    backend.opening = staticmethod(lambda: {"dtype": object()})
    answer = decode_answer(Worker().answer(open_order(tmp_path)))
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.stage) == ("internal", "load")


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_pictures_than_asked_is_a_failure(
    tmp_path: Path, backend: type[ScriptedBackend], count: int
) -> None:
    backend.generating = staticmethod(lambda: make_generation(images=make_generation().images * count))
    answer = generate(opened(tmp_path))
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.stage) == ("bad_image", "store")
    assert answer.delivery is not None
    assert answer.delivery.timings.end_to_end_s == 0.5


def test_what_this_machine_lacks_is_a_failed_load(tmp_path: Path, backend: type[ScriptedBackend]) -> None:
    problem = Problem(key="FAL_KEY", found="nothing", expected="a key", remedy="Set it.")
    backend.opening = raising(EnvironmentProblem([problem]))
    answer = decode_answer(Worker().answer(open_order(tmp_path)))
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.stage, answer.error.transient) == ("load_failed", "load", True)
    assert "FAL_KEY: found nothing" in answer.error.message


def test_the_back_end_is_closed_once_also_after_a_failed_load(
    tmp_path: Path, backend: type[ScriptedBackend], capsys: pytest.CaptureFixture[str]
) -> None:
    backend.opening = raising(GenerationError("no", type="load_failed", stage="load"))
    worker = Worker()
    worker.answer(open_order(tmp_path))
    worker.close()
    worker.close()
    assert backend.closed == 1
    assert "load_failed in load: no" in capsys.readouterr().err


def test_the_key_is_neither_in_a_failure_nor_in_the_log(
    tmp_path: Path,
    backend: type[ScriptedBackend],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    backend.generating = raising(RuntimeError(f"401 for Key {KEY}; Basic secret-of-the-key"))
    line = Worker.answer(opened(tmp_path, key_env="TEST_KEY"), Generate(setting_id=SETTING.id, request=REQUEST))
    log = capsys.readouterr().err
    assert b"401 for Key [hidden]; Basic [hidden]" in line
    assert "Traceback" in log
    for text in (line.decode(), log):
        assert "of-the-key" not in text


def test_a_log_on_a_full_disk_does_not_hide_the_failure(
    tmp_path: Path, backend: type[ScriptedBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = opened(tmp_path)
    backend.generating = raising(GenerationError("no space left", type="storage", stage="store"))
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        answer = generate(worker)
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert isinstance(answer, Failed)
    assert answer.error.type == "storage"


def test_secrets_are_what_the_named_variable_and_the_usual_ones_hold() -> None:
    assert secrets(None, {"OTHER_KEY": KEY}) == ()
    assert secrets("OTHER_KEY", {"OTHER_KEY": KEY}) == (KEY, "secret-of-the-key", "id-of-the-key")
    # A target that names none: its back end falls back on the usual one.
    assert secrets(None, {"FAL_KEY": KEY}) == (KEY, "secret-of-the-key", "id-of-the-key")
    assert secrets("FAL_KEY", {"HF_TOKEN": "hf_0123456789"}) == ("hf_0123456789",)
    assert secrets("FAL_KEY", {}) == ()
    assert secrets("FAL_KEY", {"FAL_KEY": KEY}) == (KEY, "secret-of-the-key", "id-of-the-key")
    # A word of a few letters would be cut out of every message.
    assert secrets("FAL_KEY", {"FAL_KEY": "dummy"}) == ()


def named(name: str, module: str) -> Exception:
    error: Exception = type(name, (RuntimeError,), {"__module__": module})("said the device")
    return error


@pytest.mark.parametrize(
    ("error", "type_", "fatal"),
    [
        (MemoryError(), "out_of_memory", True),
        (named("OutOfMemoryError", "torch"), "out_of_memory", True),
        (named("AcceleratorError", "torch"), "internal", True),
        (named("OutOfMemoryError", "somewhere"), "internal", False),
        (ValueError("odd"), "internal", False),
        (GenerationError("x", type="out_of_memory", stage="decode"), "out_of_memory", True),
        (GenerationError("x", type="server_error", stage="decode"), "server_error", False),
        (GenerationError("x", type="server_error", stage="decode", fatal=True), "server_error", True),
    ],
    ids=repr,
)
def test_errors_are_told_apart(error: Exception, type_: str, fatal: bool) -> None:
    failure, is_fatal = describe(error, stage="generate")
    assert (failure.type, is_fatal) == (type_, fatal)
    assert failure.message
    assert failure.stage == ("decode" if isinstance(error, GenerationError) else "generate")


def test_messages_are_cut_and_valid_text() -> None:
    failure, _ = describe(ValueError("x" * 10_000), stage="generate")
    assert len(failure.message) < MAX_MESSAGE_CHARS + 20
    assert clean("a lone \ud800 surrogate", ()) == "a lone ? surrogate"


@pytest.fixture
def ends() -> Any:
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


def test_orders_are_answered_in_turn_until_close(
    tmp_path: Path, backend: type[ScriptedBackend], ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    near.sendall(encode_line(open_order(tmp_path)) + encode_line(Warmup(setting_id=SETTING.id, request=REQUEST)))
    near.sendall(encode_line(Close()))
    serve(far, Worker())
    lines = near.makefile("rb").readlines()
    assert [type(decode_answer(line)) for line in lines] == [Opened, Done]
    assert backend.closed == 1


def test_a_driver_that_hangs_up_ends_the_worker(
    tmp_path: Path, backend: type[ScriptedBackend], ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    near.sendall(encode_line(open_order(tmp_path)))
    near.close()
    serve(far, Worker())
    assert backend.closed == 1


def spawn(parent_pid: int, end: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kreabench.execution.worker", str(end.fileno()), str(parent_pid)]
    return subprocess.Popen(command, pass_fds=[end.fileno()])


def test_a_worker_whose_driver_is_gone_already_does_not_start(ends: tuple[socket.socket, socket.socket]) -> None:
    _, far = ends
    with spawn(os.getppid(), far) as process:
        assert process.wait(30) == 1


def test_a_worker_ends_in_peace_when_its_driver_hangs_up(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    with spawn(os.getpid(), far) as process:
        far.close()
        near.close()
        assert process.wait(30) == 0


def proc_field(path: Path, name: str) -> str:
    return next(line.split(":\t")[1] for line in path.read_text().splitlines() if line.startswith(f"{name}:"))


def test_a_worker_is_set_apart_from_the_driver(tmp_path: Path) -> None:
    """A session of its own, no Ctrl-C, the first to go when memory runs out, and no line passed on to its children."""
    records = start(make_group(), tmp_path)
    next(records)
    (pid,) = worker_pids()
    process = Path("/proc") / str(pid)
    assert os.getsid(pid) == pid
    assert (process / "oom_score_adj").read_text().strip() == "500"
    assert int(proc_field(process / "status", "SigIgn"), 16) & (1 << (signal.SIGINT - 1))
    descriptor = (process / "cmdline").read_bytes().split(b"\0")[-3].decode()
    assert int(proc_field(process / "fdinfo" / descriptor, "flags"), 8) & os.O_CLOEXEC
    records.close()
    wait_until(lambda: is_gone(pid), "the worker ends")


def test_messages_larger_than_the_line_get_through(tmp_path: Path) -> None:
    group = make_group(prompts=1)
    request = replace(group.requests[0], prompt="x" * 3_000_000)
    group = replace(group, requests=(request,))
    assert [record.kind for record in start(group, tmp_path)] == ["load", "sample"]
