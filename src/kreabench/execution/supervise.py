"""One worker process as the driver sees it: started, asked, found dead, stopped together with all its children."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kreabench.core.errors import EnvironmentProblem, Problem, StorageError
from kreabench.execution.channel import LineChannel
from kreabench.execution.child import STACKS_SIGNAL
from kreabench.execution.messages import Answer, Close, Order, decode_answer, encode_line

CLOSE_GRACE_S = 5.0
"""How long an idle worker may take to release its model and end before it is killed."""
LONGEST_WAIT_S = 86_400.0
"""Of one call of the operating system, whose own limit is 24 days; whoever waits longer asks again."""
STACKS_GRACE_S = 0.2
"""How long a worker that hangs may take to write into its log where it hangs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A worker that ended, or was ended at its time limit, without answering."""

    elapsed_s: float
    """Since the order was sent."""
    limit_s: float | None
    """The time limit that it passed; None where it ended by itself."""
    signal: int | None
    """The signal that ended it; None after an exit or a time limit."""
    exit_code: int | None
    reason: str = ""
    """In words, where neither signal nor exit code is known: the machine that it ran on is gone."""


class HasFileno(Protocol):
    """What a selector can wait for."""

    def fileno(self) -> int: ...


class WorkerProcess:
    """A worker process and the line to it. It must be stopped by `stop`, from the thread that made it."""

    def __init__(self, *, log_path: Path, environ: Mapping[str, str], label: str) -> None:
        """Start it. `label` heads its part of the log.

        Raises StorageError where the log cannot be written and EnvironmentProblem where no process can be started.
        """
        near, far = socket.socketpair()
        with far:
            try:
                self._process = _spawn(far.fileno(), log_path, environ, label)
            except BaseException:
                near.close()
                raise
        self._channel = LineChannel(near)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._selector = selectors.EpollSelector()  # which can itself be waited for
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(self._pidfd, selectors.EVENT_READ)
        self._busy = False
        self._stopped = False
        self._began_s, self._limit_s = time.monotonic(), LONGEST_WAIT_S

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process is still there; does not wait."""
        return not self._stopped and not self._ended_within(0.0)

    def ask(self, order: Order, limit_s: float) -> Answer | Death:
        """Send an order and wait for its answer, the end of the process, or `limit_s`; then it is killed."""
        self.begin(order, limit_s)
        while True:
            answer = self.poll(max(self.left_s(), 0.0))
            if answer is not None:
                return answer

    def begin(self, order: Order, limit_s: float) -> None:
        """Hand over an order that may take `limit_s`; its answer comes by `poll`, once this can be read."""
        self._began_s, self._limit_s = time.monotonic(), limit_s
        self._busy = not isinstance(order, Close)
        self._channel.send(encode_line(order))
        self._arm()

    def poll(self, wait_s: float = 0.0) -> Answer | Death | None:
        """The answer to the order that was begun, or the end of the process; None where there is neither within
        `wait_s`. A process that has passed its limit is killed."""
        # Also looks when the time is up: the driver itself may have been asleep.
        left_s = self.left_s()
        gone = self._wait(wait_s)
        line = self._channel.take_line()
        if line is not None:
            self._busy = False
            return decode_answer(line)
        elapsed_s = time.monotonic() - self._began_s
        if gone:
            return self.bury(elapsed_s)
        return self.time_out(elapsed_s, self._limit_s) if left_s <= 0 else None

    def left_s(self) -> float:
        """Seconds that the order which was begun may still take; negative when it is late."""
        return self._began_s + self._limit_s - time.monotonic()

    def fileno(self) -> int:
        """Can be read as soon as `poll` has something to say, but for the passing of time."""
        return self._selector.fileno()

    def send(self, order: Order) -> None:
        """Hand over an order without waiting for anything; answers come by `receive`."""
        self._channel.send(encode_line(order))

    def receive(self, limit_s: float) -> tuple[list[Answer], bool]:
        """Wait for something to happen, at most `limit_s`: the answers that have come, in order, and whether it ended.

        Comes back early, with nothing, when what `watch` was given becomes readable.
        """
        gone = self._wait(max(limit_s, 0.0))
        answers = [decode_answer(line) for line in iter(self._channel.take_line, None)]
        return answers, gone

    def watch(self, other: HasFileno) -> None:
        """Have `receive` also wake up by `other`."""
        self._selector.register(other, selectors.EVENT_READ)

    def bury(self, elapsed_s: float = 0.0) -> Death:
        """How a worker ended that is known to have ended, or to have hung up; ends what is left of it."""
        self._ended_within(CLOSE_GRACE_S)
        self.kill()
        code = self._process.returncode
        return Death(
            elapsed_s=elapsed_s,
            limit_s=None,
            signal=-code if code < 0 else None,
            exit_code=code if code >= 0 else None,
        )

    def time_out(self, elapsed_s: float, limit_s: float) -> Death:
        """End a worker that passed a time limit; it writes into its log first where it hangs."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, STACKS_SIGNAL)
        self._ended_within(STACKS_GRACE_S)
        self.kill()
        return Death(elapsed_s=elapsed_s, limit_s=limit_s, signal=None, exit_code=None)

    def stop(self) -> None:
        """End it and all its children: politely when it is idle, at once when it has an order in hand."""
        try:
            if not self._busy and self.alive():
                self._channel.send(encode_line(Close()))
                self._ended_within(CLOSE_GRACE_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it and all its children at once."""
        if self._stopped:
            return
        # The group first: once the process is reaped, its number may belong to somebody else.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._stopped = True
        self._selector.close()
        self._channel.close()
        os.close(self._pidfd)

    def _wait(self, seconds: float) -> bool:
        """Wait for something to happen; whether the process is gone or has hung up. All that it sent is taken in."""
        self._arm()
        ready = {key.fd for key, _ in self._selector.select(min(seconds, LONGEST_WAIT_S))}
        gone = self._pidfd in ready
        # Read after the look at the pidfd, so that an answer sent just before the end is not missed.
        connected = self._channel.receive()
        return gone or not connected

    def _arm(self) -> None:
        """Wake up by what can be read and, while something is unsent, by room to send it."""
        unsent = self._channel.flush()
        self._selector.modify(self._channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0))

    def _ended_within(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pidfd, selectors.EVENT_READ)
            return bool(selector.select(seconds))


def _spawn(descriptor: int, log_path: Path, environ: Mapping[str, str], label: str) -> subprocess.Popen[bytes]:
    # -P: a file in the working directory that is named like a module must not be imported in its place.
    command = [sys.executable, "-P", "-m", "kreabench.execution.worker", str(descriptor), str(os.getpid())]
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log = log_path.open("ab", buffering=0)
    except OSError as error:
        raise _unwritable(log_path, error) from error
    with log:
        try:
            log.write(f"--- {label}\n".encode())
        except OSError as error:
            raise _unwritable(log_path, error) from error
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(descriptor,),
                start_new_session=True,
                env=dict(environ),
            )
        except OSError as error:
            raise EnvironmentProblem(
                [Problem(key="worker process", found=str(error), expected="a process that can be started")]
            ) from error


def _unwritable(log_path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{log_path}: {error.strerror}; expected a file that can be written",
        remedy="Free some space or choose another run directory, then resume.",
    )
