"""Disks that are full, read-only or slow: one clear error, nothing measured lost, and `resume` finishes the run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kreabench import pipeline
from kreabench.core.errors import ExitCode
from kreabench.core.records import SampleRecord
from kreabench.rundir.directory import RunDirectory
from tests.command_support import Call, command_line
from tests.disk_support import SlowDisk, enlarge, fill, most_at_once, read_only, small_disk
from tests.engine_support import run, samples
from tests.hosted_support import hosted_group
from tests.support import ROOT, make_group, make_run, make_target

TRIAL = ("experiment=trial", "prompts.limit=2", "run.warmup=0", "metrics=[]", "run.seeds=[0,1]")
"""Eight samples."""
SLOW_S = 0.1


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command line without a report: exit code, all output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")
    return command_line(capfd)


def lines(run_path: Path) -> list[bytes]:
    return (run_path / "journal.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("size", ["64k", "120k"])
def test_a_run_on_a_full_disk_goes_on_once_there_is_room(call: Call, tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        code, text = call("run", *TRIAL, f"run.dir={disk}")
        assert code == ExitCode.USAGE
        assert "Free space" in text
        path = disk / "trial"
        kept = lines(path)
        assert all(line.endswith(b"\n") for line in kept)
        measured = [sample for sample in RunDirectory.open(path).samples().values() if sample.status == "ok"]
        assert measured
        enlarge(disk, "4m")
        code, _ = call("resume", str(path))
        assert code == ExitCode.DONE
        assert lines(path)[: len(kept)] == kept
        found = RunDirectory.open(path)
        delivered = [record for record in found.records() if isinstance(record, SampleRecord) and record.status == "ok"]
        assert Counter(record.request_id for record in delivered) == Counter(list(found.samples()))
        assert len(delivered) == 8
        assert all(found.samples()[sample.request_id] == sample for sample in measured)
        assert all((path / image.path).stat().st_size == image.size_bytes for s in delivered for image in s.images)
        assert not list(path.rglob("*.part"))


@pytest.fixture
def finished(call: Call, tmp_path: Path) -> Path:
    code, _ = call("run", *TRIAL)
    assert code == ExitCode.DONE
    return tmp_path / "runs/trial"


def test_scores_that_a_full_disk_refuses_are_made_later(call: Call, finished: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        finished = finished.rename(tmp_path / "away")
        subprocess.run(["cp", "-r", str(finished), str(disk / "run")], check=True)
        ballast = fill(disk)
        for command in (("score", str(disk / "run"), "--metrics", "psnr"), ("resume", str(disk / "run"))):
            code, text = call(*command)
            assert code == ExitCode.USAGE
            assert "Free space" in text
        code, text = call("show", str(disk / "run"))
        assert code == ExitCode.DONE
        assert "8 of 8" in text
        ballast.unlink()
        code, _ = call("score", str(disk / "run"), "--metrics", "psnr")
        assert code == ExitCode.DONE
        assert sum(score.status == "ok" for score in RunDirectory.open(disk / "run").scores()) == 4


def test_a_report_on_a_full_disk_is_one_clear_error(
    call: Call, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with small_disk(tmp_path / "disk", "100k") as disk:
        code, text = call("report", str(finished), "--out", str(disk / "report"))
        assert code == ExitCode.USAGE
        assert "Free space" in text
        assert not (disk / "report/index.html").exists(), "a page cut short"


def test_what_is_read_only_is_read_and_what_would_write_says_why(call: Call, finished: Path) -> None:
    before = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    with read_only(finished):
        for command in ("show", "recommend", "gate"):
            code, text = call(command, *[str(finished)] * (2 if command == "gate" else 1))
            assert code in (ExitCode.DONE, ExitCode.INCONCLUSIVE, ExitCode.REGRESSION), text
        for command in ("resume", "score"):
            code, text = call(command, str(finished))
            assert code == ExitCode.USAGE
            assert "Read-only file system" in text
            assert "Mount the file system writable" in text
    assert {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()} == before


def test_a_disk_that_becomes_read_only_in_between_loses_nothing(call: Call, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kreabench", "run", *TRIAL, "target.fake_local.options.latency_s=0.3"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    path = tmp_path / "runs/trial"
    try:
        while process.poll() is None and not ((path / "journal.jsonl").exists() and len(lines(path)) >= 3):
            time.sleep(0.01)
        # Files that are open stay writable: a folder in the place of the pictures' is as if these were refused.
        images = path / "images"
        images.rename(path / "moved")
        images.write_bytes(b"")
        text, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == ExitCode.USAGE, text
    assert "Traceback" not in text
    kept = RunDirectory.open(path).samples()
    assert sum(sample.status == "ok" for sample in kept.values()) >= 2
    (failed,) = [sample for sample in kept.values() if sample.error]
    assert failed.error is not None
    assert (failed.error.type, failed.error.transient) == ("storage", True)
    images.unlink()
    (path / "moved").rename(images)
    code, _ = call("resume", str(path))
    assert code == ExitCode.DONE
    after = RunDirectory.open(path).samples()
    assert len(after) == 8
    assert {sample.status for sample in after.values()} == {"ok"}


def test_a_slow_disk_is_in_no_timing_and_costs_each_sample_its_own_fsyncs_alone(tmp_path: Path) -> None:
    slow = SlowDisk(tmp_path / "slow", SLOW_S)
    target = make_target(options={"load_s": 0.0, "latency_s": 0.02, "faults": []})
    drawn = samples(run(make_group(target=target, prompts=5), tmp_path / "run", environ=slow.environ))
    assert [sample.status for sample in drawn.values()] == ["ok"] * 5
    seconds = sorted(sample.timings.end_to_end_s for sample in drawn.values() if sample.timings)
    assert len(seconds) == 5
    assert seconds[2] < SLOW_S, "others are slow where the machine is busy"
    pictures = slow.fsyncs(".png.part")
    assert len(pictures) == 5
    folders = [entry for entry in slow.fsyncs("") if entry not in pictures]
    new_folders = 3  # the run's, that of pictures and that of the setting
    assert len(folders) <= 5 + new_folders


def test_hosted_pictures_wait_for_a_slow_disk_side_by_side(tmp_path: Path) -> None:
    slow = SlowDisk(tmp_path / "slow", SLOW_S)
    (tmp_path / "service").mkdir()
    group = hosted_group(tmp_path / "service", prompts=24, concurrency=8, inference_s=0.1)
    kept = make_run(tmp_path / "run")
    drawn = samples(run(group, kept.path, environ=slow.environ))
    assert [sample.status for sample in drawn.values()] == ["ok"] * 24
    assert len({image.path for sample in drawn.values() for image in sample.images}) == 24
    assert most_at_once(slow.fsyncs(".png.part")) >= 4


def test_a_slow_journal_takes_what_came_together_with_one_fsync(tmp_path: Path) -> None:
    """The driver of many hosted requests, whose every fsync takes 100 ms."""
    slow = SlowDisk(tmp_path / "slow", SLOW_S)
    (tmp_path / "service").mkdir()
    kept = make_run(tmp_path / "run")
    options = {"prompts": 24, "concurrency": 8, "inference_s": 0.1}
    arguments = [str(kept.path), str(tmp_path / "service"), json.dumps(options)]
    subprocess.run(
        [sys.executable, "-m", "tests.hosted_driver", *arguments], cwd=ROOT, env=slow.environ, check=True, timeout=100
    )
    records = list(kept.records())
    assert len(kept.samples()) == 24
    assert len(records) >= 24 * 3  # the intention, the service's name of it, the sample
    assert len(slow.fsyncs("journal.jsonl")) <= len(records) / 2
