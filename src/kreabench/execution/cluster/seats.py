"""Seats of a Ray cluster: an actor each, placed by Ray wherever there is room, looked at before anything is loaded."""

from __future__ import annotations

import itertools
import math
import secrets
import select
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kreabench import __version__
from kreabench.core.engine_spec import PROCESSOR, RaySpec
from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.execution.cluster.actor import Said
from kreabench.execution.cluster.connect import nodes, problem, seats_of
from kreabench.execution.cluster.crew import Crew, Voice
from kreabench.execution.cluster.identity import Identity
from kreabench.execution.cluster.share import KEY, Inbox, store_of_run
from kreabench.execution.cluster.worker import Bell, ClusterWorker
from kreabench.execution.engine import GroupWork
from kreabench.execution.messages import encode_line, open_order
from kreabench.execution.seats import Seat
from kreabench.execution.steps import Ask
from kreabench.rundir import codec
from kreabench.rundir.files import storage_error

TAKE_OVER_S = 30.0
"""How long an actor of a dead driver may go on with what it has in hand before it is ended."""
LOOK_EVERY_S = 1.0
"""How often the cluster is asked whether it has grown."""


class ClusterSeat:
    """Room for one worker on some node, held by an actor. Usable once the actor has looked around there."""

    def __init__(self, actor: Any, look: Future[Any], seats: ClusterSeats, until_s: float = math.inf) -> None:
        """It is given up where the actor has not looked around until `until_s`."""
        self.actor, self.looking, self.until_s = actor, look, until_s
        self.name: str | None = None
        self.number: int | None = None
        self.host = ""
        self.holds: str | None = None
        self.on_processor = False
        self._seats = seats
        self._is_lost = False
        self._log: tuple[str, str] = ("", "")

    def usable(self) -> bool:
        return not self._is_lost

    def lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._seats.crew.dismiss(self.actor)

    def launch(self, log_path: Path, label: str) -> ClusterWorker:
        self._log, self.holds = (str(log_path), label), None
        return ClusterWorker(self)

    def call(self, order: bytes, limit_s: float) -> Future[Any]:
        token = self._seats.token
        asked = self.actor.ask.remote(token, order, limit_s, *self._log, self.on_processor)
        return self._seats.answered(asked.future(), Path(self._log[0]))


