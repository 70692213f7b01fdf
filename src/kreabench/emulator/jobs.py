"""One request of the emulated service, from acceptance to its outcome, and everything that is known of it."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from kreabench.emulator.billing import Bill
from kreabench.emulator.endpoints import Endpoint
from kreabench.emulator.validation import Wanted

State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One instant on both clocks."""

    monotonic_s: float
    utc_s: float

    @classmethod
    def now(cls) -> Moment:
        """Both clocks, read one after the other."""
        return cls(monotonic_s=time.monotonic(), utc_s=time.time())


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """A job that gave pictures."""

    wanted: Wanted
    seed: int
    size: tuple[int, int]
    """Width and height as the result names them."""
    pictures: tuple[bytes, ...]
    flagged: tuple[bool, ...]
    """`has_nsfw_concepts` of each picture."""
    inference_s: float
    """`timings.inference` of the result."""
    bill: Bill


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A job that ended in an error; its HTTP status and body come with the result."""

    status_code: int
    body: dict[str, Any]
    error_type: str | None = None
    user_timeout: bool = False


Outcome = Delivered | Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a client sent: the body and what its headers and address ask for."""

    endpoint: Endpoint
    body: Any
    via: Literal["queue", "run", "stream"] = "queue"
    start_timeout_s: float | None = None
    hint: str | None = None
    low_priority: bool = False
    no_retry: bool = False
    disable_fallback: bool = False
    store: bool = True
    webhook: str | None = None
    body_bytes: int = 0
    """Length of the body as sent."""


@dataclass(kw_only=True, eq=False)
class Job:
    """Changed in the event loop's thread alone."""

    asked: Asked
    number: int = 0
    """Of the submission, counted from 0; with the seed it decides fault and times."""
    fault: str | None = None
    queue_s: float = 0.0
    inference_s: float = 0.0
    received: Moment = field(default_factory=Moment.now)
    """The first byte of the submission."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = "IN_QUEUE"
    accepted: Moment = field(default_factory=Moment.now)
    submit_sent: Moment | None = None
    started: Moment | None = None
    """Of the last runner that took it."""
    finished: Moment | None = None
    result_sent: Moment | None = None
    pictures_sent: dict[int, Moment] = field(default_factory=dict)
    runners: list[str] = field(default_factory=list)
    """Every runner that took it, in order."""
    outcome: Outcome | None = None
    body_sha256: str = ""
    """The same for two bodies that say the same to the same endpoint."""
    same_body_before: int = 0
    """How many earlier jobs had the same body at the same endpoint."""
    written: bool = False
    """Whether the truth log has it."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: set[asyncio.Queue[State]] = field(default_factory=set)
    _struck: set[str] = field(default_factory=set)

    def strike(self, *names: str) -> str | None:
        """The job's fault if it is one of `names` and has not struck yet; it then has."""
        if self.fault in names and self.fault not in self._struck:
            self._struck.add(self.fault)
            return self.fault
        return None

    def move(self, state: State) -> None:
        """Enter `state` and tell everybody who watches."""
        self.state = state
        self.tell()

    def tell(self) -> None:
        """Have the watchers look again."""
        for watcher in self.watchers:
            watcher.put_nowait(self.state)

    @property
    def runner(self) -> str | None:
        """The last one that took it."""
        return self.runners[-1] if self.runners else None

    @property
    def size_bytes(self) -> int:
        """Of what it keeps in memory: the request's body and the pictures."""
        pictures = self.outcome.pictures if isinstance(self.outcome, Delivered) else ()
        return self.asked.body_bytes + sum(map(len, pictures))

    @property
    def running_s(self) -> float | None:
        """What the service reports as `metrics.inference_time`; None for a job that never ran."""
        if self.started is None or self.finished is None:
            return None
        return self.finished.monotonic_s - self.started.monotonic_s

    @property
    def settled(self) -> bool:
        """Whether nothing more is expected of it: an error or a result was fetched, and every picture with it."""
        if not isinstance(self.outcome, Delivered):
            cancelled = isinstance(self.outcome, Refused) and self.outcome.status_code == 499
            return cancelled or (self.outcome is not None and self.result_sent is not None)
        inside = self.outcome.wanted.sync_mode
        return self.result_sent is not None and (inside or len(self.pictures_sent) == len(self.outcome.pictures))


def client_cancelled() -> Refused:
    """The outcome of a job that its client cancelled; the real status is not documented, 499 is assumed."""
    return Refused(
        status_code=499, body={"detail": "Request was cancelled by the client"}, error_type="client_cancelled"
    )


def start_timeout() -> Refused:
    """The outcome of a job that waited longer than its client allowed."""
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
