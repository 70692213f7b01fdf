"""What tests of foreign metrics share: the stand-in process, started as a metric."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kreabench.metrics.base import ScoreItem
from kreabench.metrics.foreign import Foreign
from kreabench.metrics.shared import Shared
from tests.support import ROOT, picture

STAND_IN = str(ROOT / "tests" / "foreign_stand_in.py")
Make = Callable[..., Foreign]


@contextlib.contextmanager
def making() -> Iterator[Make]:
    """Makes opened metrics; all are closed at the end."""
    made: list[Foreign] = []

    def make(mode: str = "", *, environ: dict[str, str] | None = None, **options: Any) -> Foreign:
        command = [sys.executable, "-S", STAND_IN, *([mode] if mode else [])]  # -S: starts in half the time
        metric = Foreign(**{"command": command, "start_timeout_s": 10.0, "score_timeout_s": 10.0, **options})
        made.append(metric)
        metric.open(Shared(environ=os.environ if environ is None else environ))
        return metric

    try:
        yield make
    finally:
        for metric in made:
            metric.close()


def item(prompt: str = "a red bicycle", **changes: Any) -> ScoreItem:
    """A small picture without a file; the prompt is an order to the stand-in."""
    return ScoreItem(**{"image": picture(32, 24), "prompt": prompt, "reference": None, **changes})


def pid_of(metric: Foreign) -> int:
    """Of the program that runs now."""
    assert metric._process is not None
    return metric._process.pid


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends; the limit only ends a test that fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
