"""What the record of a hosted request says of the service."""

from __future__ import annotations

from fal_client.client import Completed

from kreabench.backends.fal_jobs import Jobs
from kreabench.backends.fal_observe import Watch
from kreabench.backends.fal_result import Result
from kreabench.backends.service_values import amount, amounts_by_name
from kreabench.core.planned import Request
from kreabench.core.records import HostedCall

_PROMPT_LENGTH = 10_000
"""Of a prompt that the service has changed, in characters: more is no prompt."""


def hosted_call(
    watch: Watch,
    jobs: Jobs,
    result: Result,
    request: Request,
    under_way: tuple[int, int],
    queue_s: float | None = None,
    *,
    recovered: bool = False,
) -> HostedCall:
    """`under_way` is what `Jobs.count` said when the request's work had ended."""
    call, edges = watch.call, watch.edges
    headers, failures = call.wire.headers, call.failures
    metrics = edges.completed.metrics if isinstance(edges.completed, Completed) else None
    runner = headers.get("x-fal-served-from")
    timings_s = amounts_by_name(result.timings)
    told = result.prompt if isinstance(result.prompt, str) and result.prompt != request.prompt else None
    in_flight, running = under_way
    return HostedCall(
        service_request_id=failures.scrub(str(watch.handle.request_id)),
        attempts=1 + call.asked_again,
        polls=edges.seen,
        queue_s=queue_s,
        inference_s=amount(metrics.get("inference_time")) if isinstance(metrics, dict) else None,
        runner=None if runner is None else failures.scrub(runner),
        billable_units=amount(headers.get("x-fal-billable-units")),
        observed_by=edges.observed_by,
        model_s=timings_s.get("inference"),
        timings_s=timings_s,
        first_on_runner=None if runner is None else jobs.is_first_on(runner),
        rerouted=edges.rerouted or len(call.wire.runners) > 1,
        recovered=recovered,
        in_flight=in_flight,
        running=running + 1,
        prompt=None if told is None else failures.hide(told)[:_PROMPT_LENGTH],
    )
