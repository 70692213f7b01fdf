"""What a resume knows of hosted requests from the journal: which are open, under which name, and what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kreabench.core.planned import LoadGroup
from kreabench.core.records import FailureRecord, HostedCall, Record, SampleRecord, SubmissionRecord
from kreabench.core.specs import ServiceSpec
from kreabench.execution.pending import pending_work
from kreabench.rundir.directory import RunState
from tests.hosted_support import hosted_group
from tests.support import UTC, make_failure, make_plan, make_run, make_sample

GROUP = hosted_group(Path("/nowhere"), prompts=1)
REQUEST = GROUP.requests[0]
CALL = HostedCall(
    service_request_id="job-2",
    attempts=1,
    polls=1,
    queue_s=None,
    inference_s=None,
    runner=None,
    billable_units=None,
)


def submitted(name: str | None, attempt: int = 1) -> SubmissionRecord:
    return SubmissionRecord(
        request_id=REQUEST.id,
        setting_id=REQUEST.setting_id,
        group_id=GROUP.id,
        attempt=attempt,
        at_utc=UTC,
        service_request_id=name,
    )


def failed(type_: str, *, fetch_again: bool = False) -> FailureRecord:
    return FailureRecord(
        group_id=GROUP.id,
        setting_id=REQUEST.setting_id,
        request_id=REQUEST.id,
        attempt=1,
        started_utc=UTC,
        error=make_failure(type=type_, fetch_again=fetch_again, transient=True),
    )


def sample(
    *, fetch_again: bool | None = None, transient: bool = False, hosted: HostedCall | None = None
) -> SampleRecord:
    """A delivered one unless `fetch_again` is given."""
    if fetch_again is None:
        return make_sample(REQUEST)
    error = make_failure(type="network", stage="inference", fetch_again=fetch_again, transient=transient)
    return make_sample(REQUEST, error=error, hosted=hosted)


def state_of(path: Path, *records: Record) -> RunState:
    run = make_run(path / "run")
    with run.writer() as writer:
        writer.append(*records)
    return run.state()


@pytest.mark.parametrize(
    ("records", "open_", "tries", "deaths"),
    [
        ([submitted(None)], {REQUEST.id: None}, 0, 0),
        ([submitted(None), submitted("job-1")], {REQUEST.id: "job-1"}, 0, 0),
        ([submitted(None), submitted("job-1"), sample()], {}, 1, 0),
        ([submitted(None), sample(fetch_again=False)], {}, 1, 0),
        ([submitted(None), submitted("job-1"), sample(fetch_again=True)], {REQUEST.id: "job-1"}, 0, 0),
        ([submitted("job-1"), sample(fetch_again=True, hosted=CALL)], {REQUEST.id: "job-2"}, 0, 0),
        ([submitted("job-1"), sample(fetch_again=True), sample()], {}, 1, 0),
        ([submitted(None), failed("rate_limited")], {}, 1, 0),
        ([submitted(None), failed("rate_limited"), submitted(None, 2)], {REQUEST.id: None}, 1, 0),
        ([submitted("job-1"), failed("cancelled")], {}, 1, 0),
        ([submitted("job-1"), failed("crashed", fetch_again=True)], {REQUEST.id: "job-1"}, 0, 1),
        ([failed("crashed")], {}, 1, 1),
    ],
)  # fmt: skip
def test_what_is_open(
    tmp_path: Path, records: list[Record], open_: dict[str, str | None], tries: int, deaths: int
) -> None:
    state = state_of(tmp_path, *records)
    assert state.submitted == open_
    assert state.tries.get(REQUEST.id, 0) == tries
    assert state.deaths.get(REQUEST.id, 0) == deaths


def test_what_came_together_is_on_the_disk_with_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    synced: list[int] = []
    with run.writer() as writer:
        monkeypatch.setattr("os.fsync", synced.append)
        writer.append(submitted(None), submitted("job-1"), sample())
        writer.append()
        monkeypatch.undo()
    assert len(synced) == 1
    assert [record.kind for record in run.records()] == ["submission", "submission", "sample"]


def state(samples: dict[str, SampleRecord], open_: dict[str, str | None]) -> RunState:
    return RunState(samples=samples, deaths={}, tries={}, submitted=open_)


@pytest.mark.parametrize("retry_failed", [False, True])
def test_what_is_open_is_left_to_do_and_comes_with_its_name(retry_failed: bool) -> None:
    plan = make_plan(GROUP)
    (work,) = pending_work(plan, state({}, {REQUEST.id: "job-1"}), retry_failed=retry_failed)
    assert (work.pending, work.submitted) == ((REQUEST,), {REQUEST.id: "job-1"})
    failed_before = {REQUEST.id: sample(fetch_again=True)}
    (work,) = pending_work(plan, state(failed_before, {REQUEST.id: "job-1"}), retry_failed=retry_failed)
    assert (work.pending, work.submitted) == ((REQUEST,), {REQUEST.id: "job-1"})


def test_what_may_have_been_bought_is_sent_again_only_when_asked_to() -> None:
    plan = make_plan(GROUP)
    lost = {REQUEST.id: sample(fetch_again=False)}
    assert pending_work(plan, state(lost, {}), retry_failed=False) == []
    (work,) = pending_work(plan, state(lost, {}), retry_failed=True)
    assert (work.pending, work.submitted) == ((REQUEST,), {})


def served(group: LoadGroup) -> LoadGroup:
    return replace(group, target=replace(group.target, service=ServiceSpec(kind="fal-emulator", options={})))


def test_a_service_of_the_run_s_own_took_its_jobs_with_it() -> None:
    plan = make_plan(served(GROUP))
    (work,) = pending_work(plan, state({}, {REQUEST.id: "job-1"}), retry_failed=False)
    assert (work.pending, work.submitted) == ((REQUEST,), {})


@pytest.mark.parametrize("group", [GROUP, served(GROUP)], ids=["hosted", "own service"])
def test_a_retry_that_was_asked_for_and_cut_short_goes_on_without_being_asked_for_again(group: LoadGroup) -> None:
    before = {REQUEST.id: sample(fetch_again=False)}
    (work,) = pending_work(make_plan(group), state(before, {REQUEST.id: "job-2"}), retry_failed=False)
    assert work.pending == (REQUEST,)
    assert work.submitted == ({} if group.target.service else {REQUEST.id: "job-2"})


def test_what_is_delivered_stays_so_whatever_else_the_journal_says() -> None:
    delivered = {REQUEST.id: sample()}
    assert pending_work(make_plan(GROUP), state(delivered, {REQUEST.id: None}), retry_failed=True) == []
