"""Hosted load groups on the fake service, for the tests of execution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kreabench.backends.fake_service import Job, read_account
from kreabench.core.planned import LoadGroup
from kreabench.core.records import FailureRecord, Record, SampleRecord, SubmissionRecord
from kreabench.core.specs import PriceSpec, TargetSpec
from tests.support import make_group, make_setting, make_target

PRICE = PriceSpec(
    usd_first_megapixel=0.5,
    usd_further_megapixel=0.5,
    usd_per_image=None,
    megapixel_pixels=1_000_000,
    round_up=True,
    source="a test",
    date="2026-01-02",
)
"""Half a dollar a picture of any size that these tests draw."""
USD = 0.5
SETTING = make_setting(target="bought", width=64, height=64)


def hosted_target(state_dir: Path, *faults: dict[str, Any], **options: Any) -> TargetSpec:
    """The fake service with these faults, its jobs kept in `state_dir`."""
    chosen = {"inference_s": 0.0, "faults": list(faults), "state_dir": str(state_dir), **options}
    return make_target(name="bought", backend="fake_hosted", hosted=True, price=PRICE, options=chosen)


def hosted_group(
    state_dir: Path, *faults: dict[str, Any], prompts: int = 3, concurrency: int = 1, **options: Any
) -> LoadGroup:
    """A group of one request a prompt."""
    target = hosted_target(state_dir, *faults, **options)
    return make_group([SETTING], target=target, prompts=prompts, concurrency=concurrency)


def jobs(state_dir: Path) -> dict[str, list[Job]]:
    """Request id → the jobs that the service took for it."""
    found: dict[str, list[Job]] = {}
    for job in read_account(state_dir):
        found.setdefault(job.request_id, []).append(job)
    return found


def most_at_once(state_dir: Path) -> int:
    """Jobs that were in the service at one moment, at most."""
    account = read_account(state_dir)
    return max(sum(other.submitted_s <= job.submitted_s < other.done_s for other in account) for job in account)


def billed_usd(state_dir: Path) -> float:
    """What the service has on its bill."""
    return USD * sum(job.billed_units for job in read_account(state_dir))


def submissions(records: Sequence[Record]) -> list[SubmissionRecord]:
    return [record for record in records if isinstance(record, SubmissionRecord)]


def journal_usd(records: Sequence[Record]) -> float:
    """What the journal says that the requests cost: of an unknown cost the list price."""
    total = 0.0
    for record in records:
        if not isinstance(record, SampleRecord | FailureRecord) or record.request_id is None:
            continue
        if record.error is not None and (record.error.fetch_again or record.error.stage == "load"):
            continue
        total += USD if record.cost.usd is None else record.cost.usd
    return total
