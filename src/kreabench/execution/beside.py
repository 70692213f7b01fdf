"""Hosted targets asked while workers draw, where neither touches the timings of the other; records say so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from kreabench.backends.machine import look
from kreabench.core.engine_spec import PROCESSOR, EngineSpec
from kreabench.core.errors import BudgetReached
from kreabench.core.records import Record, SampleRecord
from kreabench.execution.engine import GroupWork
from kreabench.execution.hosted_run import HostedGroupRun
from kreabench.execution.pool import Pool
from kreabench.scoring.placement import drawing_devices

SPARE_PROCESSORS = 2
"""Beside one for each worker: for the driver and for the worker that waits for the service."""


def side_by_side(
    spec: EngineSpec, work: Sequence[GroupWork], processors: int | None = None
) -> tuple[list[GroupWork], list[GroupWork]]:
    """What goes on side by side, and the rest; nothing where workers and the service's client share the processor.

    `processors`: of this machine; None: look. A service that we start ourselves draws here, and goes alone, as does
    a level of load.
    """
    able = [one for one in work if not _goes_alone(one)]
    hosted = [one for one in able if one.group.target.hosted]
    others = [one for one in able if not one.group.target.hosted]
    if not (spec.side_by_side and hosted and others):
        return [], list(work)
    if spec.ray is not None and spec.ray.gpus_per_worker == 0:
        return [], list(work)  # some of its workers may be on this machine
    if spec.kind == "local":
        drawing = drawing_devices([one.group.target for one in others], len(look().gpus))
        count = (os.cpu_count() or 1) if processors is None else processors
        if PROCESSOR in drawing or PROCESSOR in spec.devices or count < max(1, len(spec.devices)) + SPARE_PROCESSORS:
            return [], list(work)
    return able, [one for one in work if _goes_alone(one)]


def _goes_alone(work: GroupWork) -> bool:
    return work.group.target.service is not None or work.group.traffic is not None


def run_beside(pool: Pool, hosted: Sequence[HostedGroupRun]) -> Iterator[tuple[Record, ...]]:
    """The records of `hosted`, one after the other, and of `pool`, whichever come first.

    Raises BudgetReached once the pool, which costs nothing, has drawn all of its own.
    """
    spent: BudgetReached | None = None
    try:
        for run in hosted:
            pool.meet(run.target_name)
            with closing(run.batches()) as batches:
                for batch in batches:
                    if batch:
                        yield tuple(_told(record, pool.targets_at_work()) for record in batch)
                    if records := pool.step(0.0):
                        yield tuple(records)
    except BudgetReached as reached:
        spent = reached
    pool.meet(None)
    yield from pool.batches()
    if spent is not None:
        raise spent


def _told(record: Record, at_work: tuple[str, ...]) -> Record:
    return replace(record, beside=at_work) if isinstance(record, SampleRecord) and at_work else record
