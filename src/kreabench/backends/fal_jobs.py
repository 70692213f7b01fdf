"""The calls of one session that are under way, and how they end when the session is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kreabench.backends.fal_arguments import CHECK
from kreabench.backends.fal_calls import FalCall
from kreabench.backends.fal_failures import FETCHED_LATER
from kreabench.backends.fal_observe import Interrupted, Watch
from kreabench.core.errors import GenerationError


class Job:
    """One call of the back end."""

    def __init__(self, call: FalCall) -> None:
        self.call = call
        self.watch: Watch | None = None
        """Once the service knows the request."""


class Jobs:
    """All of them; for any number of threads."""

    def __init__(self, *, sleep: Callable[[float], None] | None = None) -> None:
        self.closing = threading.Event()
        self._sleep = sleep
        self._changed = threading.Condition()
        self._jobs: set[Job] = set()
        self._runners: set[str] = set()

    def admit(self, call: FalCall) -> Job:
        """Raises Interrupted where the session is being closed."""
        job = Job(call)
        with self._changed:
            if self.closing.is_set():
                raise Interrupted
            self._jobs.add(job)
        return job

    def dismiss(self, job: Job) -> None:
        """It has ended, either way."""
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    def pause(self, seconds: float) -> bool:
        """Wait; False, and at once, where the session is being closed."""
        if self._sleep is not None:
            self._sleep(seconds)
            return not self.closing.is_set()
        return not self.closing.wait(seconds)

    def count(self) -> tuple[int, int]:
        """How many are under way, and how many of them were seen in progress and not completed."""
        with self._changed:
            running = sum(job.watch is not None and job.watch.edges.running for job in self._jobs)
            return len(self._jobs), running

    def is_first_on(self, runner: str) -> bool:
        """Whether no request of this session was served by `runner` before; from now on one was."""
        with self._changed:
            first = runner not in self._runners
            self._runners.add(runner)
        return first

    def close(self, grace_s: float) -> None:
        """Let no further one in, end the waits of those under way, and give them `grace_s` to end by themselves."""
        with self._changed:
            self.closing.set()
            watches = [job.watch for job in self._jobs if job.watch is not None]
        for watch in watches:
            watch.abort()
        self.wait(grace_s)

    def wait(self, seconds: float) -> None:
        """Until none is under way, or so long."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._jobs and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)


def not_sent() -> GenerationError:
    """The session is closed, and of this request nothing has been sent."""
    return _cancelled("the run was stopped before the request was sent", CHECK, "`kreabench resume` sends it.")


def was_cancelled(stage: str) -> GenerationError:
    """The session is closed, and the service has dropped the request from its queue."""
    return _cancelled(
        "the run was stopped while the request was queued; it was cancelled",
        stage,
        "`kreabench resume` sends it again.",
    )


def abandoned(stage: str) -> GenerationError:
    """The session is closed, and the service has, or may have, begun."""
    message = "the run was stopped while the service was working on the request"
    return _cancelled(message, stage, FETCHED_LATER, fetch_again=True)


def _cancelled(message: str, stage: str, remedy: str, *, fetch_again: bool = False) -> GenerationError:
    return GenerationError(
        message, type="cancelled", stage=stage, transient=True, fetch_again=fetch_again, remedy=remedy
    )
