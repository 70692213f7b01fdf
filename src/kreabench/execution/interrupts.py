"""Ctrl-C while requests are in flight: the first asks to come to an end in good order, the second interrupts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether the end was asked for. Its descriptor can be read from then on, so that a selector wakes up by it."""

    def __init__(self) -> None:
        self.requested = False
        self._near, self._far = os.pipe()
        for end in (self._near, self._far):
            os.set_blocking(end, False)

    def fileno(self) -> int:
        return self._near

    def request(self) -> None:
        """Ask for the end. May be called from a signal handler."""
        self.requested = True
        with suppress(BlockingIOError):
            os.write(self._far, b".")

    def acknowledge(self) -> None:
        """Make the descriptor quiet again."""
        with suppress(BlockingIOError):
            os.read(self._near, 16)

    def close(self) -> None:
        os.close(self._near)
        os.close(self._far)


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """In the main thread, the first SIGINT or SIGTERM within the block is only noted, further ones interrupt at once.

    A signal that is ignored, or that ends the process without Python, is left as it is.
    """
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.request()

    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if in_main else {}
    replaced = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in replaced:
            signal.signal(number, handle)
        yield interrupt
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        interrupt.close()
