"""Runs of every schema version that there ever was are still read, or one clear error says what to do."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from kreabench import pipeline
from kreabench.core.errors import ExitCode
from kreabench.core.records import READABLE_VERSIONS, SCHEMA_VERSION
from kreabench.rundir.directory import RunDirectory
from tests.command_support import Call, command_line

OLD_RUNS = Path(__file__).parent / "fixtures" / "old_runs"
READABLE = sorted(READABLE_VERSIONS)
UNREADABLE = sorted(set(range(1, SCHEMA_VERSION + 1)) - READABLE_VERSIONS)
COMMANDS = ("show", "report", "gate", "compare", "recommend", "resume", "score")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    return command_line(capfd)


def copy_of(version: int, folder: Path) -> Path:
    return Path(shutil.copytree(OLD_RUNS / f"v{version}", folder / f"v{version}"))


def test_there_is_one_of_each_version() -> None:
    found = {json.loads(file.read_bytes())["schema_version"]: file for file in OLD_RUNS.glob("*/run.json")}
    assert sorted(found) == list(range(1, SCHEMA_VERSION + 1))
    assert all(file.parent.name == f"v{version}" for version, file in found.items())
    assert sum(file.stat().st_size for file in OLD_RUNS.rglob("*") if file.is_file()) < 200_000


@pytest.mark.parametrize("version", READABLE)
def test_what_was_measured_is_read(version: int) -> None:
    run = RunDirectory.open(OLD_RUNS / f"v{version}")
    assert run.info.schema_version == version
    samples = list(run.samples().values())
    assert len(samples) == 8
    failed = [sample.error for sample in samples if sample.error]
    assert [(error.type, error.transient) for error in failed] == [("content_policy", False)] * 2
    delivered = [sample for sample in samples if sample.status == "ok"]
    assert all(sample.timings is not None and sample.timings.end_to_end_s > 0 for sample in delivered)
    bought = [sample for sample in delivered if sample.hosted is not None]
    assert [(sample.cost.usd, sample.cost.basis) for sample in bought] == [(0.025, "billed")] * 4
    for sample in delivered:
        for image in sample.images:
            assert hashlib.sha256((run.path / image.path).read_bytes()).hexdigest() == image.sha256
    assert {score.metric for score in run.scores()} >= {"psnr", "ssim"}


@pytest.mark.parametrize("version", READABLE)
def test_every_command_works_on_it(call: Call, tmp_path: Path, version: int) -> None:
    path = str(copy_of(version, tmp_path))
    code, text = call("show", path)
    assert code == ExitCode.DONE
    assert "6 of 8 samples delivered, 2 failed" in text
    assert ("written in an older form" in " ".join(text.split())) == (version < SCHEMA_VERSION)
    assert "content_policy" in text
    code, text = call("gate", path, path)
    assert code in (ExitCode.DONE, ExitCode.INCONCLUSIVE), text
    code, text = call("compare", path, path)
    assert code == ExitCode.DONE
    code, text = call("recommend", path)
    assert code in (ExitCode.DONE, ExitCode.INCONCLUSIVE, ExitCode.REGRESSION), text


@pytest.mark.parametrize("version", READABLE)
def test_it_is_reported(call: Call, tmp_path: Path, version: int) -> None:
    code, _ = call("report", str(copy_of(version, tmp_path)), "--out", "page")
    assert code == ExitCode.DONE
    rows = (tmp_path / "page/samples.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) >= 9
    assert r"fake\_local" in (tmp_path / "page/report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", READABLE)
def test_it_is_gone_on_with(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """Nothing is left to draw; with a record lost it is drawn again, and the run is of today's form then."""
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")
    path = copy_of(version, tmp_path)
    journal = path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    code, text = call("resume", str(path))
    assert code == ExitCode.FAILED_SAMPLES, text
    assert journal.read_bytes() == b"".join(lines)
    lost = next(line for line in lines if b'"kind":"sample"' in line and b'"status":"ok"' in line)
    before = json.loads(lost)
    journal.write_bytes(b"".join(line for line in lines if line != lost))
    code, text = call("resume", str(path))
    assert code == ExitCode.FAILED_SAMPLES, text
    again = RunDirectory.open(path)
    assert again.info.schema_version == SCHEMA_VERSION
    drawn = again.samples()[before["request_id"]]
    assert [image.sha256 for image in drawn.images] == [image["sha256"] for image in before["images"]]


@pytest.mark.parametrize("version", UNREADABLE)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_too_old_says_what_to_do(call: Call, tmp_path: Path, version: int, command: str) -> None:
    path = copy_of(version, tmp_path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    code, text = call(command, str(path), *([str(path)] if command in ("gate", "compare") else []))
    assert code == ExitCode.USAGE
    assert f"schema version {version}" in text
    assert "2, 3 and 4" in text
    assert "draw it anew" in text
    assert "newer" not in text
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
