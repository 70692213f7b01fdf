"""What comes from a store is untrusted: no name in it leads out of the folder, and no URL holds a secret."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kreabench.cli.main import main
from kreabench.core.errors import ConfigError, ExitCode, KreabenchError, RunDirectoryError
from kreabench.remote.commits import newest
from kreabench.remote.manifest import Manifest, check_path, decode_manifest, encode_manifest, manifest_name
from kreabench.remote.pull import pull
from kreabench.remote.push import push
from kreabench.remote.stores import Store
from kreabench.remote.urls import is_url, parse_url, split_selection
from kreabench.rundir.batches import BATCH_FILE
from tests.storage_support import contents, drawn_run, folder_store
from tests.support import make_image_record, make_request, make_sample

HOSTILE = (
    "../escaped.png",
    "images/../../escaped.png",
    "/tmp/escaped.png",
    "images//escaped.png",
    "images/./escaped.png",
    "images/a/..",
    "images\\..\\escaped.png",
    "images/.hidden",
    "images/a\x00b.png",
    "images/a\nb.png",
    "images/a/b/c/d/e.png",
    "images",
    "images/",
    "",
    "driver.lock",
    ".bashrc",
    "C:/escaped.png",
    "journal.jsonl",
    "images/" + "a" * 300,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = folder_store(tmp_path / "store")
    push(drawn_run(tmp_path / "run").path, store)
    return store


def tampered(store: Store, change: Any) -> None:
    """Commit the last manifest, changed by `change` of its JSON."""
    head = newest(store)
    assert head is not None
    content = msgspec.json.decode(encode_manifest(head.manifest))
    change(content)
    store.create(manifest_name(head.number + 1), msgspec.json.encode(content))


@pytest.mark.parametrize("path", HOSTILE)
def test_no_path_of_a_manifest_leaves_the_folder(store: Store, tmp_path: Path, path: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["files"][0]["path"] = path

    before = sorted(tmp_path.rglob("*"))
    tampered(store, change)
    with pytest.raises(
        RunDirectoryError, match=r"is damaged: .*(no file of a run directory|named twice|a file and a folder)"
    ):
        pull(store, tmp_path / "copy")
    assert {file for file in tmp_path.rglob("*") if file not in before} <= {
        tmp_path / "store" / "manifests" / "00000002.json"
    }


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_a_manifest_without_what_makes_a_run_is_damaged(store: Store, tmp_path: Path, name: str) -> None:
    tampered(store, lambda content: content.update(files=[one for one in content["files"] if one["path"] != name]))
    with pytest.raises(RunDirectoryError, match=f"{name} is not in it"):
        pull(store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_run_whose_parts_are_out_is_not_pushed(store: Store, tmp_path: Path) -> None:
    batch = tmp_path / "run" / "parts" / "1"
    batch.mkdir(parents=True)
    (batch / BATCH_FILE).write_text("{}")
    with pytest.raises(RunDirectoryError, match="given out to jobs"):
        push(tmp_path / "run", store)


@pytest.mark.parametrize("command", ["score", "resume", "merge"])
def test_a_url_where_a_folder_is_asked_for_is_to_be_pulled(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "file:///srv/runs/demo"])
    assert caught.value.code == ExitCode.USAGE
    assert "kreabench pull file:///srv/runs/demo" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["journals"][0].update(name="../journal.jsonl"),
        lambda content: content["journals"][0]["parts"][0].update(sha256="../../x"),
        lambda content: content["objects"][0].update(name="../../../etc/passwd"),
        lambda content: content["objects"][0].update(name="blobs/" + "g" * 64),
        lambda content: content["objects"][0].update(size_bytes=1 << 60),
        lambda content: content["files"][0].update(object=99),
        lambda content: content["files"][0].update(object=-1),
        lambda content: content["files"][0].update(offset=-5),
        lambda content: content["files"][0].update(offset=1 << 40),
        lambda content: content["files"].append(content["files"][0]),
        lambda content: content.update(files="all"),
        lambda content: content.pop("plan_hash"),
    ],
)
def test_a_tampered_manifest_is_refused(store: Store, tmp_path: Path, change: Any) -> None:
    tampered(store, change)
    with pytest.raises(RunDirectoryError, match="is damaged"):
        pull(store, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_file_below_a_file_ends_in_an_error(store: Store, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["files"][0]["path"] = content["files"][1]["path"] + "/inside.png"

    tampered(store, change)
    with pytest.raises(KreabenchError, match=r"cannot write|is damaged"):
        pull(store, tmp_path / "copy")
    assert not (tmp_path / "copy" / "run.json").exists()


def test_a_link_in_the_folder_is_not_followed(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    copy = tmp_path / "copy"
    pull(store, copy)
    for file in sorted((copy / "images").rglob("*.png")):
        file.unlink()
    (copy / "images" / "setting").rmdir()
    (copy / "images" / "setting").symlink_to(outside)
    with pytest.raises(RunDirectoryError, match="leads out of"):
        pull(store, copy)
    assert list(outside.iterdir()) == []


def test_a_picture_that_is_a_link_is_not_written_through(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "precious.txt"
    outside.write_text("precious")
    copy = tmp_path / "copy"
    pull(store, copy)
    link = copy / "images" / "setting" / "prompt-s0.png"
    link.unlink()
    link.symlink_to(outside)
    pull(store, copy)
    assert outside.read_text() == "precious"
    assert not link.is_symlink()
    assert contents(copy) == contents(tmp_path / "run")


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hostname", "images/../../secret.txt"])
def test_a_hostile_run_sends_nothing_that_is_outside(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    run = drawn_run(tmp_path / "run")
    with run.writer() as writer:
        writer.append(make_sample(make_request(seed=99), images=(make_image_record(path=path),)))
    with pytest.raises(RunDirectoryError, match="is no file of a run directory"):
        push(run.path, folder_store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_a_link_out_of_a_run_is_not_sent(tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    picture = run.path / "images" / "setting" / "prompt-s1.png"
    content = picture.read_bytes()
    (tmp_path / "elsewhere.png").write_bytes(content)
    picture.unlink()
    picture.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(RunDirectoryError, match=r"prompt-s1\.png"):
        push(run.path, folder_store(tmp_path / "store"))


@given(st.binary(max_size=300))
def test_no_bytes_are_a_manifest_but_a_typed_error(content: bytes) -> None:
    with pytest.raises(RunDirectoryError):
        decode_manifest(content, "s3://bucket/run/manifests/00000001.json")


@given(st.text(max_size=60))
def test_a_path_that_is_taken_stays_inside(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    root = Path("/srv/runs/demo")
    assert (root / path).resolve().is_relative_to(root)
    assert path.isascii()
    assert path.isprintable()


def test_a_manifest_reads_as_it_was_written(store: Store) -> None:
    head = newest(store)
    assert head is not None
    assert {field.name for field in dataclasses.fields(Manifest)} >= {"journals", "objects", "files"}
    assert decode_manifest(encode_manifest(head.manifest), "here") == head.manifest


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:s3cr3t@bucket/run", "without user name, key, password or signature"),
        ("s3://AKIA0123:wJalr/K7s3cr3t/bPx@bucket/run", "without user name, key, password or signature"),
        ("s3://AKIA0123:wJalr/K7s3cr3t", "without user name, key, password or signature"),
        ("gs://bucket/run?X-Amz-Signature=s3cr3t", "without user name, key, password or signature"),
        ("https://user:s3cr3t@host/run", "without user name"),
        ("ftp://host/run", "a URL such as s3://"),
        ("s3://bucket", "a URL such as s3://"),
        ("s3://bucket/../other", "a URL such as s3://"),
        ("s3://bucket//run", "a URL such as s3://"),
        ("s3://bucket/run?versionId=1", "without user name, key, password or signature"),
        ("simplecache::s3://bucket/run", "a URL such as s3://"),
        ("s3://bucket/a::b", "a URL such as s3://"),
        ("file://relative/run", "file:// and an absolute path"),
        ("file:///srv/../etc", "file:// and an absolute path"),
        ("runs/demo", "a URL such as s3://"),
    ],
)
def test_what_is_no_url_is_told_without_its_secret(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_urls_and_selections() -> None:
    assert str(parse_url("gcs://bucket/runs/demo/")) == "gs://bucket/runs/demo"
    assert parse_url("file:///srv/runs/demo").path == "/srv/runs/demo"
    assert split_selection("s3://bucket/run:acceleration=high,steps=8") == (
        "s3://bucket/run",
        "acceleration=high,steps=8",
    )
    assert split_selection("s3://bucket/run:reference") == ("s3://bucket/run", "reference")
    assert split_selection("s3://bucket/run:7") == ("s3://bucket/run:7", "")
    assert split_selection("s3://bucket/run") == ("s3://bucket/run", "")
    assert is_url("S3://bucket/run")
    assert not is_url("runs/a:b")
