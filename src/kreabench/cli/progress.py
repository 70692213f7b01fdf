"""Progress of a run: one bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kreabench.cli.terminal import say
from kreabench.core.records import FailureRecord, LoadRecord, Record, SampleRecord, SubmissionRecord, WarmupRecord
from kreabench.observer import Observer

LINE_EVERY_S = 5.0


class ProgressObserver(Observer):
    """A context manager that draws what the pipeline tells it."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last_line_s = float("-inf")
        self._total = self._done = self._failed = 0
        self._started_s = clock()
        self._done_before = 0
        self._spent_usd = 0.0
        self._under_way: set[str] = set()
        """Hosted requests that were sent and are not stored: more than in flight, which those received are not."""
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressObserver:
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def generating(self, total: int, done: int, failed: int) -> None:
        self._total, self._done, self._failed = total, done, failed
        self._done_before, self._started_s = done, self._clock()
        if self._progress is not None:
            self._task = self._progress.add_task("samples", total=total, completed=done, note="")
        elif done:
            self._console.print(f"resuming: {done} of {total} samples are there already")

    def record(self, record: Record, spent_usd: float) -> None:
        self._spent_usd = spent_usd
        if isinstance(record, LoadRecord):
            self._started_s += record.load_s  # loading says nothing about how long a sample takes
            self._say(f"loaded {record.target} in {record.load_s:.1f} s")
        elif isinstance(record, SubmissionRecord):
            self._under_way.add(record.request_id)
            self._draw_bar()
        elif isinstance(record, FailureRecord):
            self._under_way.discard(record.request_id or "")
            self._say(f"{record.error.type} in {record.error.stage}: {record.error.message}")
        elif isinstance(record, WarmupRecord):
            self._started_s += record.timings.end_to_end_s
        elif isinstance(record, SampleRecord):
            self._under_way.discard(record.request_id)
            self._done += 1
            self._failed += record.status == "failed"
            self._draw()

    def dropped(self, requests: int) -> None:
        self._total -= requests
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=self._total)

    def stage(self, name: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, visible=False)
        self._say(f"{name} …")

    def scoring(self, done: int, total: int) -> None:
        if done == total or self._line_is_due():
            self._say(f"scored {done} of {total}")

    def note(self, text: str) -> None:
        self._say(text)

    def _draw(self) -> None:
        if not self._draw_bar() and (self._done == self._total or self._line_is_due()):
            self._say(f"{self._done} of {self._total} samples, {self._note()}{self._time_left()}")

    def _draw_bar(self) -> bool:
        """Whether there is a bar."""
        if self._progress is None or self._task is None:
            return False
        self._progress.update(self._task, completed=self._done, note=self._note())
        return True

    def _note(self) -> str:
        under_way = f"  {len(self._under_way)} under way" if self._under_way else ""
        return f"{self._failed} failed  ${self._spent_usd:.3f}{under_way}"

    def _time_left(self) -> str:
        fresh = self._done - self._done_before
        if not fresh or self._done >= self._total:
            return ""
        seconds = (self._clock() - self._started_s) / fresh * (self._total - self._done)
        return f", about {seconds:.0f} s left"

    def _line_is_due(self) -> bool:
        now = self._clock()
        if now - self._last_line_s < LINE_EVERY_S:
            return False
        self._last_line_s = now
        return True

    def _say(self, text: str) -> None:
        say(self._console, text)
