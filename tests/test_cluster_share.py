"""Workers that see no file system of the driver's: their pictures and logs come over a URL, verified."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.config.resolve import load
from kreabench.core.engine_spec import RaySpec
from kreabench.core.errors import ConfigError, EnvironmentProblem, StorageError
from kreabench.core.records import Record
from kreabench.core.specs import InputImage
from kreabench.execution.clock import utc_now
from kreabench.execution.cluster import scratch, share
from kreabench.execution.cluster.scratch import Scratch
from kreabench.execution.cluster.seats import ClusterSeats
from kreabench.execution.cluster.share import Inbox, Outbox
from kreabench.execution.engine import GroupWork
from kreabench.execution.pool import Pool
from kreabench.remote.stores import Store
from tests.cluster_support import ThreadRay
from tests.engine_support import admit_all, engine_spec, failures, kinds, samples
from tests.storage_support import Watched, contents, folder_store
from tests.support import encode_image, make_image_record, picture
from tests.test_local_devices import light_group

SPEC = RaySpec(
    address=None, workers=1, gpus_per_worker=0, cpus_per_worker=1, accelerator_type=None, start_timeout_s=60.0
)


@pytest.fixture
def nodes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where nodes have their own folders."""
    folder = tmp_path / "nodes"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, nodes_folder: Path) -> Iterator[ThreadRay]:
    ray = ThreadRay(1)
    monkeypatch.setitem(sys.modules, "ray", ray)
    yield ray
    for actor in ray.actors:
        actor.kill()


def draw(
    ray: ThreadRay,
    run_path: Path,
    url: str,
    before: Callable[[str, str], None] | None = None,
    images: tuple[InputImage, ...] = (),
) -> list[Record]:
    """Three requests, drawn by nodes that have no path in common with the run."""
    run_path.mkdir(exist_ok=True)
    group = light_group("one", 3)
    group = replace(group, requests=tuple(replace(request, images=images) for request in group.requests))
    work = [GroupWork(group=group, pending=group.requests)]
    spec = replace(SPEC, pictures_url=url)
    with closing(ClusterSeats(ray, spec, run_path, work)) as seats:
        assert seats._inbox is not None
        if before is not None:
            seats._inbox._store = Watched(seats._inbox._store, before)
        with closing(Pool(work, seats, engine_spec(kind="ray", ray=spec), run_path, admit_all, utc_now)) as pool:
            return [record for batch in pool.batches() for record in batch]


def test_pictures_and_logs_come_over_a_url_and_nothing_stays_there(
    ray: ThreadRay, tmp_path: Path, nodes_folder: Path
) -> None:
    records = draw(ray, tmp_path / "run", f"file://{tmp_path}/shared")
    assert [record.status for record in samples(records).values()] == ["ok"] * 3
    for sample in samples(records).values():
        assert (tmp_path / "run" / sample.images[0].path).stat().st_size == sample.images[0].size_bytes
    (log,) = (tmp_path / "run" / "logs").iterdir()
    assert log.read_text().startswith("--- 20")
    assert contents(tmp_path / "shared") == {}
    assert not [path for path in nodes_folder.rglob("*") if path.suffix == ".png"]


def lose_one(shared: Path, times: int, how: Callable[[Path], Any]) -> Callable[[str, str], None]:
    """Do that to pictures just before the driver reads them, so many times."""
    left = [times]

    def before(call: str, name: str) -> None:
        if call == "get" and name.startswith("blobs/") and left[0]:
            left[0] -= 1
            how(next(shared.glob(f"*/{name}")))

    return before


