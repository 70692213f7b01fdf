"""Weights of this machine, and their hashes, which are remembered as long as they hold."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from kreabench.metrics import weight_hashes
from kreabench.metrics.needs import Need
from kreabench.metrics.weight_hashes import file_sha256
from tests.weights_support import CONTENT, MODEL, SHA256, model_folder, need, refusal


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"KREABENCH_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "huggingface")}


def test_a_local_file_is_its_hash(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(CONTENT)

    located = need(path).locate(environ)

    assert (located.path, located.sha256, located.commit) == (path, SHA256, None)
    assert not need(path).fetchable


def test_a_folder_is_known_by_what_is_loaded_of_it(tmp_path: Path, environ: dict[str, str]) -> None:
    one = need(model_folder(tmp_path / "one", MODEL)).locate(environ).sha256
    moved = need(model_folder(tmp_path / "two", MODEL | {"README.md": b"other"})).locate(environ).sha256
    other = need(model_folder(tmp_path / "three", MODEL | {"config.json": b"{ }"})).locate(environ).sha256

    assert one == moved != other


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.pt", "no such file or folder"), ("x.zip", "another kind"), ("folder", "without .safetensors")],
)
def test_what_is_not_there_or_no_weights_is_said(
    tmp_path: Path, environ: dict[str, str], name: str, words: str
) -> None:
    (tmp_path / "x.zip").write_bytes(b"x")
    model_folder(tmp_path / "folder", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    one = need(tmp_path / name)

    assert words in refusal(lambda: one.locate(environ))
    assert "without a home folder" in refusal(lambda: need("~nobody-of-this-name/x.pt").locate(environ))
    problem = one.problem(environ)
    assert problem is not None
    assert words in problem.found


def test_weights_are_a_need() -> None:
    one: Need = need("hub:owner/name@main")

    assert one.fetchable
    assert one.name == "weights of a model"
    assert not replace(need("x.pt"), source="hub:wrong").fetchable
    assert "@REVISION" in refusal(lambda: need("hub:owner/wrong").locate({}))


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file large and old enough for its hash to be remembered."""
    monkeypatch.setattr(weight_hashes, "_REMEMBERED_BYTES", 100)
    monkeypatch.setattr(weight_hashes, "_SETTLED_NS", -1_000_000_000)
    path = tmp_path / "large.pt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    read: list[Path] = []
    computed = weight_hashes._computed

    def counting(path: Path) -> str:
        read.append(path)
        return computed(path)

    monkeypatch.setattr(weight_hashes, "_computed", counting)
    return read


def test_a_large_file_is_hashed_once(large: Path, hashed: list[Path], environ: dict[str, str]) -> None:
    link = large.with_name("link.pt")
    link.symlink_to(large)

    assert {file_sha256(path, environ) for path in (large, link, large)} == {SHA256}
    assert hashed == [large]


@pytest.mark.parametrize("change", ["content", "in place", "time", "replaced"])
def test_a_changed_file_is_hashed_again(large: Path, hashed: list[Path], environ: dict[str, str], change: str) -> None:
    file_sha256(large, environ)
    before = large.stat()
    if change == "replaced":  # the same size and time, as a copy that keeps times has
        other = large.with_name("other")
        other.write_bytes(CONTENT[::-1])
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(large)
    elif change == "in place":  # the same size, time and inode
        time.sleep(0.02)  # a tick of the disk's clock
        large.write_bytes(CONTENT[::-1])
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "content":
        large.write_bytes(CONTENT[::-1] + b"!")
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    assert file_sha256(large, environ) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert len(hashed) == 2


def test_a_file_changed_just_now_is_not_remembered(
    large: Path, hashed: list[Path], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could change again within one tick of the disk's clock, whatever time it was given."""
    monkeypatch.setattr(weight_hashes, "_SETTLED_NS", 60_000_000_000)
    os.utime(large, (1_000_000_000, 1_000_000_000))
    file_sha256(large, environ)
    file_sha256(large, environ)

    assert len(hashed) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"x": 1}', b'{"x": [1, 2, 3]}', b"\xff"])
def test_a_damaged_table_of_hashes_costs_time_alone(large: Path, environ: dict[str, str], damage: bytes) -> None:
    file_sha256(large, environ)
    table = Path(environ["KREABENCH_CACHE"]) / "weights" / "hashes.json"
    assert list(json.loads(table.read_bytes())) == [str(large)]
    table.write_bytes(damage)

    assert file_sha256(large, environ) == SHA256
    assert list(json.loads(table.read_bytes())) == [str(large)]


def test_many_that_remember_at_once_leave_a_whole_table(large: Path, environ: dict[str, str]) -> None:
    copies = [large.with_name(f"{number}.pt") for number in range(8)]
    for copy in copies:
        shutil.copy2(large, copy)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda path: file_sha256(path, environ), copies * 10)) == {SHA256}

    folder = Path(environ["KREABENCH_CACHE"]) / "weights"
    entries = json.loads((folder / "hashes.json").read_bytes())
    assert {entry[-1] for entry in entries.values()} == {SHA256}
    assert [file.name for file in folder.iterdir()] == ["hashes.json"]


def test_a_cache_that_cannot_be_written_costs_time_alone(large: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_bytes(b"")

    assert file_sha256(large, {"KREABENCH_CACHE": str(blocked)}) == SHA256
