"""Commands on URLs: a run is pushed, read where it lies with no more than is needed, and pulled to go on."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kreabench
from kreabench.remote.copies import KEPT_S, copy_of
from kreabench.rundir import elsewhere
from tests import decided_runs
from tests.command_support import run_command
from tests.storage_support import contents

Call = Callable[..., "tuple[int, str, str]"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a finished run with its table and its pictures."""
    return decided_runs.pictured_run(tmp_path_factory.mktemp("drawn") / "trial")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/share/trial"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def call(
    tmp_path: Path, cache: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Run a command line in a folder with `runs/trial`, as a new process would: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KREABENCH_CACHE", str(cache))
    monkeypatch.setattr(elsewhere, "_COPIES", {})
    shutil.copytree(drawn, tmp_path / "runs" / "trial")

    def run(*arguments: str) -> tuple[int, str, str]:
        copy_of.cache_clear()
        return run_command(capfd, *arguments)

    yield run
    copy_of.cache_clear()


def copied(cache: Path) -> set[str]:
    """Files of runs in the cache, without their folders."""
    return {file.name for file in (cache / "runs").rglob("*") if file.is_file() and not file.name.endswith(".lock")}


TABLES = {"run.json", "config.yaml", "journal.jsonl", "scores.jsonl", "samples.parquet"}


def test_push_and_pull_say_what_they_did(call: Call, url: str, tmp_path: Path) -> None:
    code, out, _ = call("push", "runs/trial", url)
    assert code == 0
    assert re.fullmatch(rf"pushed: {re.escape(url)} \(28 pictures; \d+ objects, \d+\.\d MB in \d+\.\d s\)\n", out)
    assert call("push", "runs/trial", url)[1] == f"pushed: {url} (28 pictures; nothing was new)\n"
    code, out, _ = call("pull", url, "runs/copy")
    assert code == 0
    assert out.startswith("pulled: runs/copy (")
    assert contents(tmp_path / "runs" / "copy") == contents(tmp_path / "runs" / "trial")
    assert call("pull", url, "runs/copy")[1] == "pulled: runs/copy (nothing was new)\n"


def test_what_needs_tables_alone_copies_no_picture(call: Call, url: str, cache: Path) -> None:
    call("push", "runs/trial", url)
    code, out, _ = call("show", url)
    assert code == 0
    assert f"more: kreabench recommend {url}" in out
    local = call("recommend", "runs/trial", "--objective", "latency")
    there = call("recommend", url, "--objective", "latency")
    assert there == local
    assert call("gate", f"{url}:reference", "runs/trial:reference")[0] in (0, 3)
    assert call("compare", url)[0] == 0
    assert call("history", "runs/trial", url, "--by", "order")[0] == 0
    assert copied(cache) == TABLES


def test_the_numbers_are_those_of_the_run(call: Call, url: str, tmp_path: Path) -> None:
    call("push", "runs/trial", url)
    call("compare", "runs/trial", "--json", "local.json")
    call("compare", url, "--json", "there.json")
    local, there = (json.loads((tmp_path / name).read_text()) for name in ("local.json", "there.json"))
    for said in (local, there):
        for side in ("base", "candidate"):
            said[side].pop("name")
    assert there == local


@pytest.mark.usefixtures("undrawn")
def test_a_report_brings_the_pictures_that_it_shows(call: Call, url: str, cache: Path, tmp_path: Path) -> None:
    call("push", "runs/trial", url)
    assert call("report", url, "--out", "there")[0] == 0
    assert len(list((cache / "runs").rglob("*.png"))) > 10
    call("report", "runs/trial", "--out", "here")
    assert (tmp_path / "there" / "samples.csv").read_bytes() == (tmp_path / "here" / "samples.csv").read_bytes()
    assert "without its pictures" not in (tmp_path / "there" / "report.md").read_text(encoding="utf-8")


def test_a_copy_serves_again_until_the_run_goes_on(call: Call, url: str, cache: Path, tmp_path: Path) -> None:
    call("push", "runs/trial", url)
    call("show", url)
    (first,) = (cache / "runs").glob("*/*")
    shutil.rmtree(tmp_path / "share" / "trial" / "parts")  # the copy is whole: nothing but the manifest is read
    assert call("show", url)[0] == 0
    shutil.copytree(tmp_path / "runs" / "trial", tmp_path / "runs" / "more")
    with (tmp_path / "runs" / "trial" / "samples.parquet").open("ab") as file:
        file.write(b"x")
    call("push", "runs/trial", url)
    code, _, err = call("show", url)
    assert code == 2
    assert "is gone" in err
    old_s = first.stat().st_mtime - KEPT_S - 1
    os.utime(first, (old_s, old_s))
    shutil.rmtree(tmp_path / "share")
    call("push", "runs/trial", url)
    call("show", url)
    assert not first.exists()


def test_a_run_that_is_not_done_is_pulled_to_go_on(call: Call, url: str, tmp_path: Path) -> None:
    journal = tmp_path / "runs" / "trial" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if '"kind":"sample"' in line)
    journal.write_text("".join(lines[:last]))
    call("push", "runs/trial", url)
    _, out, _ = call("show", url)
    assert f"go on, after `kreabench pull {url} RUN`, with: kreabench resume RUN" in out
    assert ".cache" not in out
    assert str(tmp_path / "cache") not in out


def test_the_library_opens_a_url(call: Call, url: str) -> None:
    call("push", "runs/trial", url)
    run = kreabench.open_run(url)
    assert len(run.samples) == 32
    assert kreabench.recommend(url, objective="latency") is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "{url}"), "no run was pushed to"),
        (("report", "s3://bucket"), "expected a URL such as"),
        (("compare", "s3://key:s3cr3t@bucket/run"), "expected a URL without user name, key, password or signature"),
        (("push", "runs/trial", "runs/elsewhere"), "A folder of this machine is named by file://"),
        (("push", "runs/none", "{url}"), "there is no folder runs/none"),
        (("pull", "{url}", "runs/copy"), "no run was pushed to"),
    ],
)
def test_what_cannot_be_is_one_clear_error(call: Call, url: str, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = call(*(word.format(url=url) for word in arguments))
    assert code == 2
    assert out == ""
    assert said in err
    assert "s3cr3t" not in err
