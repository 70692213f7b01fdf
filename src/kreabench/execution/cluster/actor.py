"""What runs on a node of the cluster: an actor that holds a seat, and starts a worker process there as on one machine.

The actor itself loads nothing, so that a request which crashes its process leaves it alone. What it is told and what it
answers are bytes and plain values.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench import __version__
from kreabench.backends.table import backend_class
from kreabench.core.errors import KreabenchError, Problem, StorageError
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.execution.cluster.scratch import Scratch
from kreabench.execution.cluster.share import Outbox, store_of_run, unsent
from kreabench.execution.local_seats import VISIBLE
from kreabench.execution.messages import Answer, Close, Done, Open, Order, decode_order, encode_line
from kreabench.execution.supervise import Death, WorkerProcess
from kreabench.rundir import codec

Said = dict[str, Any]
"""One of `answer` (a line of a worker), `death` (fields of `supervise.Death`), `refused` (why no worker started); with
a store also `log` (what the worker logged since)."""


def machine() -> str:
    """This machine's name, which no record holds."""
    import ray

    return f"{socket.gethostname()} {ray.util.get_node_ip_address()}"


def ray_context() -> Any:
    """What Ray says of the process that it runs."""
    import ray

    return ray.get_runtime_context()


class SeatActor:
    """One seat: at most one worker process, which dies with the actor."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None
        self._scratch: Scratch | None = None
        self._outbox: Outbox | None = None

    def look(self, run_path: str, share: tuple[str, str] | None, token: str, needs: bytes, on_processor: bool) -> Said:
        """What the driver has to know before it loads a model here.

        `token` is the name of a file in the run directory, with that name as its content; with `share`, which are the
        URL for pictures and what the run is called there, of an object. `needs` are the pairs of target and
        accelerations to come, as JSON.
        """
        unshared, trial = _shared(Path(run_path), token), ""
        if share is not None:
            unshared, trial = self._over_store(share, token)
        pairs = codec.decode(needs, list[tuple[TargetSpec, tuple[AccelerationSpec, ...]]])
        problems: list[Problem] = []
        if unshared is None and __version__ == token.partition("-")[2]:
            problems = [problem for pair in pairs for problem in backend_class(pair[0].backend).check(*pair)]
        return {
            "version": __version__,
            "shared": unshared,
            "trial": trial,
            "problems": codec.to_builtins(list(dict.fromkeys(problems))),
            "machine": machine(),
            "gpu_ids": [] if on_processor else ray_context().get_accelerator_ids()["GPU"],
        }

    def ask(self, order: bytes, limit_s: float, log_path: str, label: str, on_processor: bool) -> Said:
        """Carry out one order; to open a model starts a fresh worker first."""
        try:
            said = self._carry_out(decode_order(order), limit_s, log_path, label, on_processor)
        except KreabenchError as error:
            said = {"refused": (error.message, error.remedy)}
        return said if self._scratch is None else {**said, "log": self._scratch.news()}

    def _carry_out(self, message: Order, limit_s: float, log_path: str, label: str, on_processor: bool) -> Said:
        if isinstance(message, Open):
            self._stop()
            if self._scratch is not None and self._outbox is not None:
                self._outbox.bring_inputs()
                message, log_path = replace(message, run_path=str(self._scratch.path)), str(self._scratch.log_path)
            environ = {**os.environ, VISIBLE: ""} if on_processor else dict(os.environ)
            self._worker = WorkerProcess(log_path=Path(log_path), environ=environ, label=label)
        if self._worker is None or isinstance(message, Close):
            self._stop()
            return {"death": _fields(Death(elapsed_s=0.0, limit_s=None, signal=None, exit_code=0))}
        answer = self._worker.ask(message, limit_s)
        if isinstance(answer, Death):
            self._worker = None
            return {"death": _fields(answer)}
        return {"answer": encode_line(self._sent(answer))}

    def _over_store(self, share: tuple[str, str], token: str) -> tuple[str | None, str]:
        try:
            if self._scratch is None or self._outbox is None:
                self._scratch = Scratch()
                self._outbox = Outbox(store_of_run(*share), self._scratch.path)
        except KreabenchError as error:
            return error.message, ""
        except OSError as error:
            return f"no folder of its own: {error}", ""
        return self._outbox.unshared(token)

    def _sent(self, answer: Answer) -> Answer:
        """`answer` once its pictures are where the driver finds them; a failure where the store refuses them."""
        if self._outbox is not None and isinstance(answer, Done):
            try:
                self._outbox.send(answer.delivery.images)
            except StorageError as error:
                return unsent(answer, error)
        return answer

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
