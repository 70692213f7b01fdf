"""Waiting for a hosted worker to open its back end, so that an interrupt does not have to wait for it."""

from __future__ import annotations

from collections.abc import Callable

from kreabench.execution.interrupts import Interrupt
from kreabench.execution.messages import Failed, Opened
from kreabench.execution.supervise import Death, WorkerProcess


def first_answer(
    worker: WorkerProcess, interrupt: Interrupt, limit_s: float, clock: Callable[[], float]
) -> Opened | Failed | Death | None:
    """The answer to the order to open; a death where none came within `limit_s`, None where the end was asked for."""
    began = clock()
    while not interrupt.requested:
        left_s = began + limit_s - clock()
        answers, gone = worker.receive(left_s)
        for answer in answers:
            if isinstance(answer, Opened | Failed):
                return answer
        if gone:
            return worker.bury(clock() - began)
        if left_s <= 0:
            return worker.time_out(clock() - began, limit_s)
    return None
