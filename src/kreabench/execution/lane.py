"""One seat of the pool, and what its worker is doing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kreabench.core.records import LoadRecord, Record, SampleRecord, WarmupRecord
from kreabench.execution.backlog import Backlog
from kreabench.execution.messages import Close, Generate, Open, Warmup
from kreabench.execution.seats import Seat
from kreabench.execution.steps import Ask, End, Idle, Steps

DISTURBED = "drawn beside other workers on the same processor"
"""Flag of such a sample, which is no timing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """Somebody at work beside a request."""

    target: str
    host: str


class Lane:
    """Runs the steps of one load group after the other."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.backlog: Backlog | None = None
        self.next: Backlog | None = None
        """Of a lane that lets its worker go: for what."""
        self.asked: Ask | None = None
        """Under way."""
        self.is_idle = False
        """It has a loaded model and nothing to draw with it."""
        self.is_loaded = False
        """Its worker has the model of `backlog`."""
        self._steps: Steps | None = None
        self._answer: Any = None
        self._beside: set[Neighbour] = set()
        """At work at any time since the last request was handed over."""

    @property
    def is_free(self) -> bool:
        return self._steps is None

    @property
    def is_ready(self) -> bool:
        """Whether `advance` has something to do."""
        return self._steps is not None and self.asked is None and not self.is_idle

    @property
    def is_at_work(self) -> bool:
        """Whether its worker has something in hand that others could feel."""
        return self.asked is not None and not isinstance(self.asked.order, Close)

    @property
    def is_preparing(self) -> bool:
        """Whether its worker is getting ready for requests, and has none in hand."""
        return self.asked is not None and isinstance(self.asked.order, Open | Warmup)

    def start(self, backlog: Backlog, steps: Steps) -> None:
        self.backlog, self.next, self._steps = backlog, None, steps

    def go_on(self) -> None:
        """There is something to draw again."""
        self.is_idle = False

    def finish(self, next_: Backlog | None) -> None:
        """Let the idle worker go."""
        self.is_idle, self._answer, self.next = False, End(), next_

    def close(self) -> None:
        """End whatever it does, and its worker."""
        steps, self._steps = self._steps, None
        self._clear()
        if steps is not None:
            steps.close()

    def poll(self) -> bool:
        """Whether the answer to what it asked has come."""
        if self.asked is None:
            return False
        answer = self.asked.worker.poll()
        if answer is None:
            return False
        self.asked, self._answer = None, answer
        return True

    def advance(self) -> Record | None:
        """Go on to the next record; None where there is none before something is waited for."""
        assert self._steps is not None  # noqa: S101 - only lanes that are ready are asked to
        answer, self._answer = self._answer, None
        try:
            step = self._steps.send(answer)
        except BaseException as error:
            self._steps = None
            self._clear()
            if isinstance(error, StopIteration):
                return None
            raise
        if isinstance(step, Ask):
            if isinstance(step.order, Generate):
                self._beside = set()
            if isinstance(step.order, Open | Close):
                self.is_loaded = False
            step.worker.begin(step.order, step.limit_s)
            self.asked = step
        elif isinstance(step, Idle):
            self.is_idle = True
        else:
            return self._told(step)
        return None

    def feel(self, neighbour: Neighbour) -> None:
        """Somebody is at work beside it."""
        self._beside.add(neighbour)

    def _told(self, record: Record) -> Record:
        """`record` with where it was drawn, and beside what."""
        if isinstance(record, LoadRecord | WarmupRecord):
            self.is_loaded = True
            return replace(record, worker=self.seat.name)
        if not isinstance(record, SampleRecord):
            return record
        beside, self._beside = self._beside, set()
        disturbed = self.seat.on_processor and any(one.host == self.seat.host for one in beside)
        return replace(
            record,
            worker=self.seat.name,
            beside=tuple(sorted({one.target for one in beside})),
            timing_valid=record.timing_valid and not disturbed,
            flags=(*record.flags, DISTURBED) if disturbed else record.flags,
        )

    def _clear(self) -> None:
        self.backlog = self.asked = self._answer = None
        self.is_idle = self.is_loaded = False
        self._beside = set()
