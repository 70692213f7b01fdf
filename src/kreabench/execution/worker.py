"""The worker process: one loaded model, orders in, answers out. Run as `python -m kreabench.execution.worker FD PID`.

FD is its end of the socket pair to the driver, PID the driver's. Standard output and error are the worker's log.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kreabench.backends.base import Backend, Generation
from kreabench.backends.table import backend_class, draws_batches
from kreabench.core.planned import Request, Setting
from kreabench.core.records import Calibration, Failure
from kreabench.execution.answering import Answering, delivery_of, stored
from kreabench.execution.child import settle
from kreabench.execution.clock import utc_now
from kreabench.execution.failures import secrets
from kreabench.execution.hosted_worker import HostedWorker
from kreabench.execution.messages import (
    Answer,
    BatchDone,
    Close,
    Delivery,
    Generate,
    GenerateBatch,
    Open,
    Opened,
    Warmup,
    decode_order,
)
from kreabench.rundir import codec
from kreabench.rundir.inputs import INPUTS_FOLDER

_STAGES = {"open": "load", "warmup": "warmup", "generate": "generate", "generate_batch": "generate"}
"""Order → the stage of an error that names none."""


class Worker:
    """Carries out orders of a local target. Keeps the back end and knows which settings have been called."""

    def __init__(self, *, now: Callable[[], str] = utc_now, clock: Callable[[], float] = time.perf_counter) -> None:
        self._answering = Answering(now=now, clock=clock)
        self._backend: Backend | None = None
        self._settings: dict[str, Setting] = {}
        self._run_path = Path()
        self._called: set[tuple[str, int]] = set()
        """Setting id, requests in the call."""

    def answer(self, order: Open | Warmup | Generate | GenerateBatch) -> bytes:
        """Carry out one order; the answer's line. Whatever goes wrong is an answer too."""
        started_utc, began = self._answering.now(), self._answering.clock()
        if isinstance(order, Open):
            answer = self._open(order, started_utc, began)
        elif isinstance(order, GenerateBatch):
            answer = self._call_batch(order, started_utc, began)
        else:
            answer = self._call(order, started_utc, began)
        return self._answering.line(answer, _STAGES[order.kind], started_utc, began)

    def close(self) -> None:
        """Release the back end. What goes wrong is only logged: nothing is lost by it."""
        if self._backend is not None:
            try:
                self._backend.close()
            except Exception:
                self._answering.log(traceback.format_exc())
            self._backend = None

    def _open(self, order: Open, started_utc: str, began: float) -> Answer:
        self._answering.hidden = secrets(order.target.key_env, os.environ)
        self._settings = {setting.id: setting for setting in order.settings}
        self._run_path = Path(order.run_path)
        try:
            self._backend = backend_class(order.target.backend)()
            inputs = self._run_path / INPUTS_FOLDER
            identity = self._backend.open(order.target, order.accelerations, order.settings, inputs=inputs)
            load_s = self._answering.clock() - began
            found = identity.pop("calibration", None)
            calibration = None if found is None else codec.convert(found, Calibration)
        except Exception as error:
            return self._answering.failed(error, "load", started_utc, began)
        load_s -= 0.0 if calibration is None else calibration.seconds
        return Opened(started_utc=started_utc, load_s=load_s, identity=identity, calibration=calibration)

    def _call(self, order: Warmup | Generate, started_utc: str, began: float) -> Answer:
        setting = self._settings[order.setting_id]
        delivery: Delivery | None = None
        try:
            assert self._backend is not None  # noqa: S101 - the driver opens before it asks for anything
            generation = self._backend.generate(setting, order.request)
            delivery = self._delivery(generation, first=self._is_first(setting, 1))
            if isinstance(order, Generate):
                delivery = stored(self._run_path, setting, order.request, generation, delivery)
        except Exception as error:
            stage = _STAGES[order.kind] if delivery is None else "store"
            return self._answering.failed(error, stage, started_utc, began, delivery=delivery)
        return self._answering.done(delivery, started_utc)

    def _call_batch(self, order: GenerateBatch, started_utc: str, began: float) -> Answer:
        setting, requests = self._settings[order.setting_id], order.requests
        try:
            generations = self._drawn(setting, requests)
        except Exception as error:
            return self._answering.failed(error, "generate", started_utc, began)
        first = self._is_first(setting, len(requests))
        deliveries: list[Delivery] = []
        errors: list[Failure | None] = []
        for request, generation in zip(requests, generations, strict=True):
            delivery, lost = self._answering.flagged(self._delivery(generation, first=first)), None
            try:
                if order.store:
                    delivery = stored(self._run_path, setting, request, generation, delivery)
            except Exception as error:  # of one request: the others in the call have their pictures
                lost = self._answering.failed(error, "store", started_utc, began).error
            deliveries.append(delivery)
            errors.append(lost)
        return BatchDone(
            started_utc=started_utc,
            began_s=began,
            ended_s=self._answering.clock(),
            deliveries=tuple(deliveries),
            errors=tuple(errors),
        )

    def _drawn(self, setting: Setting, requests: Sequence[Request]) -> tuple[Generation, ...]:
        backend = self._backend
        assert backend is not None  # noqa: S101 - as in `_call`
        if len(requests) == 1:
            return (backend.generate(setting, requests[0]),)
        assert draws_batches(backend)  # noqa: S101 - no other is planned
        return backend.generate_batch(setting, requests)

    def _is_first(self, setting: Setting, requests: int) -> bool:
        """Whether no call of the setting had so many requests before."""
        first = (setting.id, requests) not in self._called
        self._called.add((setting.id, requests))
        return first

    @staticmethod
    def _delivery(generation: Generation, *, first: bool) -> Delivery:
        delivery = delivery_of(generation)
        return replace(delivery, timings=replace(delivery.timings, first_call=first))


def serve(end: socket.socket, worker: Worker) -> None:
    """Answer orders until told to close or the driver is gone."""
    hosted: HostedWorker | None = None
    try:
        with end, end.makefile("rb") as lines:
            try:
                for line in lines:
                    # When it was read is when a hosted request was meant to start.
                    read_s = time.perf_counter()
                    order = decode_order(line)
                    if isinstance(order, Close):
                        return
                    if isinstance(order, Open) and order.target.hosted:
                        hosted = HostedWorker(order, end.sendall)
                        hosted.open()
                    elif hosted is not None and isinstance(order, Generate):
                        hosted.start(order, read_s)
                    else:
                        end.sendall(worker.answer(order))
            finally:
                if hosted is not None:
                    hosted.finish()
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        worker.close()


def main(arguments: Sequence[str]) -> int:
    """Run one worker; returns its exit code."""
    descriptor, parent_pid = (int(argument) for argument in arguments)
    settle(parent_pid)
    os.set_inheritable(descriptor, False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    serve(socket.socket(fileno=descriptor), Worker())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
