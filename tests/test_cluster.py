"""What can be known of a cluster without one: refusals, and how a worker that is far away answers or is lost."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kreabench.core.engine_spec import RaySpec
from kreabench.core.errors import ConfigError, EnvironmentProblem, StorageError
from kreabench.execution.beside import side_by_side
from kreabench.execution.cluster.connect import connect, nodes, seats_of
from kreabench.execution.cluster.engine import RayEngine
from kreabench.execution.cluster.worker import REACH_S, ClusterWorker
from kreabench.execution.engine import GroupWork
from kreabench.execution.messages import Close, Generate, Opened, encode_line
from kreabench.execution.supervise import Death
from tests.engine_support import admit_all, engine_spec
from tests.hosted_support import hosted_group
from tests.support import make_group, make_request, make_target

SPEC = RaySpec(
    address=None, workers=None, gpus_per_worker=1, cpus_per_worker=2, accelerator_type=None, start_timeout_s=5.0
)
ORDER = Generate(setting_id="s", request=make_request())


def spec(**changes: Any) -> RaySpec:
    return replace(SPEC, **changes)


class FakeRay:
    """As much of the module as connecting needs."""

    def __init__(self, *resources: dict[str, float], error: Exception | None = None) -> None:
        self._resources, self._error = resources, error
        self.asked: dict[str, Any] = {}

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.asked = options
        signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray does
        if self._error is not None:
            raise self._error

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 1000.0, "GPU": 1000.0}}
        return [{"Alive": True, "Resources": one} for one in self._resources] + [dead]


def refusal(monkeypatch: pytest.MonkeyPatch, ray: Any, **changes: Any) -> str:
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(EnvironmentProblem) as caught:
        connect(spec(**changes))
    assert len(caught.value.problems) == 1
    return str(caught.value)


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """An address where one connection is answered with `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pip install 'kreabench[ray]'" in refusal(monkeypatch, None)


def test_an_address_where_nothing_runs_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    assert "Connection refused" in refusal(monkeypatch, FakeRay(), address=address)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_address_where_something_else_runs_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with listening(answer) as address:
        assert "found something else; expected the address" in refusal(monkeypatch, FakeRay(), address=address)


def test_an_address_where_grpc_is_spoken_is_handed_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay({"CPU": 8.0, "GPU": 2.0})
    monkeypatch.setitem(sys.modules, "ray", ray)
    with listening(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:
        assert connect(spec(address=address)) is ray
    assert ray.asked == {"address": address, "log_to_driver": False, "logging_level": "error"}


MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.40.0
    Python: 3.10.1
This process on node 10.0.0.1 was started with:
    Ray: 2.60.0"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(MISMATCH), "The cluster was started with: Ray: 2.40.0 Python: 3.10.1"),
        (RuntimeError("InvalidAuthToken"), "RAY_AUTH_MODE"),
        (ConnectionError("Could not find any running Ray instance."), "ray start --address"),
    ],
)
def test_a_cluster_that_does_not_take_us_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    assert expected in refusal(monkeypatch, FakeRay(error=error), address="auto")


@pytest.mark.parametrize(
    ("resources", "changes", "expected"),
    [
        ([{"CPU": 8.0}], {}, "a cluster without GPUs"),
        ([{"CPU": 1.0, "GPU": 4.0}], {}, "at most 4 GPUs and 1 CPUs on a node; expected 1 GPUs and 2 CPUs"),
        (
            [
                {"CPU": 8.0, "GPU": 1.0, "accelerator_type:H100": 1.0},
                {"CPU": 8.0, "GPU": 1.0, "accelerator_type:A100": 1.0},
            ],
            {},
            "GPUs of 2 kinds; expected one of A100, H100",
        ),
        (
            [{"CPU": 8.0, "GPU": 1.0, "accelerator_type:H100": 1.0}],
            {"accelerator_type": "H200"},
            "Kinds of GPU there: H100",
        ),
    ],
)
def test_a_cluster_without_room_is_refused(
    monkeypatch: pytest.MonkeyPatch, resources: list[dict[str, float]], changes: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(monkeypatch, FakeRay(*resources), **changes)


def test_nothing_is_handed_to_the_cluster_and_signals_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay({"CPU": 8.0, "GPU": 2.0})
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("FAL_KEY", "a-secret")
    before = signal.getsignal(signal.SIGTERM)
    connect(SPEC)
    assert signal.getsignal(signal.SIGTERM) is before
    assert ray.asked.keys() == {"address", "log_to_driver", "logging_level", "include_dashboard"}
    assert "a-secret" not in repr(ray.asked)


def test_room_is_counted_by_node() -> None:
    assert seats_of(SPEC, {"CPU": 9.0, "GPU": 3.0}) == 3
    assert seats_of(SPEC, {"CPU": 3.0, "GPU": 3.0}) == 1
    assert seats_of(SPEC, {"CPU": 3.0}) == 0
    assert seats_of(spec(gpus_per_worker=0), {"CPU": 5.0}) == 2
    assert seats_of(spec(accelerator_type="H100"), {"CPU": 9.0, "GPU": 3.0}) == 0


def test_a_cluster_that_is_gone_is_no_cluster_without_nodes() -> None:
    def gone() -> None:
        raise ConnectionError("no head")

    with pytest.raises(EnvironmentProblem, match="a cluster that answers"):
        nodes(SimpleNamespace(nodes=gone))


@pytest.mark.parametrize(("gpus", "device", "fits"), [(1, "cpu", "auto or cuda"), (0, "cuda", "auto or cpu")])
def test_targets_that_draw_elsewhere_are_refused_before_anything_is_asked(
    tmp_path: Any, gpus: int, device: str, fits: str
) -> None:
    group = make_group(target=make_target(backend="diffusers", options={"device": device}))
    engine = RayEngine(engine_spec(kind="ray", ray=spec(gpus_per_worker=gpus)))
    with pytest.raises(ConfigError, match=f"expected {fits}, as engine.gpus_per_worker={gpus}"):
        list(engine.run([GroupWork(group=group, pending=group.requests)], tmp_path, admit_all))


def test_hosted_targets_are_asked_beside_a_cluster_whose_workers_do_not_draw_on_processors(tmp_path: Any) -> None:
    groups = [make_group(), hosted_group(tmp_path)]
    work = [GroupWork(group=group, pending=group.requests) for group in groups]
    assert side_by_side(engine_spec(kind="ray", ray=SPEC), work, 2) == (work, [])
    assert side_by_side(engine_spec(kind="ray", ray=spec(gpus_per_worker=0)), work, 64) == ([], work)


class FakePlace:
    """A seat without an actor."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self.lost = 0

    def usable(self) -> bool:
        return not self.lost

    def lose(self) -> None:
        self.lost += 1

    def call(self, order: bytes, limit_s: float) -> Future[Any]:
        return self.future


def begun(now: list[float], order: Any = ORDER) -> tuple[FakePlace, ClusterWorker]:
    place = FakePlace()
    worker = ClusterWorker(place, clock=lambda: now[0])
    worker.begin(order, 10.0)
    assert worker.poll() is None
    return place, worker


def test_an_answer_from_far_away_is_that_of_the_worker() -> None:
    place, worker = begun([0.0])
    answer = Opened(started_utc="now", load_s=1.0, identity={"device": "cpu"})
    place.future.set_result({"answer": encode_line(answer)})
    assert worker.poll() == answer
    assert (worker.alive(), place.lost) == (True, 0)


def test_the_death_of_a_process_leaves_its_seat() -> None:
    place, worker = begun([0.0])
    place.future.set_result({"death": {"elapsed_s": 1.0, "limit_s": None, "signal": 9, "exit_code": None}})
    assert worker.poll() == Death(elapsed_s=1.0, limit_s=None, signal=9, exit_code=None)
    worker.stop()
    assert place.lost == 0


def test_whatever_ray_raises_the_seat_is_lost() -> None:
    now = [0.0]
    place, worker = begun(now)
    now[0] = 3.0
    place.future.set_exception(RuntimeError("ActorUnavailableError"))
    death = worker.poll()
    assert isinstance(death, Death)
    assert (death.elapsed_s, death.signal, place.lost) == (3.0, None, 1)
    assert "its node or its actor was lost" in death.reason
    assert not worker.alive()


def test_a_node_that_falls_silent_is_given_up_after_a_while() -> None:
    now = [0.0]
    place, worker = begun(now)
    now[0] = 10.0 + REACH_S - 0.1
    assert worker.poll() is None
    assert worker.left_s() == pytest.approx(0.1)
    now[0] += 0.2
    death = worker.poll()
    assert isinstance(death, Death)
    assert "no answer from its node" in death.reason
    assert place.lost == 1


def test_a_node_that_cannot_write_the_log_is_a_storage_error() -> None:
    place, worker = begun([0.0])
    place.future.set_result({"refused": ("the disk is full", "Free some space.")})
    with pytest.raises(StorageError, match="the disk is full"):
        worker.poll()


def test_a_worker_that_was_let_go_keeps_its_seat_and_one_that_is_busy_does_not() -> None:
    place, worker = begun([0.0], Close())
    place.future.set_result({"death": {"elapsed_s": 0.0, "limit_s": None, "signal": None, "exit_code": 0}})
    assert isinstance(worker.poll(), Death)
    worker.stop()
    assert place.lost == 0
    place, worker = begun([0.0])
    worker.stop()
    assert place.lost == 1
