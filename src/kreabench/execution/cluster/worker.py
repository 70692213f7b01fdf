"""A worker of the cluster as the driver sees it: orders go to the actor of its seat, one at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from kreabench.core.errors import StorageError
from kreabench.execution.messages import Answer, Close, Order, decode_answer, encode_line
from kreabench.execution.supervise import Death
from kreabench.rundir import codec

REACH_S = 30.0
"""How much longer than an order's own limit its answer may take before the node is taken to be lost."""


class Bell:
    """Becomes readable when something has come from the cluster. May be rung from any thread."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def ring(self, _: object = None) -> None:
        with self._lock:
            if self._descriptor >= 0:  # else nobody listens any more
                os.eventfd_write(self._descriptor, 1)

    def quiet(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        with self._lock:  # another thread must not ring what has the same number afterwards
            os.close(self._descriptor)
            self._descriptor = -1


class Place(Protocol):
    """The seat of a worker."""

    def usable(self) -> bool: ...

    def lose(self) -> None:
        """Give it up: its actor is ended, which ends the worker."""

    def call(self, order: bytes, limit_s: float) -> Future[Any]:
        """Have the actor carry out an order."""


class ClusterWorker:
    """See `execution.steps.WorkerHandle`."""

    def __init__(self, place: Place, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._future: Future[Any] | None = None
        self._began_s = self._limit_s = 0.0
        self._closing = self._closed = False

    def alive(self) -> bool:
        return self._place.usable() and not self._closed

    def begin(self, order: Order, limit_s: float) -> None:
        self._began_s, self._limit_s, self._closing = self._clock(), limit_s, isinstance(order, Close)
        self._future = self._place.call(encode_line(order), limit_s)

    def poll(self) -> Answer | Death | None:
        """Raises StorageError where the node cannot write the worker's log."""
        assert self._future is not None  # noqa: S101 - asked only after `begin`
        if not self._future.done():
            return self._lost(f"no answer from its node within {self._limit_s + REACH_S:g} s") if self._late() else None
        try:
            said = self._future.result()
        except Exception as error:  # whatever Ray says, this seat is no more
            return self._lost(f"its node or its actor was lost ({type(error).__name__})")
        self._future = None
        if "refused" in said:
            message, remedy = said["refused"]
            raise StorageError(message, remedy=remedy)
        if "death" in said:
            self._closed = True
            return codec.convert(said["death"], Death)
        return decode_answer(said["answer"])

    def left_s(self) -> float:
        return self._began_s + self._limit_s + REACH_S - self._clock()

    def bury(self) -> Death:
        return self._lost("its node or its actor was lost")

    def stop(self) -> None:
        if not self._closed:
            self._closed = True
            self._place.lose()

    def _late(self) -> bool:
        return self.left_s() <= 0

    def _lost(self, reason: str) -> Death:
        self._closed, self._future = True, None
        self._place.lose()
        elapsed_s = self._clock() - self._began_s
        return Death(elapsed_s=elapsed_s, limit_s=None, signal=None, exit_code=None, reason=reason)
