"""A race that ends by SIGKILL again and again, each time in a process of its own: `python -m tests.race_kills RUN`.

One interpreter forks for each, as most of the time of a new one goes to imports.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from kreabench import drawing, pipeline
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import DropRecord, LookRecord, Record
from kreabench.execution.engine import Admit, GroupWork
from kreabench.metrics.table import METRICS
from kreabench.observer import Observer
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.writers import RunWriter
from tests.race_support import KIND, Drawer, metric_row, racing_experiment

DRAWN = "drawn.txt"
"""In the run directory: the id of each request that was sent, in all processes."""
NEVER = -1


def die(*args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class ToldDrawer(Drawer):
    """Writes down what it is asked to draw, before that; dies before the request of this number in this process."""

    def __init__(self, dies_at: int) -> None:
        super().__init__()
        self._dies_at = dies_at

    def run(self, work: Sequence[GroupWork], run_path: Path, admit: Admit) -> Generator[tuple[Record, ...], None, None]:
        def told(group: LoadGroup, request: Request | None) -> None:
            if len(self.drawn) == self._dies_at:
                die()
            if request is not None:
                with (run_path / DRAWN).open("a") as file:
                    file.write(f"{request.id}\n")

        return super().run(work, run_path, told)


def drops_and_death(writer: RunWriter, drops: tuple[DropRecord, ...], over: LookRecord) -> None:
    writer.append(*drops[:1])
    die()


def in_child(path: Path, dies_at: int, changes: dict[str, Callable[..., None]]) -> int:
    """Exit code of going on with the race, or minus the signal that ended it."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        for name, change in changes.items():
            setattr(drawing, name, change)
        run = RunDirectory.open(path)
        pipeline.execute(run, observer=Observer(), report_path=path / "report", engine=ToldDrawer(dies_at))
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def main(path: Path) -> None:
    METRICS[KIND] = metric_row()
    setattr(pipeline, "write_report", lambda run, plan, out: out)  # noqa: B010 - it is not exported
    pipeline.start(path, racing_experiment(), "", {})
    in_first_round, in_second_round = 20, 5
    deaths: tuple[tuple[int, dict[str, Callable[..., None]]], ...] = (
        (in_first_round, {}),
        (NEVER, {"look_at": die}),
        (NEVER, {"journal_look": drops_and_death}),
        (in_second_round, {}),
    )
    for number, (dies_at, changes) in enumerate(deaths):
        if in_child(path, dies_at, changes) != -signal.SIGKILL:
            sys.exit(f"death {number} did not come")
    sys.exit(in_child(path, NEVER, {}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