@pytest.mark.parametrize("how", [Path.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_a_picture_that_is_lost_on_its_way_is_a_failure_and_drawn_again(
    ray: ThreadRay, tmp_path: Path, how: Callable[[Path], Any]
) -> None:
    shared = tmp_path / "shared"
    records = draw(ray, tmp_path / "run", f"file://{shared}", lose_one(shared, 1, how))
    assert kinds(records) == ["load", "failure", "sample", "sample", "sample"]
    (lost,) = failures(records)
    assert (lost.error.type, lost.error.stage, lost.attempt) == ("picture_lost", "store", 1)
    again = samples(records)[str(lost.request_id)]
    assert (again.status, again.attempt, again.timing_valid) == ("ok", 2, False)
    assert (tmp_path / "run" / again.images[0].path).is_file()


def test_one_that_is_lost_twice_has_failed_and_has_no_file(ray: ThreadRay, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    records = draw(ray, tmp_path / "run", f"file://{shared}", lose_one(shared, 2, Path.unlink))
    found = list(samples(records).values())
    assert [sample.status for sample in found] == ["failed", "ok", "ok"]
    assert found[0].error is not None
    assert (found[0].error.type, found[0].images) == ("picture_lost", ())
    assert sum(path.is_file() for path in (tmp_path / "run" / "images").rglob("*")) == 2


def test_a_store_that_refuses_the_driver_ends_the_run_with_its_words(ray: ThreadRay, tmp_path: Path) -> None:
    def refuse(call: str, name: str) -> None:
        if name.startswith("blobs/"):
            raise StorageError("the store is tired", remedy="Wait.")

    with pytest.raises(StorageError, match="the store is tired"):
        draw(ray, tmp_path / "run", f"file://{tmp_path}/shared", refuse)


def hidden_from_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A URL that is another folder for nodes than for the driver."""
    real = share.store_of_run
    monkeypatch.setattr(
        "kreabench.execution.cluster.actor.store_of_run", lambda url, key: real(f"{url}/elsewhere", key)
    )
    return "where nothing of the driver is, on a node"


def read_only_for_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    def refuse(call: str, name: str) -> None:
        if call == "put":
            raise StorageError("s3://x refused the credentials", remedy="Check that these credentials may write.")

    def store(url: str, key: str) -> Store:
        return Watched(real(url, key), refuse)

    real = share.store_of_run
    monkeypatch.setattr("kreabench.execution.cluster.actor.store_of_run", store)
    return "refused the credentials (Check that these credentials may write.), on a node"


def not_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    real = Outbox.unshared

    def unshared(self: Outbox, token: str) -> tuple[str | None, str]:
        said = real(self, token)
        self._store.delete([said[1]])
        return said

    monkeypatch.setattr(Outbox, "unshared", unshared)
    return "which a node has written, is not there for this machine"


@pytest.mark.parametrize("broken", [hidden_from_nodes, read_only_for_nodes, not_read_back])
def test_a_url_over_which_nothing_comes_is_refused_before_a_model_loads(
    ray: ThreadRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., str]
) -> None:
    expected = broken(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"engine\.pictures_url") as caught:
        draw(ray, tmp_path / "run", f"file://{tmp_path}/shared")
    assert expected in str(caught.value)
    assert not (tmp_path / "run" / "logs").exists()


def test_input_pictures_are_brought_to_nodes_and_checked_there(tmp_path: Path) -> None:
    content = encode_image(picture(16, 16))
    name = f"{hashlib.sha256(content).hexdigest()}.png"
    (tmp_path / "run" / "inputs").mkdir(parents=True)
    (tmp_path / "run" / "inputs" / name).write_bytes(content)
    store = folder_store(tmp_path / "shared")
    with closing(Inbox(store, tmp_path / "run", "token-1")):
        outbox = Outbox(store, tmp_path / "node")
        outbox.bring_inputs()
        assert contents(tmp_path / "node") == {f"inputs/{name}": content}
        store.put(f"inputs/{name}", content + b"changed")
        (tmp_path / "node" / "inputs" / name).unlink()
        with pytest.raises(StorageError, match="is not the input picture that was put there"):
            outbox.bring_inputs()
    assert store.sizes() == {}


def test_requests_with_input_pictures_are_drawn_by_nodes_that_have_none(ray: ThreadRay, tmp_path: Path) -> None:
    content = encode_image(picture(16, 16))
    image = InputImage(name="in.png", sha256=hashlib.sha256(content).hexdigest(), format="png", width=16, height=16)
    (tmp_path / "run" / "inputs").mkdir(parents=True)
    (tmp_path / "run" / "inputs" / image.file_name).write_bytes(content)
    records = draw(ray, tmp_path / "run", f"file://{tmp_path}/shared", images=(image,))
    assert [sample.status for sample in samples(records).values()] == ["ok"] * 3


def test_two_requests_that_give_the_same_picture_have_an_object_each(tmp_path: Path) -> None:
    store, content = folder_store(tmp_path / "shared"), encode_image(picture(16, 16))
    sha256 = hashlib.sha256(content).hexdigest()
    images = [
        make_image_record(path=f"images/{name}.png", sha256=sha256, size_bytes=len(content)) for name in ("a", "b")
    ]
    with closing(Inbox(store, tmp_path / "run", "token-1")) as inbox:
        for image in images:
            path = tmp_path / "node" / image.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        Outbox(store, tmp_path / "node").send(images)
        assert sum(name.startswith("blobs/") for name in store.sizes()) == 2
        for image in images:
            inbox._fetch(image)
            assert (tmp_path / "run" / image.path).read_bytes() == content


def test_a_picture_whose_path_leads_out_of_the_run_is_not_written(tmp_path: Path) -> None:
    store = folder_store(tmp_path / "shared")
    content = encode_image(picture(16, 16))
    image = make_image_record(
        path="images/../../out.png", sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    store.put(f"blobs/{image.sha256}", content)
    with (
        closing(Inbox(store, tmp_path / "run", "token-1")) as inbox,
        pytest.raises(ValueError, match="no file of a run"),
    ):
        inbox._fetch(image)
    assert not (tmp_path / "out.png").exists()


def test_folders_of_seats_that_are_gone_are_removed_and_others_are_not(nodes_folder: Path) -> None:
    first = Scratch()
    second = Scratch()
    assert first.path.is_dir()
    os.close(first._lock)  # as when its process ends
    third = Scratch()
    assert sorted(nodes_folder.iterdir()) == sorted([second.path, third.path])
    third.log_path.write_bytes(b"one")
    assert (third.news(), third.news()) == (b"one", b"")
    third.log_path.write_bytes(b"one" + b"x" * (scratch.MAX_LOG_BYTES + 5))
    assert third.news() == b"x" * scratch.MAX_LOG_BYTES
    second.remove()
    third.remove()
    assert list(nodes_folder.iterdir()) == []


@pytest.mark.parametrize("url", ["s3://AKIDNOBODY:a-secret@bucket/x", "memory://a/b", "ftp://a/b", "/mnt/share"])
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.pictures_url: found something else; expected a URL") as caught:
        load(["experiment=trial", "engine=ray", f"engine.pictures_url='{url}'"])
    assert "a-secret" not in str(caught.value)