class ClusterSeats:
    """As many seats as there is room and work for; more when nodes come, fewer when they go."""

    def __init__(
        self,
        ray: Any,
        spec: RaySpec,
        run_path: Path,
        work: Sequence[GroupWork],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises StorageError where the run directory cannot be written."""
        self._ray, self._spec, self._run_path, self._clock = ray, spec, run_path, clock
        self._on_processor = spec.gpus_per_worker == 0
        pairs = {one.group.id: (one.group.target, one.group.accelerations) for one in work}
        self._needs = codec.encode(list(pairs.values()))
        self._orders = {encode_line(open_order(one.group, run_path)): one.group.id for one in work}
        self._most = min(spec.workers or math.inf, sum(len(one.pending) for one in work))
        self._waiting: list[ClusterSeat] = []
        """Not placed yet, or still looking around."""
        self._taken: list[ClusterSeat] = []
        self._asked_s = -math.inf
        self._hopeful_since_s = clock()
        # By its name the file says which kreabench is to read it: one that reads specs otherwise had better not try.
        self.token = f".seen{secrets.token_hex(8)}-{__version__}"
        self._identity = Identity(run_path)
        self._share: tuple[str, str] | None = None
        self._inbox: Inbox | None = None
        if spec.pictures_url is not None:
            self._share = (spec.pictures_url, self._identity.key)
            self._inbox = Inbox(store_of_run(*self._share), run_path, self.token)
        else:
            self._show_token()
        self._bell = Bell()
        self.crew = Crew(ray, spec, self._identity.key)
        self._voice = Voice(lambda: (*self._taken, *self._waiting), self.crew.keep_s)
        for actor in self.crew.left_behind():
            self._have_look(actor, clock() + TAKE_OVER_S)

    def taken(self) -> Sequence[Seat]:
        self._taken = [seat for seat in self._taken if seat.usable()]
        if not self._is_taking_over():
            self._grow()
        for seat in [seat for seat in self._waiting if seat.looking.done()]:
            self._waiting.remove(seat)
            self._admit(seat)
        if self._is_taking_over():
            self._hopeful_since_s = self._clock()
            return []  # whoever has no model is not to load one that another has
        if self._taken:
            self._hopeful_since_s = self._clock()
        elif self._clock() - self._hopeful_since_s > self._spec.start_timeout_s:
            found = f"no place for a worker within {self._spec.start_timeout_s:g} s"
            remedy = "Others may be using the cluster (`ray status`). Resume later, or raise engine.start_timeout_s."
            expected = (
                f"{self._spec.gpus_per_worker} GPUs and {self._spec.cpus_per_worker} CPUs that are free on a node"
            )
            raise problem("engine=ray", found, expected, remedy)
        return self._taken

    def wait(self, asks: Sequence[Ask], limit_s: float) -> None:
        select.select([self._bell], [], [], min(limit_s, LOOK_EVERY_S))
        self._bell.quiet()

    def watch(self, asks: Sequence[Ask]) -> None:
        """Every answer rings the bell."""

    def fileno(self) -> int:
        return self._bell.fileno()

    def answered(self, asked: Future[Any], log_path: Path) -> Future[Any]:
        """What an actor says, with its pictures in the run directory; rings the bell."""
        answer = asked if self._inbox is None else self._inbox.answered(asked, log_path)
        answer.add_done_callback(self._bell.ring)
        return answer

    def close(self) -> None:
        self._voice.close()
        for seat in (*self._taken, *self._waiting):
            seat.lose()
        if self._inbox is not None:
            self._inbox.close()
        self._bell.close()
        with suppress(OSError):  # the disk went read-only: the file does no harm
            (self._run_path / self.token).unlink(missing_ok=True)

    def _show_token(self) -> None:
        try:
            for left in self._run_path.glob(".seen*"):  # by a driver that was killed: the run is ours alone
                left.unlink(missing_ok=True)
            (self._run_path / self.token).write_text(self.token, encoding="utf-8")
        except OSError as error:
            raise storage_error(self._run_path / self.token, error) from error

    def _grow(self) -> None:
        """Ask for as many actors as there is room for; those for which there is none yet wait."""
        if self._clock() - self._asked_s < LOOK_EVERY_S:
            return
        self._asked_s = self._clock()
        room = sum(seats_of(self._spec, resources) for resources in nodes(self._ray))
        for _ in range(int(min(room, self._most)) - len(self._taken) - len(self._waiting)):
            self._have_look(self.crew.hire())

    def _have_look(self, actor: Any, until_s: float = math.inf) -> None:
        arguments = (str(self._run_path), self._share, self.token, self._needs, self._on_processor)
        future = actor.look.remote(*arguments).future()
        future.add_done_callback(self._bell.ring)
        self._waiting.append(ClusterSeat(actor, future, self, until_s))

    def _is_taking_over(self) -> bool:
        """Whether actors of a dead driver may still be drawing for it. One that does so for long is given up."""
        for seat in [seat for seat in self._waiting if seat.until_s <= self._clock() and not seat.looking.done()]:
            self._waiting.remove(seat)
            seat.lose()
        return any(seat.until_s < math.inf for seat in self._waiting)

    def _admit(self, seat: ClusterSeat) -> None:
        """Take a seat whose actor has looked around. Raises EnvironmentProblem for what its node lacks."""
        try:
            said: Said = seat.looking.result()
        except Exception as error:
            seat.lose()
            if "ModuleNotFoundError" in str(error) or "ImportError" in str(error):
                remedy = "Install the same kreabench on every node."
                raise problem("engine=ray", one_line(error, 300), "kreabench on every node", remedy) from error
            return  # the node went away again
        if len(self._taken) >= self._most or (seat.until_s < math.inf and said["version"] != __version__):
            seat.lose()
        if seat.usable():
            self._check(said)
            seat.host, seat.on_processor = said["machine"], self._on_processor
            seat.name = f"node {self._identity.number(seat.host)} {self._device(seat, said)}"
            seat.holds = self._orders.get(said["loaded"])
            self._taken.append(seat)

    def _device(self, seat: ClusterSeat, said: Said) -> str:
        if not self._on_processor:
            return "cuda:" + "+".join(map(str, said["gpu_ids"]))
        used = {one.number for one in self._taken if one.host == seat.host}
        free = (number for number in itertools.count(1) if number not in used)
        seat.number = next(free) if said["number"] in used | {None} else said["number"]
        seat.actor.be.remote(seat.number)
        return f"{PROCESSOR} #{seat.number}"

    def _check(self, said: Said) -> None:
        if said["version"] != __version__:
            remedy = "Install the same kreabench on every node."
            raise problem("engine=ray", f"kreabench {said['version']} on a node", __version__, remedy)
        if self._inbox is not None:
            self._check_store(self._inbox, said)
        elif said["shared"] is not None:
            remedy = "Put run.dir on a file system that is mounted under the same path everywhere. Nothing was loaded."
            raise problem("run.dir", f"{said['shared']}, on a node", "a folder that every node can write", remedy)
        found = [codec.convert(fields, Problem) for fields in said["problems"]]
        if found:
            raise EnvironmentProblem([replace(one, key=f"{one.key}, on a node") for one in found])

    def _check_store(self, inbox: Inbox, said: Said) -> None:
        found = f"{said['shared']}, on a node" if said["shared"] is not None else inbox.unreadable(said["trial"])
        if found is not None:
            remedy = "Each node takes the keys from its own environment, as this machine does. Nothing was loaded."
            raise problem(KEY, found, "a store that every node can write and this machine can read", remedy)
