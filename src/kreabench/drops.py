"""What a race has dropped, out of a run's journal, and the plan without it; and what a load run left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from kreabench.core.planned import LoadGroup, Plan
from kreabench.core.policies import COSTS
from kreabench.core.records import (
    NEVER_TRIED_STAGES,
    UNANSWERED,
    DropRecord,
    FailureRecord,
    LookRecord,
    Record,
    SampleRecord,
    SubmissionRecord,
)
from kreabench.core.specs import RaceSpec
from kreabench.rundir.directory import RunDirectory


def drops_of(run: RunDirectory) -> dict[str, DropRecord]:
    """Setting id → why it was dropped, in order; empty without a race."""
    return drops_in(run.records())


def drops_in(records: Iterable[Record]) -> dict[str, DropRecord]:
    """As `drops_of`, of a journal that was read already."""
    return {record.setting_id: record for record in records if isinstance(record, DropRecord)}


def by_scores(drop: DropRecord, race: RaceSpec | None) -> bool:
    """Whether a setting's own scores decided that it was dropped, not costs and the scores of a better one alone."""
    if drop.dominated_by is None:
        return drop.constraint not in COSTS
    return race is None or race.question.objective == "quality"


def looks_of(run: RunDirectory) -> tuple[LookRecord, ...]:
    """The looks that are over, in order."""
    return tuple(record for record in run.records() if isinstance(record, LookRecord))


def kept_samples(run: RunDirectory) -> dict[str, SampleRecord]:
    """Request id → its final state, of settings that were not dropped."""
    samples: dict[str, SampleRecord] = {}
    dropped: set[str] = set()
    for record in run.records():
        if isinstance(record, SampleRecord):
            samples[record.request_id] = record
        elif isinstance(record, DropRecord):
            dropped.add(record.setting_id)
    return {key: sample for key, sample in samples.items() if sample.setting_id not in dropped}


def without(plan: Plan, dropped: Collection[str]) -> Plan:
    """`plan` as if the settings `dropped` had never been in it, under the same hash: what results are about."""
    if not dropped:
        return plan
    return replace(
        plan,
        settings=tuple(setting for setting in plan.settings if setting.id not in dropped),
        groups=tuple(
            replace(
                group,
                settings=tuple(setting for setting in group.settings if setting.id not in dropped),
                requests=tuple(request for request in group.requests if request.setting_id not in dropped),
            )
            for group in plan.groups
        ),
    )


def spared(
    plan: Plan, samples: Mapping[str, SampleRecord], dropped: Collection[str], sent: Collection[str] = ()
) -> int:
    """Requests that will not be drawn: of dropped settings, and of levels of load that have begun and are over.

    `sent`: ids of those of `sent_in`, which are no part of this.
    """

    def is_over(group: LoadGroup) -> bool:
        return group.traffic is not None and any(
            request.id in sent or was_tried(samples.get(request.id)) for request in group.requests
        )

    return sum(
        request.id not in samples and (request.setting_id in dropped or (over and request.id not in sent))
        for group, over in ((group, is_over(group)) for group in plan.groups)
        for request in group.requests
    )


def unanswered(plan: Plan, samples: Mapping[str, SampleRecord], sent: Collection[str]) -> int:
    """Requests that levels of load ended before they had an answer: those that were `sent` to a service and have no
    sample, and those of local targets, whose samples say so."""
    ids = {request.id for group in plan.groups if group.traffic is not None for request in group.requests}
    without_sample = sum(request_id in ids and request_id not in samples for request_id in sent)
    return without_sample + sum(map(is_unanswered, samples.values()))


def sent_in(records: Iterable[Record]) -> dict[str, str]:
    """Request id → when it was first about to be sent to a service, of those that were: one that was handed to a worker
    and cut short before its instant was not."""
    sent: dict[str, str] = {}
    for record in records:
        if isinstance(record, SubmissionRecord):
            sent.setdefault(record.request_id, record.at_utc)
        elif isinstance(record, FailureRecord) and record.error.stage == "client" and record.request_id:
            sent.pop(record.request_id, None)
    return sent


def is_unanswered(sample: SampleRecord) -> bool:
    """Whether it is of a request to a local target that its level of load ended without."""
    return sample.error is not None and (sample.error.type, sample.error.stage) == UNANSWERED


def was_tried(sample: SampleRecord | None) -> bool:
    """Whether something was drawn, or bought, for the request."""
    return sample is not None and (sample.error is None or sample.error.stage not in NEVER_TRIED_STAGES)
