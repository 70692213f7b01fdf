"""A metric that runs as a program of its own, in an environment of its own, because it pins an old stack.

HPSv3, ImageReward, VQAScore and the like need libraries that do not go with today's. `FOREIGN.md` beside this module
is the protocol; `examples/foreign_metrics/` holds a helper for authors and a whole example.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.foreign_messages import identity_of, request_for, score_of
from kreabench.metrics.foreign_process import ForeignFault, ForeignProcess
from kreabench.metrics.needs import Need, Say
from kreabench.metrics.shared import Shared

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FAULTS_IN_A_ROW = 4
"""Without a single score in between: then the program is at fault and no picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignOptions:
    """A program, and what its scores mean."""

    command: tuple[str, ...] = ()
    """Program and arguments; no shell sees them. A leading `~` is the home folder."""
    cwd: str | None = None
    """Folder to run it in; None is the one that kreabench runs in."""
    environment: tuple[str, ...] = (
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "HF_HOME",
        "HF_HUB_OFFLINE",
        "TORCH_HOME",
    )
    """Names of the variables that are handed on, and no others are."""
    start_timeout_s: float = 600.0
    """Until it says hello: it loads its model before."""
    score_timeout_s: float = 120.0
    """Between two answers."""
    batch_size: int = 16
    """Pictures handed over at once."""
    max_restarts: int = 20
    """After crashes, in one scoring."""
    unit: str = "1"
    better: Literal["higher", "lower", "reference"] = "higher"
    range: tuple[float | None, float | None] = (None, None)
    """Least and greatest possible value; a score outside is a failure."""
    needs_reference: bool = False
    needs_prompt: bool = False
    summary: str = "a metric that runs as a program of its own"
    bias: str = "as its authors say"
    licence: str = "its own"

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise ValueError("environment must list names of variables, such as HF_HOME, never their values")
        for key in ("start_timeout_s", "score_timeout_s"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} must be above 0, and is {getattr(self, key)}")
        for key, least in (("batch_size", 1), ("max_restarts", 0)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} must be at least {least}, and is {getattr(self, key)}")
        if self.better not in ("higher", "lower", "reference"):
            raise ValueError(f"better must be higher, lower or reference, and is {self.better!r}")
        low, high = self.range
        if low is not None and high is not None and not low < high:
            raise ValueError(f"range must go from less to more, and is {low} to {high}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramNeed:
    """A `Need` of the program that is to be started."""

    command: tuple[str, ...]
    cwd: Path | None

    @property
    def name(self) -> str:
        return f"program {self.command[0] if self.command else 'of a foreign metric'}"

    @property
    def fetchable(self) -> bool:
        return False

    def problem(self, environ: Mapping[str, str]) -> Problem | None:
        """As in `Need`."""
        if not self.command:
            return Problem(key="options.command", found="nothing", expected="a program and its arguments")
        if self.cwd is not None and not self.cwd.is_dir():
            return Problem(key="options.cwd", found=f"{self.cwd}, no such folder", expected="a folder")
        if self.path(environ) is None:
            remedy = "The README of the example shows how to make its environment."
            found = f"{self.command[0]}, no program that can be run"
            return Problem(key="options.command[0]", found=found, expected="a program", remedy=remedy)
        script = self.command[1] if len(self.command) > 1 else ""
        if script.endswith(".py") and not (self.cwd or Path()).joinpath(script).is_file():
            return Problem(key="options.command[1]", found=f"{script}, no such file", expected="a script")
        return None

    def path(self, environ: Mapping[str, str]) -> str | None:
        """Where the program is; a link stays one, as environments of Python's are told apart by it."""
        if "/" not in self.command[0]:
            return shutil.which(self.command[0], path=environ.get("PATH"))
        path = (self.cwd or Path()).absolute() / self.command[0]
        return str(path) if path.is_file() and os.access(path, os.X_OK) else None

    def fetch(self, environ: Mapping[str, str], say: Say) -> None:
        """As in `Need`: there is nothing to fetch."""
        problem = self.problem(environ)
        if problem is not None:
            raise EnvironmentProblem([problem])


class Foreign:
    """See the module. Options as in `ForeignOptions`.

    A program that ends, hangs or writes what is no message is started again, and the pictures of that batch that have
    no score yet are handed over one at a time, so that only the one that is at fault fails.
    """

    def __init__(self, **options: Any) -> None:
        """Raises ValueError for options that no machine can fulfil."""
        self._options = ForeignOptions(**options)
        command = tuple(map(os.path.expanduser, self._options.command))
        cwd = None if self._options.cwd is None else Path(self._options.cwd).expanduser()
        self._program = ProgramNeed(command=command, cwd=cwd)
        self.needs: tuple[Need, ...] = (self._program,)
        self._shared: Shared | None = None
        self._process: ForeignProcess | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._identity: dict[str, Any] = {}
        self._ids = count(1)
        self._given_up = ""
        self._restarts = self._faults_in_a_row = 0
        self._busy = False

    def open(self, shared: Shared) -> dict[str, Any]:
        """Start the program and wait for its hello, which is the identity. Raises EnvironmentProblem."""
        problem = self._program.problem(shared.environ)
        if problem is not None:
            raise EnvironmentProblem([problem])
        self._shared = shared
        self._given_up, self._restarts, self._faults_in_a_row = "", 0, 0
        try:
            self._process, self._identity = self._start(shared)
        except ForeignFault as fault:
            raise EnvironmentProblem(
                [Problem(key="options.command", found=str(fault), expected="a program that says hello (FOREIGN.md)")]
            ) from None
        self._folder = tempfile.TemporaryDirectory(prefix="kreabench-foreign-")
        return self._identity

    def score(self, items: Sequence[ScoreItem]) -> list[Score]:
        """One score an item, `batch_size` of them at a time."""
        if self._shared is None or self._folder is None:
            raise RuntimeError("score() before open()")
        scores: list[Score] = []
        for start in range(0, len(items), self._options.batch_size):
            scores += self._batch(items[start : start + self._options.batch_size], self._shared, self._folder.name)
        return scores

    def close(self) -> None:
        """End the program: politely where it is idle, at once where it is not."""
        if self._process is not None:
            self._process.close(polite=not self._busy)
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _batch(self, items: Sequence[ScoreItem], shared: Shared, folder: str) -> list[Score]:
        scores: list[Score | None] = []
        requests: dict[int, dict[str, Any]] = {}
        for position, item in enumerate(items):
            prepared = request_for(item, next(self._ids), folder, needs_reference=self._options.needs_reference)
            scores.append(prepared if isinstance(prepared, Score) else None)
            if not isinstance(prepared, Score):
                requests[position] = prepared
        fault = self._ask(requests, scores, shared)
        left = [position for position in requests if scores[position] is None]
        for position in left:
            if len(requests) > 1:
                fault = self._ask({position: requests[position]}, scores, shared)
            scores[position] = scores[position] or failed(fault)
        _empty(Path(folder))
        return [score for score in scores if score is not None]

    def _ask(self, requests: Mapping[int, dict[str, Any]], scores: list[Score | None], shared: Shared) -> str:
        """Fill in the scores at the requests' positions; where some have none, why."""
        if not requests:
            return ""
        if self._given_up:
            return self._given_up
        positions = {request["id"]: position for position, request in requests.items()}
        self._busy = True
        try:
            process = self._running(shared)
            process.send({"type": "score", "items": list(requests.values())})
            while (answer := process.receive(self._options.score_timeout_s)).get("type") != "done":
                position = positions.pop(answer.get("id"), None) if isinstance(answer.get("id"), int) else None
                if position is None:
                    raise ForeignFault(f"it answered what was not asked: id {str(answer.get('id'))[:40]}")
                scores[position] = score_of(answer, self._options.range)
                self._faults_in_a_row = 0
        except ForeignFault as fault:
            return self._bury(str(fault))
        self._busy = False
        for position in positions.values():
            scores[position] = failed("the program gave no answer for this picture")
        return ""

    def _bury(self, fault: str) -> str:
        """End what is at fault; the reason for those without a score."""
        if self._process is not None:
            self._process.close(polite=False)
            self._process = None
        self._busy = False
        self._faults_in_a_row += 1
        if self._faults_in_a_row >= _FAULTS_IN_A_ROW:
            self._given_up = self._given_up or f"the program failed {self._faults_in_a_row} times in a row: {fault}"
        return self._given_up or f"the program failed: {fault}"

    def _running(self, shared: Shared) -> ForeignProcess:
        """The program, started again where it is gone. Raises ForeignFault."""
        if self._process is not None:
            return self._process
        if self._restarts >= self._options.max_restarts:
            self._given_up = f"the program was started again {self._restarts} times, no more than max_restarts allows"
            raise ForeignFault("it is not started again")
        self._restarts += 1
        self._process, identity = self._start(shared)
        if identity != self._identity:
            self._given_up = "the program calls itself another after its restart: its scores must not be mixed"
            raise ForeignFault("it calls itself another after its restart")
        return self._process

    def _start(self, shared: Shared) -> tuple[ForeignProcess, dict[str, Any]]:
        """Raises ForeignFault."""
        environ = {name: shared.environ[name] for name in self._options.environment if name in shared.environ}
        path = self._program.path(shared.environ) or self._program.command[0]
        try:
            process = ForeignProcess([path, *self._program.command[1:]], cwd=self._program.cwd, environ=environ)
        except (OSError, ValueError) as error:
            raise ForeignFault(f"it cannot be started: {error}") from None
        try:
            return process, identity_of(process.receive(self._options.start_timeout_s))
        except BaseException:
            process.close(polite=False)
            raise


def _empty(folder: Path) -> None:
    """Take away what was written for a batch, and what the program may have put beside it."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
