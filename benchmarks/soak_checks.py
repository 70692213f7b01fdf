"""What a soak looks at: copies taken in the midst of it, processes left behind, and the run at its end."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from kreabench.core.errors import KreabenchError
from kreabench.core.records import FailureRecord, SampleRecord
from kreabench.plan_of_run import plan_of
from kreabench.rundir.directory import RunDirectory
from soak_driver import MARK

GONE_WITHIN_S = 20.0
REPORT_LIMIT_S = 600.0


def orphans_of(mark: str) -> list[int]:
    """Processes with this mark that are still there after a while."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _marked(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def look_at_copy(run_path: Path, *, with_report: bool) -> list[str]:
    """What is wrong with a copy that is taken now, in words. Its files first, then its pictures."""
    with tempfile.TemporaryDirectory(prefix="copy-", dir=run_path.parent.parent) as name:
        copy = Path(name) / "run"
        copy.mkdir()
        for file in run_path.iterdir():
            if file.is_file():
                shutil.copyfile(file, copy / file.name)
        shutil.copytree(run_path / "images", copy / "images", copy_function=_link)
        try:
            wrong = _wrong_pictures(RunDirectory.open(copy))
        except KreabenchError as error:
            return [f"a copy does not read: {error.message}"]
        if with_report:
            wrong += _wrong_report(copy, Path(name) / "report")
        return wrong


def _link(source: str, target: str) -> str:
    """A picture is never changed once it has its name; a temporary one may be gone by now."""
    if not Path(source).name.startswith("."):
        os.link(source, target)
    return target


def _wrong_pictures(run: RunDirectory) -> list[str]:
    images = [image for sample in run.samples().values() for image in sample.images]
    missing = [image.path for image in images if not (run.path / image.path).is_file()]
    changed = [
        image.path
        for image in images[-1_000:]
        if image.path not in missing
        and hashlib.sha256((run.path / image.path).read_bytes()).hexdigest() != image.sha256
    ]
    found = [f"{len(missing)} pictures of a copy are missing"] if missing else []
    return found + ([f"{len(changed)} pictures of a copy are not those of the journal"] if changed else [])


def _wrong_report(copy: Path, out: Path) -> list[str]:
    samples = len(RunDirectory.open(copy).samples())
    done = subprocess.run(
        [sys.executable, "-m", "kreabench", "report", str(copy), "--out", str(out), "--max-pictures", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=REPORT_LIMIT_S,
    )
    if done.returncode != 0:
        return [f"the report of a copy ended with {done.returncode}: {done.stderr[-300:]}"]
    rows = sum(1 for _ in (out / "samples.csv").open(encoding="utf-8")) - 1
    delivered = sum(sample.status == "ok" for sample in RunDirectory.open(copy).samples().values())
    return [] if rows >= delivered else [f"the report of a copy has {rows} rows of {samples} samples"]


def check_end(run_path: Path, samples: int, worker_kills: int) -> list[str]:
    """What is wrong with the finished run."""
    run = RunDirectory.open(run_path)
    wanted = Counter(request.id for group in plan_of(run).groups for request in group.requests)
    records = list(run.records())
    drawn = [record for record in records if isinstance(record, SampleRecord)]
    found = Counter(record.request_id for record in drawn)
    wrong = []
    if len(wanted) != samples:
        wrong.append(f"{len(wanted)} requests were planned of {samples}")
    if lost := wanted - found:
        wrong.append(f"{lost.total()} requests were lost")
    if twice := found - wanted:
        wrong.append(f"{twice.total()} were drawn twice")
    if failed := sum(record.status != "ok" for record in drawn):
        wrong.append(f"{failed} samples failed")
    blamed = sum(isinstance(record, FailureRecord) and record.request_id is not None for record in records)
    if blamed > worker_kills:
        wrong.append(f"{blamed} attempts failed, but only {worker_kills} workers were killed")
    paths = {image.path for record in drawn for image in record.images}
    stored = {str(file.relative_to(run_path)) for file in (run_path / "images").rglob("*") if file.is_file()}
    if paths != stored:
        wrong.append(f"{len(paths - stored)} pictures are missing, {len(stored - paths)} belong to no sample")
    return wrong + _wrong_pictures(run)
