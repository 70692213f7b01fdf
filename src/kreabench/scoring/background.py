"""`kreabench score RUN --follow` as a child of the process that draws: with low priority, and never outliving it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kreabench.core.errors import EnvironmentProblem, Problem, StorageError
from kreabench.execution.child import die_with_parent

LOG_FILE = "logs/scoring.log"
STOP_GRACE_S = 10.0
NICENESS = 19
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Background:
    """A scoring that goes on meanwhile."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> str:
        """Wait for its end, which comes once nobody draws; what it says of it where it went wrong, or nothing.

        Failed scores and a spent budget are no fault: the scoring after it says so.
        """
        code = self._process.wait()
        if code in {0, 4, 5}:
            return ""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"the scoring beside it {how}; see {self._log_path}. What it had scored is kept"

    def stop(self) -> None:
        """End it: it keeps what is journalled."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def scoring_beside(run_path: Path, device: str | None) -> Iterator[Background]:
    """Score the run in a process of its own; it is ended with the block, if it has not ended before.

    Enter only while `RunDirectory.drawing` is held, in a thread that lives as long as the block. Raises StorageError
    where its log cannot be written, EnvironmentProblem where no process can be started.
    """
    log_path = run_path / LOG_FILE
    background = Background(_spawn(run_path, device, log_path), log_path)
    try:
        yield background
    finally:
        background.stop()


def settle_in_background(parent_pid: int) -> None:
    """What such a process does first: end with its parent, and give way to everybody."""
    die_with_parent(parent_pid)
    os.nice(NICENESS)


def _spawn(run_path: Path, device: str | None, log_path: Path) -> subprocess.Popen[bytes]:
    # -P: a file in the working directory that is named like a module must not be imported in its place.
    command = [sys.executable, "-P", "-m", "kreabench", "score", f"--beside={os.getpid()}", "--follow"]
    command += [f"--device={device}"] if device is not None else []
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log = log_path.open("ab", buffering=0)
    except OSError as error:
        raise StorageError(f"the scoring's log {log_path} cannot be written: {error.strerror}") from error
    with log:
        try:
            return subprocess.Popen(
                [*command, "--", str(run_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C is for the driver, which then stops it
            )
        except OSError as error:
            found = Problem(key="scoring process", found=str(error), expected="a process that can be started")
            raise EnvironmentProblem([found]) from error
