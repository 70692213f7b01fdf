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
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from kreabench.backends.base import Backend, Generation
from kreabench.backends.table import backend_class
from kreabench.core.errors import GenerationError, KreabenchError
from kreabench.core.records import Calibration
from kreabench.core.specs import Setting
from kreabench.execution.child import settle
from kreabench.execution.clock import utc_now
from kreabench.execution.failures import clean, describe, secrets
from kreabench.execution.messages import (
    Answer,
    Close,
    Delivery,
    Done,
    Failed,
    Generate,
    Open,
    Opened,
    Warmup,
    decode_answer,
    decode_order,
    encode_line,
)
from kreabench.rundir import codec
from kreabench.rundir.images import store_image
from kreabench.rundir.inputs import INPUTS_FOLDER

_STAGES = {"open": "load", "warmup": "warmup", "generate": "generate"}
"""Order → the stage of an error that names none."""


class Worker:
    """Carries out orders. Keeps the back end between them and knows which settings have been called."""

    def __init__(self, *, now: Callable[[], str] = utc_now, clock: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._clock = clock
        self._backend: Backend | None = None
        self._settings: dict[str, Setting] = {}
        self._run_path = Path()
        self._hosted = False
        self._called: set[str] = set()
        self._hidden: tuple[str, ...] = ()

    def answer(self, order: Open | Warmup | Generate) -> bytes:
        """Carry out one order; the answer's line. Whatever goes wrong is an answer too."""
        started_utc, began = self._now(), self._clock()
        if isinstance(order, Open):
            answer = self._open(order, started_utc, began)
        else:
            answer = self._call(order, started_utc, began)
        try:
            line = encode_line(answer)
            decode_answer(line)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            # A back end that reports NaN seconds or a dtype object must not stop the run.
            return encode_line(self._failed(error, _STAGES[order.kind], started_utc, began, None))
        return line

    def close(self) -> None:
        """Release the back end. What goes wrong is only logged: nothing is lost by it."""
        if self._backend is not None:
            try:
                self._backend.close()
            except Exception:
                self._log(traceback.format_exc())
            self._backend = None

    def _open(self, order: Open, started_utc: str, began: float) -> Answer:
        self._hidden = secrets(order.target.key_env, os.environ)
        self._hosted = order.target.hosted
        self._settings = {setting.id: setting for setting in order.settings}
        self._run_path = Path(order.run_path)
        try:
            self._backend = backend_class(order.target.backend)()
            inputs = self._run_path / INPUTS_FOLDER
            identity = self._backend.open(order.target, order.accelerations, order.settings, inputs=inputs)
            load_s = self._clock() - began
            found = identity.pop("calibration", None)
            calibration = None if found is None else codec.convert(found, Calibration)
        except Exception as error:
            return self._failed(error, "load", started_utc, began, None)
        load_s -= 0.0 if calibration is None else calibration.seconds
        return Opened(started_utc=started_utc, load_s=load_s, identity=identity, calibration=calibration)

    def _call(self, order: Warmup | Generate, started_utc: str, began: float) -> Answer:
        setting = self._settings[order.setting_id]
        delivery: Delivery | None = None
        try:
            assert self._backend is not None  # noqa: S101 - the driver opens before it asks for anything
            generation = self._backend.generate(setting, order.request)
            delivery = self._delivery(setting, generation)
            if isinstance(order, Generate):
                _check_count(setting, generation)
                images = tuple(
                    store_image(self._run_path, setting, order.request, index, image)
                    for index, image in enumerate(generation.images)
                )
                delivery = replace(delivery, images=images)
        except Exception as error:
            stage = _STAGES[order.kind] if delivery is None else "store"
            return self._failed(error, stage, started_utc, began, delivery)
        return Done(started_utc=started_utc, delivery=delivery)

    def _delivery(self, setting: Setting, generation: Generation) -> Delivery:
        # A hosted service serves every setting from models that are loaded already; what its first call alone pays
        # for is the connection.
        called = setting.target if self._hosted else setting.id
        first = called not in self._called
        self._called.add(called)
        return Delivery(
            timings=replace(generation.timings, first_call=first),
            memory=generation.memory,
            steps_run=generation.steps_run,
            hosted=generation.hosted,
            device=generation.device,
            work=generation.work,
            flags=generation.flags,
            safety_check_s=generation.safety_check_s,
        )

    def _failed(
        self, error: Exception, stage: str, started_utc: str, began: float, delivery: Delivery | None
    ) -> Failed:
        failure, fatal = describe(error, stage=stage, hidden=self._hidden)
        self._log(f"{started_utc} {failure.type} in {failure.stage}: {failure.message}")
        if not isinstance(error, KreabenchError):
            self._log("".join(traceback.format_exception(error)))
        return Failed(
            started_utc=started_utc,
            elapsed_s=self._clock() - began,
            error=failure,
            fatal=fatal,
            delivery=delivery,
        )

    def _log(self, text: str) -> None:
        with suppress(OSError):  # a full disk is reported by the answer; dying of the log would hide it
            print(clean(text, self._hidden), file=sys.stderr, flush=True)  # noqa: T201 - stderr is the log


def _check_count(setting: Setting, generation: Generation) -> None:
    delivered = len(generation.images)
    if delivered != setting.num_images:
        raise GenerationError(
            f"{delivered} pictures were delivered; expected {setting.num_images}", type="bad_image", stage="store"
        )


def serve(end: socket.socket, worker: Worker) -> None:
    """Answer orders until told to close or the driver is gone."""
    try:
        with end, end.makefile("rb") as lines:
            for line in lines:
                order = decode_order(line)
                if isinstance(order, Close):
                    return
                end.sendall(worker.answer(order))
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
