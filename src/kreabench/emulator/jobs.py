"""Jobs of the emulated service: one queue, first in, first out, and one runner thread."""

from __future__ import annotations

import math
import random
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from kreabench.emulator.schema import KreaInput

KEPT_RESULTS = 256
KEPT_BYTES = 256 * 2**20
MAX_QUEUED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One instant on both clocks."""

    monotonic_s: float
    utc_s: float

    @classmethod
    def now(cls) -> Moment:
        return cls(monotonic_s=time.monotonic(), utc_s=time.time())


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """A job that gave pictures."""

    wanted: KreaInput
    seed: int
    pictures: tuple[bytes, ...]
    inference_s: float
    """Time of the painter alone."""
    billable_units: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A job that ended in an error; its HTTP status and body come with the result."""

    status_code: int
    body: dict[str, Any]
    error_type: str | None = None
    user_timeout: bool = False


@dataclass(kw_only=True, eq=False)
class Job:
    """One request from acceptance to its outcome. Changed only under the queue's lock or by the runner."""

    body: Any
    start_timeout_s: float | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"] = "IN_QUEUE"
    accepted: Moment = field(default_factory=Moment.now)
    started: Moment | None = None
    finished: Moment | None = None
    outcome: Delivered | Refused | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: Future[None] = field(default_factory=Future)

    @property
    def size_bytes(self) -> int:
        """Of the pictures it keeps."""
        return sum(map(len, self.outcome.pictures)) if isinstance(self.outcome, Delivered) else 0

    @property
    def running_s(self) -> float | None:
        """What the service reports as `metrics.inference_time`; None for a job that never ran."""
        if self.started is None or self.finished is None:
            return None
        return self.finished.monotonic_s - self.started.monotonic_s

    def expired(self) -> bool:
        """Whether it waited longer than the client allowed before any work began."""
        waited = time.monotonic() - self.accepted.monotonic_s
        return self.start_timeout_s is not None and waited > self.start_timeout_s


class QueueFull(Exception):
    """No further job is taken; memory stays bounded."""


class JobQueue:
    """All jobs that are known, newest results last. Safe to use from any thread."""

    def __init__(self, *, queue_s: float, on_finish: Callable[[Job], None]) -> None:
        self._queue_s = queue_s
        self._on_finish = on_finish
        self._waiting: deque[Job] = deque()
        self._jobs: dict[str, Job] = {}
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, job: Job) -> None:
        """Put `job` at the end. Raises QueueFull."""
        with self._changed:
            if len(self._waiting) >= MAX_QUEUED:
                raise QueueFull
            self._waiting.append(job)
            self._jobs[job.id] = job
            self._changed.notify()

    def find(self, job_id: str) -> Job | None:
        """The job, unless it never was or its result is no longer kept."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is not None and job.state == "IN_QUEUE" and job.expired():
                self._withdraw(job, _start_timeout())
            return job

    def position(self, job: Job) -> int:
        """How many jobs wait before it."""
        with self._changed:
            return self._waiting.index(job) if job in self._waiting else 0

    def cancel(self, job: Job) -> bool:
        """Take `job` out of the queue, or have its result thrown away. False when it is already completed."""
        with self._changed:
            if job.state == "COMPLETED":
                return False
            job.cancelled.set()
            if job.state == "IN_QUEUE":
                self._withdraw(job, client_cancelled())
            return True

    def take(self) -> Job | None:
        """Wait for the next job and mark it as running; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                if not self._waiting:
                    self._changed.wait()
                    continue
                head = self._waiting[0]
                left_s = head.accepted.monotonic_s + self._queue_s - time.monotonic()
                if head.expired():
                    self._withdraw(head, _start_timeout())
                elif left_s > 0:
                    self._changed.wait(left_s)
                else:
                    self._waiting.popleft()
                    head.started = Moment.now()
                    head.state = "IN_PROGRESS"
                    return head
            return None

    def finish(self, job: Job, outcome: Delivered | Refused) -> None:
        """Record the outcome; from here on the client sees it. Old results beyond the bounds are forgotten."""
        with self._changed:
            job.outcome = outcome
            job.finished = Moment.now()
            job.state = "COMPLETED"
            self._kept[job.id] = job.size_bytes
            while len(self._kept) > KEPT_RESULTS or (len(self._kept) > 1 and sum(self._kept.values()) > KEPT_BYTES):
                oldest, _ = self._kept.popitem(last=False)
                del self._jobs[oldest]
        self._on_finish(job)
        job.done.set_result(None)

    def close(self) -> None:
        """Let `take` return None and cut short what is running."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancelled.set()
            self._changed.notify_all()

    def _withdraw(self, job: Job, outcome: Refused) -> None:
        self._waiting.remove(job)
        self.finish(job, outcome)


def client_cancelled() -> Refused:
    """The outcome of a job that its client cancelled; the real status is not documented, 499 is assumed."""
    return Refused(
        status_code=499, body={"detail": "Request was cancelled by the client"}, error_type="client_cancelled"
    )


def _start_timeout() -> Refused:
    return Refused(
        status_code=504,
        body={"detail": "Request did not start within the asked time"},
        error_type="request_timeout",
        user_timeout=True,
    )


class SeedSource:
    """Seeds for requests that bring none."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)  # noqa: S311  (pictures, not secrets)

    def next(self) -> int:
        """Between 0 and 2³² − 1."""
        return self._random.randrange(2**32)


def billable_units(width: int, height: int, num_images: int, megapixel_pixels: int) -> float:
    """Megapixels billed: each picture is rounded up to the next whole one."""
    return float(math.ceil(width * height / megapixel_pixels) * num_images)
