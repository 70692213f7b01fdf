"""What a run has left to do, and what it says it will not do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from kreabench.core.errors import Problem
from kreabench.core.planned import LoadGroup, Plan, Request
from kreabench.core.records import SkipRecord
from kreabench.execution.engine import GroupWork
from kreabench.rundir.directory import RunDirectory, RunState
from kreabench.rundir.writers import RunWriter


def journal_skips(run: RunDirectory, writer: RunWriter, plan: Plan) -> None:
    """Say once what will not be done; a crash may have come between two of these lines."""
    said = sum(isinstance(record, SkipRecord) for record in run.records()) if plan.skipped else 0
    for skip in plan.skipped[said:]:
        writer.append(
            SkipRecord(
                target=skip.target,
                acceleration=skip.acceleration,
                steps=skip.steps,
                guidance=skip.guidance,
                size=skip.size,
                num_images=skip.num_images,
                output_format=skip.output_format,
                reason=skip.reason,
                strength=skip.strength,
                concurrency=skip.concurrency,
            )
        )


def pending_work(plan: Plan, state: RunState, *, retry_failed: bool, dropped: Collection[str] = ()) -> list[GroupWork]:
    """What is left: requests without a final state, and failed ones that may be tried again.

    A level of load that has begun is never gone on with: half of it would find the service at rest. Of it, and of
    settings `dropped` by a race, only what is open at a service: it may have been paid for, and is fetched.
    """

    def is_left(request: Request, group: LoadGroup) -> bool:
        if group.traffic is not None and _has_begun(group, state):
            return group.target.service is None and request.id in state.submitted
        sample = state.samples.get(request.id)
        lost = group.target.service is not None or state.submitted.get(request.id) is None
        if request.setting_id in dropped and lost:
            return False
        if sample is None:
            return True
        # Failed before and yet open at a service: it was sent anew on request, and that was cut short.
        is_open, error = request.id in state.submitted, sample.error
        return error is not None and (is_open or error.transient or error.fetch_again or retry_failed)

    def work(group: LoadGroup) -> GroupWork:
        pending = tuple(request for request in group.requests if is_left(request, group))
        ids = {request.id for request in pending}
        return GroupWork(
            group=group,
            pending=pending,
            # Asked to try again, a request that killed its workers gets a fresh start.
            deaths={} if retry_failed else {key: count for key, count in state.deaths.items() if key in ids},
            tries={key: count for key, count in state.tries.items() if key in ids},
            # A service that the run itself started took its jobs with it: those are drawn again.
            submitted={key: service_id for key, service_id in state.submitted.items() if key in ids}
            if group.target.service is None
            else {},
            loads=state.loads.get(group.id, frozenset()),
            device=None if group.target.hosted else state.devices.get(group.target.name),
        )

    return [group_work for group_work in map(work, plan.groups) if group_work.pending]


def _has_begun(group: LoadGroup, state: RunState) -> bool:
    # `tries` as well: a request that a worker took with it leaves nothing else. One that waited for a model which could
    # not be loaded has none, though it has a sample.
    return any(request.id in known for known in (state.submitted, state.tries) for request in group.requests)


def nothing_to_draw(plan: Plan) -> Problem:
    """Why no setting is left; a run of nothing would end as if all were well."""
    reasons = [f"{plan.excluded} settings left out by axes.exclude"] if plan.excluded else []
    skipped = Counter(skip.reason for skip in plan.skipped)
    reasons += [f"{number} that cannot be done: {reason}" for reason, number in skipped.most_common()]
    return Problem(key="axes", found=f"nothing to draw ({'; '.join(reasons)})", expected="at least one setting")
