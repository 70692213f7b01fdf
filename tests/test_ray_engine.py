"""Load groups on a real Ray cluster of this machine: the same run as with any engine, and what may go wrong there."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from kreabench.core.engine_spec import EngineSpec, RaySpec
from kreabench.core.errors import EnvironmentProblem, StorageError
from kreabench.core.planned import LoadGroup
from kreabench.core.records import Record, SampleRecord
from kreabench.execution.cluster.connect import connect
from kreabench.execution.cluster.crew import Crew
from kreabench.execution.cluster.seats import ClusterSeats
from kreabench.execution.engine import GroupWork
from kreabench.execution.local import LocalEngine
from kreabench.execution.pending import pending_work
from kreabench.execution.table import engine_for
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.pictures import read_unchanged
from tests.engine_support import (
    admit_all,
    engine_spec,
    failures,
    faulty_target,
    is_gone,
    kinds,
    loads,
    samples,
    wait_until,
)
from tests.support import make_group, make_plan, make_run
from tests.test_local_devices import light_group

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'kreabench[ray]'")
# Its own files and sockets are closed when it pleases; what it says of its next version is not ours to put right.
pytestmark = [pytest.mark.filterwarnings("ignore:::ray"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

MARK = "KREABENCH_TEST_CLUSTER"
"""In the environment of everything that this process starts: others may have a cluster too."""
SECRET = "a-key-that-nobody-may-see"
with socket.create_server(("127.0.0.1", 0)) as server:
    STORE_PORT: int = server.getsockname()[1]
STORE_KEYS = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{STORE_PORT}",
    "AWS_ACCESS_KEY_ID": "AKIDTESTS",
    "AWS_SECRET_ACCESS_KEY": "a-key-to-the-store",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""In the environment in which the cluster is started, as where `ray start` runs."""
