"""Shared storage on a real S3 server, started here on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.remote.commits import commit, newest
from kreabench.remote.lock import hold_remote, holder_of, now_utc
from kreabench.remote.pull import pull
from kreabench.remote.push import push
from kreabench.remote.stores import Store, open_store
from kreabench.remote.urls import parse_url
from tests.storage_support import contents, draw, drawn_run, stored_sample
from tests.support import ROOT

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the server and of botocore, which this process runs beside ours

SECRET = "a-secret-that-nobody-may-see"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new bucket, and keys for it in the environment."""
    import boto3
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"runs-{abs(hash(request.node.name))}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield name
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def store(bucket: str) -> Store:
    return open_store(parse_url(f"s3://{bucket}/runs/demo"))


def test_a_run_goes_there_and_comes_back(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run", 30)
    assert push(run.path, store).exclusive
    assert push(run.path, store).sent_objects == 0
    draw(run, [40])
    push(run.path, store)
    pull(store, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(run.path)


def test_of_two_writers_one_creates(store: Store) -> None:
    store.create("manifests/00000001.json", b"first")
    with pytest.raises(FileExistsError):
        store.create("manifests/00000001.json", b"second")
    store.create("manifests/00000001.json", b"first")  # a repeated try, of which the first answer was lost
    assert store.get("manifests/00000001.json") == b"first"
    with pytest.raises(FileNotFoundError):
        store.get("manifests/00000002.json")
    assert store.get("manifests/00000001.json", 1, 3) == b"ir"
    store.delete(["manifests/00000001.json", "manifests/00000001.json"])
    assert store.sizes() == {}


def test_a_second_driver_is_told_who_pushes(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    with hold_remote(store), pytest.raises(RunDirectoryError, match=rf"being pushed to by process {os.getpid()} on"):
        push(run.path, store)
    assert holder_of(store, now_utc()) is None
    push(run.path, store)


def test_a_commit_that_another_made_first_is_refused(store: Store, tmp_path: Path) -> None:
    push(drawn_run(tmp_path / "run").path, store)
    head = newest(store)
    assert head is not None
    with pytest.raises(RunDirectoryError, match=r"another push .* was finished meanwhile"):
        commit(store, head.number, replace(head.manifest, pushed_utc="later"))


def test_a_killed_push_goes_on_at_once(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    samples = [stored_sample(run.path, number, os.urandom(600_000)) for number in range(100, 106)]  # each an object
    with run.writer() as writer:
        writer.append(*samples)
    command = [sys.executable, "-c", PUSH_AND_DIE, str(run.path), str(store.location)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    assert subprocess.run(command, env=environ, timeout=120, check=False).returncode == -signal.SIGKILL
    with pytest.raises(RunDirectoryError, match=r"pushed in part: \d+ objects"):
        pull(store, tmp_path / "copy")
    done = push(run.path, store)  # the lock of a dead process of this machine holds nobody up
    assert (done.found_objects, done.sent_objects) == (4, 6)
    pull(store, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(run.path)


PUSH_AND_DIE = """
import os, signal, sys
from pathlib import Path
from kreabench.remote import push
from kreabench.remote.stores import open_store
from kreabench.remote.urls import parse_url
push.WORKERS = 1
store = open_store(parse_url(sys.argv[2]))
put, sent = store.put, []
def dying_put(name, content):
    put(name, content)
    sent.append(name)
    if len(sent) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
store.put = dying_put
push.push(Path(sys.argv[1]), store)
"""


def test_no_such_bucket(tmp_path: Path) -> None:
    store = open_store(parse_url("s3://nobody-made-this/runs/demo"))
    run = drawn_run(tmp_path / "run")
    for act in (lambda: push(run.path, store), lambda: pull(store, tmp_path / "copy")):
        with pytest.raises(StorageError, match="there is no bucket 'nobody-made-this'"):
            act()


def test_no_credentials(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StorageError, match=r"no credentials for s3://.*\n  Set AWS_PROFILE") as caught:
        push(drawn_run(tmp_path / "run").path, store)
    assert SECRET not in str(caught.value)


def test_an_unreachable_store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun_s = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot reach the store of s3://.* at http://127.0.0.1:9") as caught:
        push(drawn_run(tmp_path / "run").path, store)
    assert time.monotonic() - begun_s < 60
    assert "AWS_ENDPOINT_URL" in str(caught.value)
    assert SECRET not in str(caught.value)
