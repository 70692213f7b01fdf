"""Running the engine on the fake back end, for the tests of execution."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import FailureRecord, LoadRecord, Record, SampleRecord, WarmupRecord
from kreabench.core.specs import TargetSpec
from kreabench.execution.clock import utc_now
from kreabench.execution.engine import Admit, GroupWork
from kreabench.execution.local import LocalEngine
from kreabench.execution.messages import Answer, Close, Order, decode_answer
from kreabench.execution.supervise import Death
from tests.support import make_target

R = TypeVar("R", bound=Record)


class InThisProcess:
    """A worker without a process of its own: importing torch takes longer than all that is drawn here."""

    def __init__(self, **_: Any) -> None:
        from kreabench.execution.worker import Worker

        self._worker = Worker()
        self._answer: Answer | Death | None = None
        self._ready = os.eventfd(1)  # always something to read

    def alive(self) -> bool:
        return True

    def begin(self, order: Order, limit_s: float) -> None:
        if isinstance(order, Close):
            self._answer = Death(elapsed_s=0.0, limit_s=None, signal=None, exit_code=0)
        else:
            self._answer = decode_answer(self._worker.answer(order))

    def poll(self) -> Answer | Death | None:
        return self._answer

    def left_s(self) -> float:
        return 60.0

    def fileno(self) -> int:
        return self._ready

    def stop(self) -> None:
        if self._ready >= 0:
            self._worker.close()
            os.close(self._ready)
            self._ready = -1


def admit_all(group: LoadGroup, request: Request | None) -> None:
    """No budget."""


def engine_spec(**changes: Any) -> EngineSpec:
    """Time limits that no healthy worker reaches, however busy the machine is."""
    base = EngineSpec(kind="local", sample_timeout_s=60.0, warmup_timeout_s=60.0, load_timeout_s=60.0)
    return replace(base, **changes)


def faulty_target(state_dir: Path, *faults: dict[str, Any], **changes: Any) -> TargetSpec:
    """A fake target with these faults, counted in `state_dir`."""
    options = {"load_s": 0.0, "latency_s": 0.0, "faults": list(faults), "state_dir": str(state_dir)}
    return make_target(options=options, **changes)


def start(group: LoadGroup, run_path: Path, **options: Any) -> Generator[Record, None, None]:
    """The engine's records of one load group, one by one."""
    with closing(start_batches(group, run_path, **options)) as batches:
        for batch in batches:
            yield from batch


def start_batches(
    group: LoadGroup,
    run_path: Path,
    *,
    spec: EngineSpec | None = None,
    pending: Sequence[Request] | None = None,
    deaths: Mapping[str, int] | None = None,
    tries: Mapping[str, int] | None = None,
    submitted: Mapping[str, str | None] | None = None,
    admit: Admit = admit_all,
    environ: Mapping[str, str] = os.environ,
    now: Callable[[], str] | None = None,
) -> Generator[tuple[Record, ...], None, None]:
    """The engine's iterator over one load group."""
    engine = LocalEngine(spec or engine_spec(), environ=environ, now=now or utc_now)
    requests = group.requests if pending is None else tuple(pending)
    work = GroupWork(group=group, pending=requests, deaths=deaths or {}, tries=tries or {}, submitted=submitted or {})
    return engine.run([work], run_path, admit)


def run(group: LoadGroup, run_path: Path, **options: Any) -> list[Record]:
    """All records of one load group; no worker is left when this returns."""
    records = list(start(group, run_path, **options))
    assert worker_pids() == []
    return records


def kinds(records: Sequence[Record]) -> list[str]:
    return [record.kind for record in records]


def of_kind(records: Sequence[Record], cls: type[R]) -> list[R]:
    return [record for record in records if isinstance(record, cls)]


def samples(records: Sequence[Record]) -> dict[str, SampleRecord]:
    """Request id → its only sample record."""
    found = of_kind(records, SampleRecord)
    by_id = {record.request_id: record for record in found}
    assert len(by_id) == len(found)
    return by_id


def failures(records: Sequence[Record]) -> list[FailureRecord]:
    return of_kind(records, FailureRecord)


def loads(records: Sequence[Record]) -> list[LoadRecord]:
    return of_kind(records, LoadRecord)


def warmups(records: Sequence[Record]) -> list[WarmupRecord]:
    return of_kind(records, WarmupRecord)


def worker_pids(parent: int | None = None) -> list[int]:
    """The living workers of this process, or of `parent`."""
    children = psutil.Process(parent).children(recursive=True)
    return [child.pid for child in children if _is_worker(child)]


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 90.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Whether no such process runs any more (one that nobody has reaped yet is gone too)."""
    try:
        status: str = psutil.Process(pid).status()
        return status == "zombie"
    except psutil.NoSuchProcess:
        return True


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "kreabench.execution.worker" in process.cmdline() and not is_gone(process.pid)
    except psutil.NoSuchProcess:
        return False