SPEC = RaySpec(
    address=None, workers=1, gpus_per_worker=0, cpus_per_worker=1, accelerator_type=None, start_timeout_s=60.0
)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[str]:
    """The folder of a cluster of one node with three processors; its workers are those of this checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("FAL_KEY", SECRET)
        patch.setenv(MARK, str(os.getpid()))
        for name, value in STORE_KEYS.items():
            patch.setenv(name, value)
        context = ray.init(
            address="local", num_cpus=3, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="error"
        )
        # What Ray starts it ends, but never waits for: Python would complain of each at the end of all tests.
        started = [one.process for many in ray._private.worker._global_node.all_processes.values() for one in many]
        yield context.address_info["session_dir"]
        ray.shutdown()
        for process in started:
            process.wait(30)


def ray_spec(**changes: Any) -> EngineSpec:
    return engine_spec(kind="ray", ray=replace(SPEC, **changes))


def draw(groups: Sequence[LoadGroup], run_path: Path, **changes: Any) -> list[Record]:
    work = [GroupWork(group=group, pending=group.requests) for group in groups]
    with closing(engine_for(ray_spec(**changes)).run(work, run_path, admit_all)) as batches:
        return [record for batch in batches for record in batch]


def workers() -> list[psutil.Process]:
    """Worker processes of this test, wherever they hang in the tree of processes."""
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        if "kreabench.execution.worker" in (process.info["cmdline"] or []) and not is_gone(process.pid):
            with suppress(psutil.Error):  # it has ended meanwhile
                if process.environ().get(MARK) == str(os.getpid()):
                    found.append(process)
    return found


def all_gone() -> None:
    wait_until(lambda: not workers(), "workers end with their run")


def test_a_run_begun_on_the_cluster_ends_on_this_machine_as_if_it_had_begun_there(tmp_path: Path) -> None:
    groups = [light_group("one", 12), light_group("two", 6)]
    plan = make_plan(*groups)
    run = make_run(tmp_path / "run")
    with run.writer() as writer:
        with closing(engine_for(ray_spec(workers=2)).run(pending(plan, run), run.path, admit_all)) as batches:
            for batch in batches:
                writer.append(*batch)
                if len(run.samples()) >= 7:
                    break
        left = sum(len(work.pending) for work in pending(plan, run))
        assert 0 < left <= 11
        with closing(LocalEngine(engine_spec()).run(pending(plan, run), run.path, admit_all)) as batches:
            for batch in batches:
                writer.append(*batch)
    records = list(run.records())
    found = samples(records)  # each request once
    assert found.keys() == {request.id for group in groups for request in group.requests}
    there, here = ([one for one in found.values() if (one.worker is None) == local] for local in (False, True))
    assert len(here) == left
    assert {one.worker for one in there} <= {"node 1 cpu #1", "node 1 cpu #2"}
    alone = make_pictures(groups, tmp_path / "alone")
    assert {id_: [image.sha256 for image in sample.images] for id_, sample in found.items()} == alone
    for sample in there:
        assert all((run.path / image.path).is_file() for image in sample.images)
    all_gone()


def pending(plan: Any, run: RunDirectory) -> list[GroupWork]:
    return pending_work(plan, run.state(), retry_failed=False)


def make_pictures(groups: Sequence[LoadGroup], run_path: Path) -> dict[str, list[str]]:
    work = [GroupWork(group=group, pending=group.requests) for group in groups]
    batches = LocalEngine(engine_spec()).run(work, run_path, admit_all)
    return {
        record.request_id: [image.sha256 for image in record.images]
        for batch in batches
        for record in batch
        if isinstance(record, SampleRecord)
    }


def test_a_poison_request_fails_after_two_crashes_and_takes_no_seat_with_it(tmp_path: Path) -> None:
    group = make_group(target=faulty_target(tmp_path, {"kind": "crash", "prompt_contains": " 1 red"}), prompts=3)
    records = draw([group], tmp_path)
    assert kinds(records) == ["load", "sample", "failure", "load", "sample", "load", "sample"]
    found = samples(records)
    assert [found[request.id].status for request in group.requests] == ["ok", "failed", "ok"]
    failed = found[group.requests[1].id]
    assert failed.error is not None
    assert (failed.attempt, failed.error.type, failed.error.signal) == (2, "crashed", signal.SIGKILL)
    assert {load.worker for load in loads(records)} == {"node 1 cpu #1"}  # the same actor, three processes


def test_the_work_of_a_lost_actor_is_done_by_others(tmp_path: Path) -> None:
    group = light_group("one", 40, latency_s=0.05)
    work = [GroupWork(group=group, pending=group.requests)]
    records: list[Record] = []
    killed = None
    with closing(engine_for(ray_spec(workers=2)).run(work, tmp_path, admit_all)) as batches:
        for batch in batches:
            records += batch
            if killed is None and len(samples(records)) == 5:
                killed = workers()[0].parent()
                assert killed is not None
                killed.kill()
    found = samples(records)
    assert found.keys() == {request.id for request in group.requests}
    assert {sample.status for sample in found.values()} == {"ok"}
    (lost,) = failures(records)
    assert "its node or its actor was lost (Actor" in lost.error.message
    assert found[str(lost.request_id)].attempt == 2
    assert max(Counter(sample.attempt for sample in found.values())) == 2
    all_gone()


def test_stopping_early_leaves_no_process(tmp_path: Path) -> None:
    group = make_group(target=faulty_target(tmp_path, {"kind": "hang"}))
    batches = engine_for(ray_spec()).run([GroupWork(group=group, pending=group.requests)], tmp_path, admit_all)
    assert kinds(list(next(batches))) == ["load"]
    time.sleep(0.1)
    (worker,) = workers()
    began = time.monotonic()
    batches.close()
    assert time.monotonic() - began < 5
    wait_until(lambda: is_gone(worker.pid), "the worker of a stopped run ends")
    assert not list(tmp_path.glob(".seen*"))


def test_a_run_directory_that_nodes_do_not_see_is_refused_before_a_model_loads(tmp_path: Path) -> None:
    """Below /proc/self, the path of one process is not that of another: as with a disk that is not shared."""
    (tmp_path / "run").mkdir()
    group = make_group()
    descriptor = os.open(tmp_path / "run", os.O_RDONLY)
    try:
        hidden = Path(f"/proc/self/fd/{descriptor}")
        (hidden / ".seen0123-0.1.0").touch()  # by a driver that was killed
        work = [GroupWork(group=group, pending=group.requests)]
        with closing(ClusterSeats(connect(SPEC), SPEC, hidden, work)) as seats:
            with pytest.raises(EnvironmentProblem, match=r"run\.dir: found .*, on a node") as caught:
                wait_until(lambda: bool(seats.taken()), "a seat, or a refusal")
            assert "Nothing was loaded" in str(caught.value)
    finally:
        os.close(descriptor)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".cluster.json"]


def test_what_a_node_lacks_is_said_before_a_model_loads(tmp_path: Path) -> None:
    target = faulty_target(tmp_path / "nowhere", {"kind": "error", "times": 1})
    with pytest.raises(EnvironmentProblem, match=r"state_dir, on a node: found .*nowhere; expected an existing folder"):
        draw([make_group(target=target)], tmp_path)


def test_a_cluster_that_others_use_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    hold = ray.remote(num_cpus=3)(type("Hold", (), {"there": lambda self: True})).remote()
    assert ray.get(hold.there.remote())
    try:
        with pytest.raises(EnvironmentProblem, match="no place for a worker within 1 s") as caught:
            draw([make_group()], tmp_path, start_timeout_s=1.0)
    finally:
        ray.kill(hold)
    assert "engine.start_timeout_s" in str(caught.value)


def test_gpus_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="a cluster without GPUs"):
        draw([make_group()], tmp_path, gpus_per_worker=1)


def test_a_model_outlives_its_driver_and_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = light_group("one", 12, load_s=0.5, latency_s=0.05)
    plan, run = make_plan(group), make_run(tmp_path / "run")
    spec = ray_spec(address="auto", keep_s=120.0)  # of a cluster that is not ours to end
    with run.writer() as writer:
        with monkeypatch.context() as killed:
            killed.setattr(Crew, "dismiss", lambda self, actor: None)  # as who is killed says nothing any more
            with closing(engine_for(spec).run(pending(plan, run), run.path, admit_all)) as batches:
                for batch in batches:
                    writer.append(*batch)
                    if len(run.samples()) >= 4:
                        break
        (before,) = workers()
        with closing(engine_for(spec).run(pending(plan, run), run.path, admit_all)) as batches:
            for batch in batches:
                writer.append(*batch)
                assert [one.pid for one in workers()] == [before.pid]
    assert samples(list(run.records())).keys() == {request.id for request in group.requests}
    assert len(loads(list(run.records()))) == 1
    all_gone()


@pytest.mark.filterwarnings("ignore")  # of the server and of botocore, which this process runs beside ours
def test_pictures_come_over_an_s3_server_and_keys_are_in_nothing_that_is_kept(cluster: str, tmp_path: Path) -> None:
    moto_server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=STORE_PORT, verbose=False)
    server.start()
    s3fs.S3FileSystem.clear_instance_cache()
    url = "s3://drawing/night"
    try:
        with pytest.raises(StorageError, match="there is no bucket 'drawing'"):
            draw([light_group("one", 2)], tmp_path, pictures_url=url)
        s3fs.S3FileSystem().mkdir("drawing")
        found = samples(draw([light_group("one", 6)], tmp_path, workers=2, pictures_url=url))
        left = s3fs.S3FileSystem(use_listings_cache=False).find("drawing")
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()
    assert [sample.status for sample in found.values()] == ["ok"] * 6
    assert {read_unchanged(tmp_path, image) != b"" for one in found.values() for image in one.images} == {True}
    assert left == []
    assert ray.get_runtime_context().runtime_env == {}
    kept = [path for root in (Path(cluster), tmp_path) for path in root.rglob("*") if path.is_file()]
    assert [path for path in kept if STORE_KEYS["AWS_SECRET_ACCESS_KEY"].encode() in path.read_bytes()] == []


def test_no_secret_is_in_what_the_cluster_keeps(cluster: str, tmp_path: Path) -> None:
    draw([light_group("one", 2)], tmp_path)
    assert ray.get_runtime_context().runtime_env == {}
    kept = [path for root in (Path(cluster), tmp_path) for path in root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in kept)
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
