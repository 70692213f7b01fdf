"""What runs on a node of the cluster: an actor that holds a seat, and starts a worker process there as on one machine.

The actor itself loads nothing, so that a request which crashes its process leaves it alone. What it is told and what it
answers are bytes and plain values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kreabench import __version__
from kreabench.backends.table import backend_class
from kreabench.core.errors import KreabenchError, Problem
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.execution.local_seats import VISIBLE
from kreabench.execution.messages import Close, Open, decode_order, encode_line
from kreabench.execution.supervise import Death, WorkerProcess
from kreabench.rundir import codec

Said = dict[str, Any]
"""One of `answer` (a line of a worker), `death` (fields of `supervise.Death`), `refused` (why no worker started)."""


def ray_context() -> Any:
    """What Ray says of the process that it runs."""
    import ray

    return ray.get_runtime_context()


class SeatActor:
    """One seat: at most one worker process, which dies with the actor."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None

    def look(self, run_path: str, token: str, needs: bytes, on_processor: bool) -> Said:
        """What the driver has to know before it loads a model here.

        `token` is the name of a file in the run directory, with that name as its content. `needs` are the pairs of
        target and accelerations to come, as JSON.
        """
        shared = _shared(Path(run_path), token)
        pairs = codec.decode(needs, list[tuple[TargetSpec, tuple[AccelerationSpec, ...]]])
        problems: list[Problem] = []
        if shared is None and __version__ == token.partition("-")[2]:
            problems = [problem for pair in pairs for problem in backend_class(pair[0].backend).check(*pair)]
        return {
            "version": __version__,
            "shared": shared,
            "problems": codec.to_builtins(list(dict.fromkeys(problems))),
            "node": ray_context().get_node_id(),
            "gpu_ids": [] if on_processor else ray_context().get_accelerator_ids()["GPU"],
        }

    def ask(self, order: bytes, limit_s: float, log_path: str, label: str, on_processor: bool) -> Said:
        """Carry out one order; to open a model starts a fresh worker first."""
        message = decode_order(order)
        if isinstance(message, Open):
            self._stop()
            environ = {**os.environ, VISIBLE: ""} if on_processor else dict(os.environ)
            try:
                self._worker = WorkerProcess(log_path=Path(log_path), environ=environ, label=label)
            except KreabenchError as error:
                return {"refused": (error.message, error.remedy)}
        if self._worker is None or isinstance(message, Close):
            self._stop()
            return {"death": _fields(Death(elapsed_s=0.0, limit_s=None, signal=None, exit_code=0))}
        answer = self._worker.ask(message, limit_s)
        if isinstance(answer, Death):
            self._worker = None
            return {"death": _fields(answer)}
        return {"answer": encode_line(answer)}

    def _stop(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            worker.stop()


def _fields(death: Death) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = codec.to_builtins(death)
    return fields


def _shared(run_path: Path, token: str) -> str | None:
    """Why this node cannot use the run directory; None where it can."""
    try:
        list(run_path.iterdir())  # a network file system then looks anew, rather than in what it remembers
        if (run_path / token).read_text(encoding="utf-8") != token:
            return f"{run_path} of another machine"
        trial = run_path / f"{token}-{os.getpid()}"
        trial.write_text(token, encoding="utf-8")
        trial.unlink()
    except OSError as error:
        return f"{run_path}: {error.strerror or error}"
    return None
