"""What runs on a node of the cluster: an actor that holds a seat, and starts a worker process there as on one machine.

The actor itself loads nothing, so that a request which crashes its process leaves it alone. What it is told and what it
answers are bytes and plain values.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kreabench import __version__
from kreabench.backends.table import backend_class
from kreabench.core.errors import KreabenchError, Problem, StorageError
from kreabench.core.specs import AccelerationSpec, TargetSpec
from kreabench.execution.cluster.scratch import Scratch
from kreabench.execution.cluster.share import Outbox, store_of_run, unsent
from kreabench.execution.local_seats import VISIBLE
from kreabench.execution.messages import Answer, Close, Done, Failed, Open, Opened, decode_order, encode_line
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


def leave() -> None:
    """End this process; its worker goes with it."""
    os._exit(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    """A model that the worker has."""

    order: bytes
    """By which it was opened."""
    answer: bytes
    token: str
    """Of the driver that knows of it."""


class SeatActor:
    """One seat: at most one worker process, which dies with the actor.

    It obeys the driver that looked last. One that was killed is followed by another, which finds the model loaded: the
    same order to open it is then answered at once. An order that the dead one had given is carried out first, and its
    answer heard by nobody.
    """

    def __init__(self, keep_s: float) -> None:
        """Ends by itself when no driver has spoken to it for `keep_s` with nothing in hand; 0: never."""
        self._worker: WorkerProcess | None = None
        self._scratch: Scratch | None = None
        self._outbox: Outbox | None = None
        self._loaded: _Loaded | None = None
        self._token = ""
        self._number: int | None = None
        self._keep_s, self._heard_s, self._is_busy = keep_s, time.monotonic(), False
        if keep_s:
            threading.Thread(target=self._watch, args=(leave,), name="watch", daemon=True).start()

    def hear(self) -> None:
        """There is a driver."""
        self._heard_s = time.monotonic()

    def be(self, number: int) -> None:
        """This is its number among the seats of its machine."""
        self._number = number

    def look(self, run_path: str, share: tuple[str, str] | None, token: str, needs: bytes, on_processor: bool) -> Said:
        """What the driver has to know before it loads a model here.

        `token` tells it from other drivers, and is the name of a file in the run directory, with that name as its
        content; with `share`, which are the URL for pictures and what the run is called there, of an object. `needs`
        are the pairs of target and accelerations to come, as JSON.
        """
        with self._busy():
            self._token = token
            return self._seen(run_path, share, needs, on_processor)

    def _seen(self, run_path: str, share: tuple[str, str] | None, needs: bytes, on_processor: bool) -> Said:
        token = self._token
        if share is None:
            unshared, trial = _shared(Path(run_path), token), ""
        else:
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
            "number": self._number,
            "loaded": None if self._loaded is None else self._loaded.order,
            "gpu_ids": [] if on_processor else ray_context().get_accelerator_ids()["GPU"],
        }

    def ask(self, token: str, order: bytes, limit_s: float, log_path: str, label: str, on_processor: bool) -> Said:
        """Carry out one order; to open a model starts a fresh worker first, unless it is loaded from before."""
        if token != self._token:
            return {"refused": ("another driver has taken over", "")}
        with self._busy():
            try:
                said = self._carry_out(order, limit_s, log_path, label, on_processor)
            except KreabenchError as error:
                said = {"refused": (error.message, error.remedy)}
        return said if self._scratch is None else {**said, "log": self._scratch.news()}

    def _carry_out(self, order: bytes, limit_s: float, log_path: str, label: str, on_processor: bool) -> Said:
        message = decode_order(order)
        if isinstance(message, Open):
            if kept := self._kept(order):
                return {"answer": kept}
            self._start(log_path, label, on_processor)
        if self._worker is None or isinstance(message, Close):
            self._stop()
            return {"death": _fields(Death(elapsed_s=0.0, limit_s=None, signal=None, exit_code=0))}
        if isinstance(message, Open) and self._scratch is not None and self._outbox is not None:
            self._outbox.bring_inputs()
            message = replace(message, run_path=str(self._scratch.path))
        answer = self._worker.ask(message, limit_s)
        if isinstance(answer, Death):
            self._worker = self._loaded = None
            return {"death": _fields(answer)}
        line = encode_line(self._sent(answer))
        if isinstance(answer, Opened):
            self._loaded = _Loaded(order=order, answer=line, token=self._token)
        elif isinstance(answer, Failed) and answer.fatal:
            self._loaded = None  # it is there, but must not be asked again
        return {"answer": line}

    def _kept(self, order: bytes) -> bytes | None:
        """The answer to an earlier driver's order to open, where this one is the same and the worker well."""
        loaded = self._loaded
        if loaded is None or loaded.order != order or loaded.token == self._token:
            return None
        if self._worker is None or not self._worker.alive():
            return None
        self._loaded = replace(loaded, token=self._token)
        return loaded.answer

    def _start(self, log_path: str, label: str, on_processor: bool) -> None:
        self._stop()
        environ = {**os.environ, VISIBLE: ""} if on_processor else dict(os.environ)
        path = Path(log_path) if self._scratch is None else self._scratch.log_path
        self._worker = WorkerProcess(log_path=path, environ=environ, label=label)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """However long that takes, nobody needs to speak to it meanwhile."""
        self._is_busy = True
        try:
            yield
        finally:
            self.hear()
            self._is_busy = False

    def _watch(self, end: Callable[[], None]) -> None:
        while self._is_busy or time.monotonic() - self._heard_s < self._keep_s:
            time.sleep(min(1.0, self._keep_s / 4))
        if self._scratch is not None:
            self._scratch.remove()
        end()

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
        self._loaded = None
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
        trial = run_path / f"{token}-{secrets.token_hex(4)}"  # processes of two nodes may have one number
        trial.write_text(token, encoding="utf-8")
        trial.unlink()
    except OSError as error:
        return f"{run_path}: {error.strerror or error}"
    return None
