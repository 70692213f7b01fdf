"""One load group at a hosted target: many requests in flight, nothing sent twice, an end in good order.

The journal is ahead of the network: that a request is about to be sent is on the disk before it is, and the service's
id of it as soon as it is known. Whatever ends a worker, the next one fetches by that id what its predecessor asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from kreabench.core.errors import BudgetReached, StorageError
from kreabench.core.planned import Request
from kreabench.core.records import Failure, LoadRecord, Record
from kreabench.execution.engine import MAX_WORKER_DEATHS, GroupWork
from kreabench.execution.flights import Flight, Requests
from kreabench.execution.group_run import Surroundings
from kreabench.execution.hosted_answers import HostedAnswers
from kreabench.execution.interrupts import Interrupt, interruptible
from kreabench.execution.messages import Close, Generate, Open, Opened
from kreabench.execution.opening import first_answer
from kreabench.execution.outcomes import Trouble, load_failure, trouble_of_death, trouble_of_failed
from kreabench.execution.supervise import Death, WorkerProcess
from kreabench.execution.throttle import Throttle

Batch = tuple[Record, ...]

CLOSING_LIMIT_S = 10.0
"""How long a worker may take to cut short what is in flight after an interrupt."""
MAX_IN_HAND = 2
"""Orders that a worker may have in hand, those included whose pictures wait in its memory to be stored: a multiple of
the concurrency."""
LONG_S = 86_400.0
"""Waiting for something that has no time limit."""


class HostedGroupRun:
    """Runs one load group with one worker at a time. `batches` may be called once."""

    def __init__(self, work: GroupWork, around: Surroundings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._group = work.group
        self._around = around
        self._clock = clock
        self._requests = Requests(work)
        self._throttle = Throttle(work.group.concurrency, clock=clock)
        self._answers = HostedAnswers(work.group, self._requests, self._throttle, around.now)
        self._beside = around.beside
        self._worker: WorkerProcess | None = None
        self._load_deaths = 0
        self._idle_deaths = 0
        """Workers that died with nothing in hand since the last answer to a request."""

    @property
    def target_name(self) -> str:
        return self._group.target.name

    def batches(self) -> Generator[Batch, None, None]:
        """Every record, those that came together at once. However this ends, the worker is stopped.

        Where something goes on beside it, also empty batches, whenever that has to be looked after.

        Raises BudgetReached and StorageError after what was in flight has ended, and KeyboardInterrupt after the first
        Ctrl-C has cut it short.
        """
        with interruptible() as interrupt:
            try:
                yield from whole(self._answers.lost(self._requests.lost))
                while self._is_going_on() and not interrupt.requested:
                    yield from self._step(interrupt)
                    if self._beside is not None:
                        yield ()
                if interrupt.requested:
                    yield from self._wind_down(interrupt)
                    raise KeyboardInterrupt
                if self._answers.storage is not None:
                    raise StorageError(self._answers.storage.message, remedy=self._answers.storage.remedy)
            finally:
                self._drop_worker()

    def give_up(self, error: Failure) -> Iterator[Batch]:
        """Nothing can be opened: say so, and fail every request that is left so that a later resume tries it again."""
        yield from whole(self._answers.lost(self._requests.lost))
        trouble = Trouble(error=error, started_utc=self._around.now(), elapsed_s=0.0, died=False)
        yield from whole(self._open_failed(trouble))

    def _is_going_on(self) -> bool:
        if self._answers.storage is not None:  # what is drawn from now on would be paid for only to be lost
            return bool(self._requests.flights)
        return bool(self._requests.flights or self._requests.queue)

    def _step(self, interrupt: Interrupt) -> Iterator[Batch]:
        if self._worker is None:
            yield from whole(self._open(interrupt))
        elif self._answers.worn and not self._requests.flights:
            self._drop_worker()
            self._answers.worn = False
        else:
            yield from self._send(self._worker)
            yield from whole(self._take(self._worker))

    def _open(self, interrupt: Interrupt) -> list[Record]:
        """Start a worker and have it open the back end. Nothing comes of it when an interrupt comes first."""
        group = self._group
        self._worker = worker = self._around.launch()
        worker.watch(interrupt)
        order = Open(
            target=group.target,
            accelerations=group.accelerations,
            settings=group.settings,
            run_path=str(self._around.run_path),
            concurrency=group.concurrency,
        )
        started_utc = self._around.now()
        worker.send(order)
        answer = first_answer(worker, interrupt, self._around.spec.load_timeout_s, self._clock)
        if answer is None:
            worker.kill()
            self._worker = None
            return []
        if isinstance(answer, Opened):
            self._load_deaths = 0
            if self._beside is not None:  # only now: whoever waits for the first answer looks after nothing else
                worker.watch(self._beside)
            return [
                LoadRecord(
                    group_id=group.id,
                    target=group.target.name,
                    started_utc=answer.started_utc,
                    load_s=answer.load_s,
                    identity=answer.identity,
                )
            ]
        if isinstance(answer, Death):
            trouble = self._trouble_of_death(answer, "load", started_utc)
        else:
            trouble = trouble_of_failed(answer)
        self._drop_worker()
        return self._open_failed(trouble)

    def _open_failed(self, trouble: Trouble) -> list[Record]:
        self._load_deaths += trouble.died
        records: list[Record] = [load_failure(self._group, trouble, max(1, self._load_deaths))]
        if not trouble.died or self._load_deaths >= MAX_WORKER_DEATHS:
            records += self._answers.none_sent(trouble)
        return records

    def _send(self, worker: WorkerProcess) -> Iterator[Batch]:
        """Send what may go. What is new is journalled first, all of it at once."""
        flights = self._chosen()
        yield from whole([self._answers.submission(flight) for flight in flights if not flight.fetching])
        for flight in flights:
            flight.sent_s, flight.started_utc = self._clock(), self._around.now()
            flight.throttled = self._throttle.limit < self._group.concurrency
            self._requests.flights[flight.request.id] = flight
            request = flight.request
            worker.send(
                Generate(
                    setting_id=request.setting_id,
                    request=request,
                    earlier_id=flight.service_id,
                    intended_s=self._intended_s(request),
                )
            )

    def _intended_s(self, request: Request) -> float | None:
        """When `request` is meant to start; None: as soon as the worker has it."""
        return None

    def _chosen(self) -> list[Flight]:
        """Requests taken from the queue and admitted to the budget. Raises BudgetReached when nothing is in flight."""
        chosen: list[Flight] = []
        for _ in range(self._places()):
            request = self._requests.queue[0]
            alone = self._requests.is_suspect(request)
            if alone and (chosen or self._requests.flights):
                break
            service_id = self._requests.known.get(request.id)
            if service_id is None:  # else its price is reserved since it was submitted
                try:
                    self._around.admit(self._group, request)
                except BudgetReached:
                    if chosen or self._requests.flights:
                        break  # some of these may turn out to cost less than was reserved for them
                    raise
            self._requests.queue.popleft()
            chosen.append(self._flight(request, service_id))
            if alone:
                break
        return chosen

    def _flight(self, request: Request, service_id: str | None) -> Flight:
        return Flight(
            request=request,
            attempt=self._requests.attempt(request),
            sent_s=self._clock(),
            started_utc="",
            service_id=service_id,
            fetching=service_id is not None,
        )

    def _places(self) -> int:
        """How many requests may be sent now."""
        flights = self._requests.flights
        blocked = (
            self._answers.storage is not None
            or self._answers.worn
            or any(map(self._is_late, flights.values()))
            or any(self._requests.is_suspect(flight.request) for flight in flights.values())
        )
        if blocked:
            return 0
        concurrency = self._group.concurrency
        # Where requests are timed one by one, storing the last picture does not run beside the next request.
        most = concurrency if concurrency == 1 else MAX_IN_HAND * concurrency
        free = self._throttle.free(self._requests.in_flight())
        return min(free, most - len(flights), len(self._requests.queue))

    def _take(self, worker: WorkerProcess) -> list[Record]:
        """Wait for what comes next and take everything that has come."""
        answers, gone = worker.receive(self._patience())
        settled_before = self._answers.settled
        records = self._answers.records(answers)
        if self._answers.settled > settled_before:
            self._idle_deaths = 0
        if gone:
            return records + self._gone(worker)
        if self._must_end():
            records += self._timed_out(worker)
        return records

    def _patience(self) -> float:
        """Seconds until there is something to do even if nothing comes."""
        flights = self._requests.flights.values()
        waits = [self._deadline(flight) - self._clock() for flight in flights if not self._is_late(flight)]
        if self._requests.queue and self._throttle.pause_s() > 0:
            waits.append(self._throttle.pause_s())
        if self._beside is not None:
            waits.append(self._beside.patience_s())
        return max(0.0, min(waits, default=LONG_S))

    def _deadline(self, flight: Flight) -> float:
        return flight.sent_s + self._around.spec.sample_timeout_s

    def _is_late(self, flight: Flight) -> bool:
        return self._clock() >= self._deadline(flight)

    def _must_end(self) -> bool:
        """Whether some order is late, and none is in time that would be lost with the worker for want of a name."""
        late = [self._is_late(flight) for flight in self._requests.flights.values()]
        unnamed = [flight.service_id is None for flight in self._requests.flights.values()]
        return any(late) and not any(lost and not over for lost, over in zip(unnamed, late, strict=True))

    def _timed_out(self, worker: WorkerProcess) -> list[Record]:
        limit_s = self._around.spec.sample_timeout_s
        self._worker = None
        trouble = self._trouble_of_death(worker.time_out(limit_s, limit_s), "generate", self._around.now())
        return self._answers.expired(trouble, self._is_late)

    def _gone(self, worker: WorkerProcess) -> list[Record]:
        """The worker died. With nothing in hand nobody is to blame, but it must not be started for ever."""
        death = worker.bury()
        self._worker = None
        idle = not self._requests.flights
        self._idle_deaths += idle
        if idle and self._idle_deaths >= MAX_WORKER_DEATHS:
            return self._open_failed(self._trouble_of_death(death, "load", self._around.now()))
        return self._answers.died(self._trouble_of_death(death, "generate", self._around.now()))

    def _trouble_of_death(self, death: Death, stage: str, started_utc: str) -> Trouble:
        key = {"load": "load_timeout_s", "generate": "sample_timeout_s"}[stage]
        return trouble_of_death(
            death, stage=stage, limit_key=f"engine.{key}", log_name=self._around.log_name, started_utc=started_utc
        )

    def _wind_down(self, interrupt: Interrupt) -> Iterator[Batch]:
        """Have the worker cut short what is in flight, and take what comes of it."""
        if self._worker is None or not self._requests.flights:
            return
        interrupt.acknowledge()
        self._answers.closing = True
        self._worker.send(Close())
        ends_s = self._clock() + CLOSING_LIMIT_S
        gone = False
        while self._requests.flights and not gone and self._clock() < ends_s:
            answers, gone = self._worker.receive(ends_s - self._clock())
            yield from whole(self._answers.records(answers))
        # What nobody answered is as the journal has it: submitted.

    def _drop_worker(self) -> None:
        """End the worker: politely when it has nothing in hand."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if self._requests.flights:
            worker.kill()
        else:
            worker.stop()


def whole(records: list[Record]) -> Iterator[Batch]:
    """`records` as one batch; nothing for none."""
    if records:
        yield tuple(records)
