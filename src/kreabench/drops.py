"""What a race has dropped, out of a run's journal, and the plan without it; and what a load run left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from kreabench.core.planned import Plan, Request
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


def samples_in(records: Iterable[Record]) -> dict[str, SampleRecord]:
    """Request id → its final state; of several records the last."""
    return {record.request_id: record for record in records if isinstance(record, SampleRecord)}


def told_of(plan: Plan, samples: Mapping[str, SampleRecord], dropped: Collection[str], sent: Collection[str]) -> Plan:
    """What results are about: `plan` as if neither the settings `dropped` had ever been in it, nor the requests that a
    closed loop did not come to, which has as many as it may have and sends those that its duration allows.

    `sent`: ids of those of `sent_in`.
    """
    never = {request.id for request in _never_came(plan, samples, sent, open_loop=False)}
    return without(
        replace(
            plan,
            groups=tuple(
                replace(group, requests=tuple(request for request in group.requests if request.id not in never))
                for group in plan.groups
            ),
        )
        if never
        else plan,
        dropped,
    )


def spared(
    plan: Plan, samples: Mapping[str, SampleRecord], dropped: Collection[str], sent: Collection[str] = ()
) -> int:
    """Requests that shall not be drawn: of dropped settings, and those that closed loops did not come to.

    `sent`: ids of those of `sent_in`, which are no part of this.
    """
    of_dropped = sum(
        request.setting_id in dropped and request.id not in samples
        for group in plan.groups
        for request in group.requests
    )
    return of_dropped + len(_never_came(plan, samples, sent, open_loop=False))


def cut_off(plan: Plan, samples: Mapping[str, SampleRecord], sent: Collection[str]) -> int:
    """Requests of open loops that were ended, by an interrupt, a spent budget or a dead worker, before these came or,
    in front of local workers, were answered: no resume draws them."""
    return len(_never_came(plan, samples, sent, open_loop=True))


def _never_came(
    plan: Plan, samples: Mapping[str, SampleRecord], sent: Collection[str], *, open_loop: bool
) -> list[Request]:
    """Of levels that have begun and are over those that were neither sent nor have a sample."""
    return [
        request
        for group in plan.groups
        if group.traffic is not None and group.traffic.is_open == open_loop
        if any(request.id in sent or was_tried(samples.get(request.id)) for request in group.requests)
        for request in group.requests
        if request.id not in samples and request.id not in sent
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far a run has come, in requests."""

    requests: int
    """Planned, less those of `spared`."""
    delivered: int
    failed: int
    """For another reason than that their level of load was ended."""
    unanswered: int
    """See `unanswered`."""
    cut_off: int
    """See `cut_off`."""
    spared: int
    """See `spared`."""
    dropped: int
    """Settings that a race dropped."""

    @property
    def left(self) -> int:
        """What a resume draws."""
        return self.requests - self.delivered - self.failed - self.unanswered - self.cut_off


def standing(
    plan: Plan,
    samples: Mapping[str, SampleRecord],
    dropped: Collection[str],
    sent: Collection[str],
    *,
    is_drawn: bool = False,
) -> Standing:
    """`plan`: the whole one. `sent`: ids of those of `sent_in`. `is_drawn`: a process draws now, and no level is taken
    to be over."""
    if is_drawn:
        sent, plan = (), replace(plan, groups=tuple(replace(group, traffic=None) for group in plan.groups))
    not_drawn = spared(plan, samples, dropped, sent)
    return Standing(
        requests=plan.request_count - not_drawn,
        delivered=sum(sample.status == "ok" for sample in samples.values()),
        failed=sum(sample.status == "failed" and not is_unanswered(sample) for sample in samples.values()),
        unanswered=unanswered(plan, samples, sent),
        cut_off=cut_off(plan, samples, sent),
        spared=not_drawn,
        dropped=len(dropped),
    )


def standing_of(run: RunDirectory, plan: Plan) -> Standing:
    """As `standing`, of a run that nobody draws any more."""
    records = tuple(run.records())
    return standing(plan, samples_in(records), drops_in(records), sent_in(records))


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


def is_unanswered(record: SampleRecord | FailureRecord) -> bool:
    """Whether it is of a request to a local target that its level of load ended without, or of such a level at a
    service."""
    return record.error is not None and (record.error.type, record.error.stage) == UNANSWERED


def was_tried(sample: SampleRecord | None) -> bool:
    """Whether something was drawn, or bought, for the request."""
    return sample is not None and (sample.error is None or sample.error.stage not in NEVER_TRIED_STAGES)
