"""What a local worker answers under load, as records: timed from when each request was meant to start."""

from __future__ import annotations

from dataclasses import replace

from kreabench.core.planned import LoadGroup
from kreabench.core.records import UNANSWERED, Failure, SampleRecord, Served, Timings
from kreabench.execution.messages import BatchDone, Done
from kreabench.execution.outcomes import Trouble, delivered_sample, failed_sample
from kreabench.execution.waiting_line import Arrival
from kreabench.pricing import sample_cost

CLIENT, QUEUE, DELIVER = "client", "queue", "deliver"
"""Stages before and after those of the call: what this process was late by, waiting for a worker, and what that does
beside drawing, which is to encode and to store the pictures."""


def served_sample(
    group: LoadGroup,
    arrival: Arrival,
    answer: BatchDone,
    number: int,
    flags: tuple[str, ...] = (),
    *,
    free_s: float | None = None,
) -> SampleRecord:
    """The final record of the request that was number `number` of its batch. Of the call's dollars it has its part.

    `free_s`: since when its worker had nothing to do, on `time.perf_counter`; None where that is not known.
    """
    batch = len(answer.deliveries)
    served = Served(
        batch=batch,
        queue_s=max(0.0, answer.began_s - arrival.intended_s),
        service_s=answer.ended_s - answer.began_s,
    )
    late_s = arrival.late_s
    if free_s is not None:  # whoever could have been drawn, and was not handed over, did not wait for a worker
        late_s = max(late_s, answer.began_s - max(free_s, arrival.intended_s))
    delivery = answer.deliveries[number]
    delivery = replace(
        delivery,
        timings=_from_intended_start(delivery.timings, served, late_s),
        flags=(*delivery.flags, *flags),
    )
    error = answer.errors[number]
    cost = sample_cost(group.target, end_to_end_s=served.service_s / batch, images=(), billable_units=None)
    if error is not None:
        trouble = Trouble(
            error=replace(error, transient=False),
            started_utc=arrival.started_utc,
            elapsed_s=served.queue_s + served.service_s,
            died=False,
            delivery=delivery,
        )
        return replace(failed_sample(group, arrival.request, 1, trouble, cost), served=served)
    done = Done(started_utc=arrival.started_utc, delivery=delivery)
    return replace(delivered_sample(group, arrival.request, 1, done), cost=cost, served=served)


def unanswered_sample(group: LoadGroup, arrival: Arrival, drain_s: float) -> SampleRecord:
    """The final record of a request that had no answer when its level was ended: nobody knows how long it had taken."""
    error = Failure(
        type=UNANSWERED[0],
        stage=UNANSWERED[1],
        message=f"no answer when the level was ended, load.drain_s={drain_s:g} s after its arrivals",
        remedy="That is what this load does. To see how long such requests take, raise load.drain_s.",
        transient=False,
    )
    trouble = Trouble(error=error, started_utc=arrival.started_utc, elapsed_s=0.0, died=False)
    return failed_sample(group, arrival.request, 1, trouble)


def _from_intended_start(call: Timings, served: Served, late_s: float) -> Timings:
    late_s = min(late_s, served.queue_s)
    stages = {
        CLIENT: late_s,
        QUEUE: served.queue_s - late_s,
        **call.stages_s,
        DELIVER: served.service_s - call.end_to_end_s,
    }
    return replace(call, end_to_end_s=served.queue_s + served.service_s, stages_s=stages)
