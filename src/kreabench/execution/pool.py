"""Load groups on many workers at once, driven by one thread: who draws what, and what comes of it.

A worker keeps its model while there is something to draw with it. One that has nothing to do takes the next group that
nobody draws; where there is none it joins others at theirs, if what is left there takes longer than loading the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.ids import slug
from kreabench.core.planned import LoadGroup
from kreabench.core.records import Failure, Record, SampleRecord
from kreabench.execution.backlog import Backlog
from kreabench.execution.engine import Admit, GroupWork
from kreabench.execution.group_run import GroupRun, Surroundings
from kreabench.execution.lane import Lane, Neighbour
from kreabench.execution.seats import Seat, Seats

LOGS_FOLDER = "logs"
LONG_S = 86_400.0
ELSEWHERE = ""
"""Host of a neighbour that only waits for a service."""
_OF_A_DEVICE = frozenset({"out_of_memory", "device_lost"})
"""Failures that say nothing of other devices of the same host."""


class Pool:
    """Runs load groups of local targets. Closing it, or any exception, stops all workers first."""

    def __init__(
        self,
        work: Sequence[GroupWork],
        seats: Seats,
        spec: EngineSpec,
        run_path: Path,
        admit: Admit,
        now: Callable[[], str],
    ) -> None:
        devices: dict[str, str] = {}
        self._backlogs = [Backlog(one, devices) for one in work]
        self._seats, self._spec, self._run_path, self._admit, self._now = seats, spec, run_path, admit, now
        self._lanes: list[Lane] = []
        self._barred: dict[str, set[str]] = {}
        """Group id → hosts on which its model cannot be loaded."""
        self._barred_seats: dict[str, list[Seat]] = {}
        """Group id → seats at which it cannot, though it may be at others of the same host."""
        self._error: BaseException | None = None
        """To be raised once what came before it is journalled."""
        self._beside: str | None = None
        """The hosted target that is asked meanwhile, if one is."""

    @property
    def is_done(self) -> bool:
        """Whether everything is final and all workers are gone."""
        return self._error is None and self._is_drawn() and all(lane.is_free for lane in self._lanes)

    def batches(self) -> Iterator[tuple[Record, ...]]:
        """Every record that is left, those that came together as one batch, before anything that takes time."""
        while not self.is_done:
            records = self.step(LONG_S)
            if records:
                yield tuple(records)

    def step(self, limit_s: float) -> list[Record]:
        """Wait until something happens, at most `limit_s`, and go on. The records are to be journalled before the next
        step. Raises what `admit` raises, StorageError, and EnvironmentProblem."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._take_seats()
        self._assign()
        asking = [lane for lane in self._lanes if lane.asked is not None]
        if not any(lane.is_ready for lane in self._lanes) and not self.is_done:
            asks = [lane.asked for lane in asking if lane.asked is not None]
            self._seats.wait(asks, min([limit_s, *(max(0.0, ask.worker.left_s()) for ask in asks)]))
        for lane in asking:
            lane.poll()
        return self._advance()

    def fileno(self) -> int:
        """Can be read as soon as a worker of this machine has said something."""
        return self._seats.fileno()

    def patience_s(self) -> float:
        """Seconds until there is something to do even if `fileno` does not become readable from now on."""
        self._seats.watch([lane.asked for lane in self._lanes if lane.asked is not None])
        if self._error is not None or any(lane.is_ready for lane in self._lanes):
            return 0.0
        return max(0.0, min((lane.asked.worker.left_s() for lane in self._lanes if lane.asked), default=LONG_S))

    def targets_at_work(self) -> tuple[str, ...]:
        """Targets that some worker is drawing, or getting ready for."""
        return tuple(sorted({one.target for one in map(_neighbour, self._lanes) if one is not None}))

    def meet(self, hosted: str | None) -> None:
        """From now on this hosted target is asked beside the pool; None: none is."""
        self._beside = hosted
        for lane in self._lanes:
            if hosted is not None and lane.is_at_work:
                lane.feel(Neighbour(target=hosted, host=ELSEWHERE))

    def close(self) -> None:
        """Stop all workers."""
        for lane in self._lanes:
            lane.close()

    def _is_drawn(self) -> bool:
        return all(backlog.is_done() for backlog in self._backlogs)

    def _take_seats(self) -> None:
        """A lane for each seat there is; those of lost seats end by themselves."""
        if self._is_drawn():
            return
        known = {id(lane.seat) for lane in self._lanes}
        self._lanes += [Lane(seat) for seat in self._seats.taken() if id(seat) not in known]
        self._lanes = [lane for lane in self._lanes if lane.seat.usable() or not lane.is_free]

    def _assign(self) -> None:
        if self._is_drawn():
            for lane in self._lanes:
                if lane.is_idle:
                    lane.finish(None)
                elif lane.is_preparing:
                    lane.close()  # others were quicker
            return
        for lane in self._lanes:
            if lane.is_idle and lane.backlog is not None and lane.backlog.queue:
                lane.go_on()
            elif (lane.is_idle or lane.is_free) and lane.seat.usable():
                self._send_on(lane)

    def _send_on(self, lane: Lane) -> None:
        """Have a lane without work take up something else, if there is something for it."""
        reserved = lane.next if lane.next is not None and lane.next.queue else None
        lane.next = None
        backlog = reserved or self._choice(lane)
        if backlog is None:
            return
        if lane.is_idle:
            lane.finish(backlog)
        else:
            lane.start(backlog, GroupRun(backlog, self._surroundings(lane.seat, backlog)).steps())

    def _choice(self, lane: Lane) -> Backlog | None:
        """What a lane without work takes up."""
        waiting = [backlog for backlog in self._backlogs if backlog.queue and backlog is not lane.backlog]
        waiting = [backlog for backlog in waiting if self._may_load(lane.seat, backlog)]
        for backlog in waiting:
            if backlog.group.id == lane.seat.holds:
                return backlog
        workers = {id(backlog): sum(self._is_for(one, backlog) for one in self._lanes) for backlog in waiting}
        for backlog in waiting:
            if not workers[id(backlog)]:
                return backlog
        gains = [(backlog.gain_s(workers[id(backlog)]), backlog) for backlog in waiting]
        gain_s, best = max(gains, key=lambda gain: gain[0], default=(0.0, None))
        return best if gain_s > 0 else None

    def _is_for(self, lane: Lane, backlog: Backlog) -> bool:
        """Whether a lane draws it, or is about to."""
        kept = lane.is_free and lane.seat.usable() and lane.seat.holds == backlog.group.id
        return backlog in (lane.backlog, lane.next) or (kept and self._may_load(lane.seat, backlog))

    def _may_load(self, seat: Seat, backlog: Backlog) -> bool:
        """Where its model can be loaded nowhere, each may try, and say so."""
        group_id = backlog.group.id
        return not self._is_barred(seat, group_id) or all(self._is_barred(lane.seat, group_id) for lane in self._lanes)

    def _is_barred(self, seat: Seat, group_id: str) -> bool:
        barred = self._barred_seats.get(group_id, [])
        return seat.host in self._barred.get(group_id, set()) or any(one is seat for one in barred)

    def _surroundings(self, seat: Seat, backlog: Backlog) -> Surroundings:
        around = seat_surroundings(seat, backlog.group, self._spec, self._run_path, self._admit, self._now)
        return replace(around, elsewhere=functools.partial(self._elsewhere, seat, backlog))

    def _elsewhere(self, seat: Seat, backlog: Backlog, error: Failure) -> bool:
        """Whether a group whose model cannot be loaded at `seat` may be drawn at another one.

        Where somebody has it loaded, or a device is to blame, other seats of the host are not judged by this one.
        """
        group_id = backlog.group.id
        others = [lane for lane in self._lanes if lane.seat is not seat and lane.seat.usable()]
        loaded = any(lane.backlog is backlog and lane.is_loaded for lane in others)
        if seat.usable() and (loaded or error.type in _OF_A_DEVICE):
            self._barred_seats.setdefault(group_id, []).append(seat)
        elif seat.usable():
            self._barred.setdefault(group_id, set()).add(seat.host)
        return loaded or any(not self._is_barred(lane.seat, group_id) for lane in others)

    def _advance(self) -> list[Record]:
        """Have each lane that can go on to its next record, or its next order.

        One of several workers is given its next order before the picture that it delivered is journalled, so that it
        does not wait for the disk: where the driver dies in between, that one is drawn again. Whatever else happened is
        on the disk first.
        """
        records: list[Record] = []
        for lane in [lane for lane in self._lanes if lane.is_ready]:
            try:
                record = self._advanced(lane, records)
                if len(self._lanes) > 1 and isinstance(record, SampleRecord) and record.status == "ok":
                    self._advanced(lane, records)
            except Exception as error:
                if not records:
                    raise
                self._error = error
                break
        return records

    def _advanced(self, lane: Lane, records: list[Record]) -> Record | None:
        """One step of a lane; its record, if there is one, is added to `records`."""
        record = lane.advance()
        if record is not None:
            records.append(record)
        elif lane.is_at_work:
            self._introduce(lane)
        return record

    def _introduce(self, lane: Lane) -> None:
        """Have a lane that got to work and all others at work feel each other."""
        for other in self._lanes:
            pair = (_neighbour(lane), _neighbour(other))
            if other is not lane and pair[0] is not None and pair[1] is not None:
                other.feel(pair[0])
                lane.feel(pair[1])
        if self._beside is not None:
            lane.feel(Neighbour(target=self._beside, host=ELSEWHERE))


def _neighbour(lane: Lane) -> Neighbour | None:
    """What others feel of a lane; None where it is at rest."""
    if not lane.is_at_work or lane.backlog is None:
        return None
    return Neighbour(target=lane.backlog.group.target.name, host=lane.seat.host)


def seat_surroundings(
    seat: Seat, group: LoadGroup, spec: EngineSpec, run_path: Path, admit: Admit, now: Callable[[], str]
) -> Surroundings:
    """What the run of `group` at `seat` needs from outside."""
    behind = "" if seat.name is None else f"-{slug(seat.name)}"
    log_name = f"{LOGS_FOLDER}/worker-{group.id}{behind}.log"
    return Surroundings(
        spec=spec,
        run_path=run_path,
        admit=admit,
        launch=lambda: seat.launch(run_path / log_name, f"{now()} {group.target.name}"),
        log_name=log_name,
        now=now,
        usable=seat.usable,
    )
