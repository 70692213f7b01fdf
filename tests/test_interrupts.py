"""The first signal asks, the second interrupts; what was there before is put back."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from kreabench.execution.interrupts import interruptible


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that the program turns into an interrupt, as the command line does."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    with interruptible() as interrupt:
        seen = [(interrupt.requested, is_readable(interrupt.fileno()))]
        os.kill(os.getpid(), number)
        seen.append((interrupt.requested, is_readable(interrupt.fileno())))
        assert seen == [(False, False), (True, True)]
        interrupt.acknowledge()
        assert not is_readable(interrupt.fileno())
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    with interruptible() as interrupt:
        os.kill(os.getpid(), number)
        assert not interrupt.requested


def test_other_threads_leave_signals_alone() -> None:
    seen = []

    def look() -> None:
        with interruptible() as interrupt:
            seen.append((signal.getsignal(signal.SIGINT), interrupt.requested))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
