"""Disks that are small, read-only or slow."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_SLOW = """
import json, os, threading, time
_fsync, _log = os.fsync, os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def fsync(descriptor):
    path = os.readlink(f"/proc/self/fd/{{descriptor}}")
    began = time.monotonic()
    time.sleep({seconds!r})
    _fsync(descriptor)
    line = json.dumps({{"pid": os.getpid(), "path": path, "began_s": began, "ended_s": time.monotonic()}})
    os.write(_log, line.encode() + b"\\n")
os.fsync = fsync
"""


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of `size`, such as `256k`, at `folder`. Skips the test where mounting is not allowed."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def enlarge(disk: Path, size: str) -> None:
    """Make room on a `small_disk`."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room; delete the file that is returned to have some again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """`folder` as on a disk that is mounted read-only. Skips the test where mounting is not allowed."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class SlowDisk:
    """An environment in which every Python process takes `seconds` longer for each fsync, and what they synced."""

    def __init__(self, folder: Path, seconds: float) -> None:
        folder.mkdir()
        self._log = folder / "fsyncs.jsonl"
        (folder / "sitecustomize.py").write_text(_SLOW.format(log=str(self._log), seconds=seconds), encoding="utf-8")
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def fsyncs(self, of: str) -> list[dict[str, Any]]:
        """Those of paths that end in `of`, in the order of their ends."""
        entries = map(json.loads, self._log.read_text(encoding="utf-8").splitlines())
        return [entry for entry in entries if entry["path"].endswith(of)]


def most_at_once(fsyncs: list[dict[str, Any]]) -> int:
    """How many were under way at one moment, at most."""
    spans = [(float(entry["began_s"]), float(entry["ended_s"])) for entry in fsyncs]
    return max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans)
