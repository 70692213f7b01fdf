"""The thread that draws: everything slow happens here, so that the event loop answers at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from kreabench.emulator.order import Painter

T = TypeVar("T")


class Studio:
    """Opens the painter, does one thing after the other, and closes the painter, all in one thread."""

    def __init__(self, painter: Painter) -> None:
        self.painter = painter
        self._orders: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._opened: Future[None] = Future()
        # A daemon, so that a signal during a long load ends the process at once.
        self._thread = threading.Thread(target=self._work, name="studio", daemon=True)

    def start(self) -> None:
        """Return when the painter is ready. Raises whatever its `open` raised."""
        self._thread.start()
        self._opened.result()

    def do(self, what: Callable[[], T]) -> Future[T]:
        """Have `what` called in the thread, after everything that was asked before."""
        done: Future[T] = Future()
        self._orders.put((what, done))
        return done

    def stop(self, *, timeout_s: float = 2.0) -> None:
        """Finish the picture in hand, if it ends in time, and let the thread go."""
        self._orders.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            try:
                self.painter.open()
            except BaseException as error:
                self._opened.set_exception(error)
                return
            self._opened.set_result(None)
            while (order := self._orders.get()) is not None:
                what, done = order
                if not done.set_running_or_notify_cancel():
                    continue  # whoever asked has gone
                try:
                    done.set_result(what())
                except BaseException as error:
                    done.set_exception(error)
        finally:
            self.painter.close()
