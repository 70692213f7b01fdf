"""The worker's side of a hosted target: several calls in flight at once, and pictures stored beside them.

One thread a call, so that calls time themselves; a few threads more check and store what came, because decoding a
picture in a call's own thread would disturb the others' clocks. They decode one at a time, and wait for a slow disk
side by side.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from kreabench.backends.base import Generation, HostedBackend, Ticket
from kreabench.backends.table import hosted_backend_class
from kreabench.core.errors import GenerationError
from kreabench.core.planned import Setting
from kreabench.execution.answering import Answering, delivery_of, stored
from kreabench.execution.failures import secrets
from kreabench.execution.messages import Answer, Generate, Open, Opened, Received, Submitted, encode_line
from kreabench.rundir.inputs import INPUTS_FOLDER

STORING_THREADS = 8
"""At most, and no more than calls."""
FINISH_LIMIT_S = 8.0
"""How long calls in flight may take to end once they are to be cut short; then the process ends without them."""


class HostedWorker:
    """Carries out the orders of one load group at a hosted target."""

    def __init__(self, order: Open, send: Callable[[bytes], object], answering: Answering | None = None) -> None:
        """`send` takes a line for the driver; it is called by one thread at a time."""
        self._order = order
        self._send_line = send
        self._sending = threading.Lock()
        self._answering = answering or Answering()
        self._answering.hidden = secrets(order.target.key_env, os.environ)
        self._settings: dict[str, Setting] = {setting.id: setting for setting in order.settings}
        self._backend: HostedBackend | None = None
        self._closing = threading.Event()
        self._calls = ThreadPoolExecutor(max(1, order.concurrency), thread_name_prefix="call")
        self._storing = ThreadPoolExecutor(max(1, min(STORING_THREADS, order.concurrency)), thread_name_prefix="store")

    def open(self) -> None:
        """Open the back end and answer."""
        order, answering = self._order, self._answering
        started_utc, began = answering.now(), answering.clock()
        answer: Answer
        try:
            self._backend = hosted_backend_class(order.target.backend)()
            identity = self._backend.open(
                order.target,
                order.accelerations,
                order.settings,
                concurrency=order.concurrency,
                inputs=Path(order.run_path) / INPUTS_FOLDER,
            )
            answer = Opened(started_utc=started_utc, load_s=answering.clock() - began, identity=identity)
        except Exception as error:
            answer = answering.failed(error, "load", started_utc, began)
        self._send(answering.line(answer, "load", started_utc, began))

    def start(self, order: Generate, intended_s: float) -> None:
        """Have a thread carry out `order`, which was read at `intended_s` of the performance counter."""
        if order.intended_s is not None:
            intended_s = order.intended_s
        self._calls.submit(self._carry_out, order, intended_s, self._answering.now())

    def finish(self) -> None:
        """Cut short what is in flight, answer it, and release everything. The process ends if that takes too long."""
        watchdog = threading.Timer(FINISH_LIMIT_S, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        self._closing.set()
        if self._backend is not None:
            try:
                self._backend.close()
            except Exception:
                self._answering.log(traceback.format_exc())
        self._calls.shutdown()
        self._storing.shutdown()
        watchdog.cancel()

    def _give_up(self) -> None:
        self._answering.log(f"calls in flight did not end within {FINISH_LIMIT_S:g} s; the worker ends without them")
        os._exit(1)

    def _carry_out(self, order: Generate, intended_s: float, started_utc: str) -> None:
        request_id = order.request.id
        if (early_s := intended_s - self._answering.clock()) > 0:
            self._closing.wait(early_s)
            started_utc = self._answering.now()
        try:
            if self._closing.is_set():
                raise _not_begun(order)
            assert self._backend is not None  # noqa: S101 - the driver opens before it asks for anything
            ticket = Ticket(
                intended_s=intended_s,
                submitted=lambda service_id: self._send(
                    encode_line(Submitted(request_id=request_id, service_request_id=service_id))
                ),
                earlier_id=order.earlier_id,
            )
            generation = self._backend.generate(self._settings[order.setting_id], order.request, ticket)
        except Exception as error:
            failed = self._answering.failed(error, "generate", started_utc, intended_s, request_id=request_id)
            self._send(encode_line(failed))
            return
        self._storing.submit(self._store, order, generation, intended_s, started_utc)
        self._send(encode_line(Received(request_id=request_id)))

    def _store(self, order: Generate, generation: Generation, intended_s: float, started_utc: str) -> None:
        request = order.request
        delivery = delivery_of(generation)
        answer: Answer
        try:
            images = stored(Path(self._order.run_path), self._settings[order.setting_id], request, generation, delivery)
            answer = self._answering.done(images, started_utc, request.id)
        except Exception as error:
            answer = self._answering.failed(
                error, "store", started_utc, intended_s, delivery=delivery, request_id=request.id
            )
        self._send(self._answering.line(answer, "generate", started_utc, intended_s, request.id))

    def _send(self, line: bytes) -> None:
        with self._sending, suppress(OSError):  # a driver that is gone is noticed by whoever reads orders
            self._send_line(line)


def _not_begun(order: Generate) -> GenerationError:
    """The run ended before the order's turn came."""
    return GenerationError(
        "the run was stopped before the request was sent",
        type="cancelled",
        stage="client",
        transient=True,
        fetch_again=order.earlier_id is not None,
    )
