"""What a run relies on when something goes wrong: one sample is lost, never two, and the record says why."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.engine_spec import EngineSpec
from kreabench.core.planned import LoadGroup
from kreabench.core.records import Cost, Failure, Record, SampleRecord
from tests.engine_support import (
    engine_spec,
    failures,
    faulty_target,
    kinds,
    loads,
    run,
    samples,
    start,
    warmups,
    worker_pids,
)
from tests.support import make_group, make_setting

FAST, SLOW = make_setting(steps=2), make_setting(steps=8)
DEATHS = {"crash": signal.SIGKILL, "abort": signal.SIGABRT, "exit": None, "hang": None}


def faulty_group(state_dir: Path, *faults: dict[str, Any], **options: Any) -> LoadGroup:
    return make_group(target=faulty_target(state_dir, *faults), **{"prompts": 3, **options})


def limits_for(kind: str) -> EngineSpec:
    """Time limits that only something that hangs is expected to reach."""
    if kind == "load_hang":
        return engine_spec(load_timeout_s=3.0)
    return engine_spec(sample_timeout_s=2.0, warmup_timeout_s=2.0) if kind == "hang" else engine_spec()


def error_of(record: Record) -> Failure:
    assert isinstance(record, SampleRecord)
    assert record.error is not None
    return record.error


@pytest.mark.parametrize("kind", DEATHS)
def test_a_death_costs_one_attempt_and_the_sample_is_made_in_a_fresh_worker(tmp_path: Path, kind: str) -> None:
    group = faulty_group(tmp_path, {"kind": kind, "prompt_contains": " 1 red", "times": 1}, warmup=1)
    records = run(group, tmp_path, spec=limits_for(kind))
    assert kinds(records) == ["load", "warmup", "sample", "failure", "load", "warmup", "sample", "sample"]
    failure = failures(records)[0]
    assert (failure.request_id, failure.setting_id, failure.attempt) == (
        group.requests[1].id,
        group.requests[1].setting_id,
        1,
    )
    assert failure.error.type == ("timeout" if kind == "hang" else "crashed")
    assert failure.error.signal == DEATHS[kind]
    assert failure.error.transient
    assert f"logs/worker-{group.id}.log" in failure.error.remedy
    found = samples(records)
    assert [found[request.id].attempt for request in group.requests] == [1, 2, 1]
    assert [found[request.id].status for request in group.requests] == ["ok"] * 3
    assert [found[request.id].timing_valid for request in group.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("crash", "SIGKILL (signal 9)"),
        ("abort", "SIGABRT (signal 6)"),
        ("exit", "exit code 3"),
        ("hang", "no answer within 2 s"),
    ],
)
def test_a_request_that_kills_two_workers_fails_for_good_and_the_rest_goes_on(
    tmp_path: Path, kind: str, message: str
) -> None:
    group = faulty_group(tmp_path, {"kind": kind, "prompt_contains": " 1 red"})
    records = run(group, tmp_path, spec=limits_for(kind))
    assert kinds(records) == ["load", "sample", "failure", "load", "sample", "load", "sample"]
    found = samples(records)
    assert [found[request.id].status for request in group.requests] == ["ok", "failed", "ok"]
    failed = found[group.requests[1].id]
    error = error_of(failed)
    assert (failed.attempt, error.transient, error.signal) == (2, False, DEATHS[kind])
    assert message in error.message
    assert ("engine.sample_timeout_s" in error.remedy) == (kind == "hang")
    assert (failed.images, failed.timings, failed.timing_valid) == ((), None, False)


def test_the_log_shows_where_a_worker_crashed(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "abort"}, prompts=1)
    run(group, tmp_path)
    log = (tmp_path / "logs" / f"worker-{group.id}.log").read_text()
    assert "Fatal Python error: Aborted" in log
    assert "in generate" in log


def test_time_limits_of_years(tmp_path: Path) -> None:
    """A call of the operating system waits 24 days at most, and raises when asked for more."""
    group = make_group(prompts=1, warmup=1)
    years = dict.fromkeys(("sample_timeout_s", "warmup_timeout_s", "load_timeout_s"), 1e9)
    assert kinds(run(group, tmp_path, spec=engine_spec(**years))) == ["load", "warmup", "sample"]


def test_deaths_before_a_resume_count(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "crash", "prompt_contains": " 1 red"})
    records = run(group, tmp_path, deaths={group.requests[1].id: 1}, tries={group.requests[1].id: 2})
    assert kinds(records) == ["load", "sample", "sample", "load", "sample"]
    failed = samples(records)[group.requests[1].id]
    assert (failed.attempt, failed.status) == (3, "failed")


def test_a_second_attempt_after_a_resume_is_no_timing(tmp_path: Path) -> None:
    group = make_group(prompts=2, warmup=1)
    found = samples(run(group, tmp_path, tries={group.requests[0].id: 1}))
    assert [(sample.attempt, sample.timing_valid) for sample in found.values()] == [(2, False), (1, True)]


@pytest.mark.parametrize("type_", ["content_policy", "rate_limited"])
def test_a_typed_failure_is_final_at_once_and_keeps_the_worker(tmp_path: Path, type_: str) -> None:
    group = faulty_group(tmp_path, {"kind": "error", "type": type_, "prompt_contains": " 1 red"})
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "sample", "sample", "sample"]
    failed = samples(records)[group.requests[1].id]
    error = error_of(failed)
    assert (failed.status, failed.attempt) == ("failed", 1)
    assert (error.type, error.stage, error.signal) == (type_, "denoise", None)
    assert error.transient == (type_ == "rate_limited")


@pytest.mark.parametrize(("kind", "type_"), [("fatal", "server_error"), ("out_of_memory", "out_of_memory")])
def test_after_a_fatal_failure_the_next_sample_is_made_in_a_fresh_worker(tmp_path: Path, kind: str, type_: str) -> None:
    group = faulty_group(tmp_path, {"kind": kind, "prompt_contains": " 1 red"}, warmup=1)
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "warmup", "sample", "sample", "load", "warmup", "sample"]
    failed = samples(records)[group.requests[1].id]
    assert (failed.status, failed.attempt, error_of(failed).type) == ("failed", 1, type_)


def test_no_worker_is_started_after_a_fatal_failure_of_the_last_request(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "out_of_memory", "prompt_contains": " 2 red"})
    assert kinds(run(group, tmp_path)) == ["load", "sample", "sample", "sample"]


def test_an_unexpected_exception_is_recorded_and_its_traceback_logged(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "internal", "prompt_contains": " 1 red"})
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "sample", "sample", "sample"]
    error = error_of(samples(records)[group.requests[1].id])
    assert (error.type, error.stage) == ("internal", "generate")
    assert error.message == "builtins.RuntimeError: something that nobody expected, as asked"
    assert "Traceback" in (tmp_path / "logs" / f"worker-{group.id}.log").read_text()


def test_a_damaged_picture_is_a_failed_sample_that_keeps_its_time(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "bad_image", "prompt_contains": " 1 red"}, warmup=1)
    failed = samples(run(group, tmp_path))[group.requests[1].id]
    assert (failed.status, error_of(failed).type, error_of(failed).stage) == ("failed", "bad_image", "store")
    assert failed.timings is not None
    assert not failed.timing_valid
    assert failed.images == ()


def kill_idle_worker() -> None:
    (pid,) = worker_pids()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_worker_found_dead_is_replaced_without_blame(tmp_path: Path) -> None:
    group = make_group(prompts=3)
    records = []
    for record in start(group, tmp_path):
        records.append(record)
        if record.kind == "sample" and len(samples(records)) < 3:
            kill_idle_worker()
    assert kinds(records) == ["load", "sample", "load", "sample", "load", "sample"]
    assert [sample.attempt for sample in samples(records).values()] == [1, 1, 1]


def test_workers_that_die_after_every_load_do_not_go_on_for_ever(tmp_path: Path) -> None:
    group = make_group(prompts=1)
    records = []
    for record in start(group, tmp_path):
        records.append(record)
        if record.kind == "load":
            kill_idle_worker()
    assert kinds(records) == ["load", "load", "failure", "load", "sample"]
    assert error_of(records[-1]).signal == signal.SIGKILL


def test_when_loading_fails_every_request_is_recorded_for_a_later_resume(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "load_error"})
    records = run(group, tmp_path)
    assert kinds(records) == ["failure"] + ["sample"] * 3
    failure = failures(records)[0]
    assert (failure.setting_id, failure.request_id, failure.error.stage) == (None, None, "load")
    for sample in samples(records).values():
        error = error_of(sample)
        assert (error.type, error.stage, error.transient) == ("load_failed", "load", True)
        assert (error.message, error.remedy) == (failure.error.message, failure.error.remedy)
        assert sample.cost == Cost(usd=None, basis="none")


@pytest.mark.parametrize("kind", ["load_crash", "load_hang"])
def test_a_death_while_loading_is_tried_once_more(tmp_path: Path, kind: str) -> None:
    group = faulty_group(tmp_path, {"kind": kind, "times": 1}, prompts=1)
    records = run(group, tmp_path, spec=limits_for(kind))
    assert kinds(records) == ["failure", "load", "sample"]
    assert samples(records)[group.requests[0].id].attempt == 1
    if kind == "load_hang":  # the log shows where
        log = (tmp_path / "logs" / f"worker-{group.id}.log").read_text()
        assert "most recent call first" in log
        assert "fake.py" in log


def test_two_deaths_while_loading_end_the_group(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, {"kind": "load_crash"})
    records = run(group, tmp_path)
    assert kinds(records) == ["failure", "failure"] + ["sample"] * 3
    assert [failure.attempt for failure in failures(records)] == [1, 2]
    assert {failure.error.type for failure in failures(records)} == {"crashed"}
    assert {error_of(sample).type for sample in samples(records).values()} == {"load_failed"}


def test_a_back_end_that_does_not_exist_is_a_failed_load(tmp_path: Path) -> None:
    group = make_group()
    group = replace(group, target=replace(group.target, options={"no_such_option": 1}))
    records = run(group, tmp_path)
    assert kinds(records) == ["failure", "sample", "sample"]
    assert "no_such_option" in failures(records)[0].error.message


def warmup_fault(kind: str, times: int | None) -> dict[str, Any]:
    """Hits the first calls of SLOW: its warm-up."""
    return {"kind": kind, "setting_contains": " 8 steps", "prompt_contains": " 0 red", "times": times}


def test_a_failed_warm_up_fails_its_setting_and_the_others_go_on(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, warmup_fault("error", 1), settings=[SLOW, FAST], prompts=2, warmup=2)
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "failure", "sample", "sample", "warmup", "warmup", "sample", "sample"]
    failure = failures(records)[0]
    assert (failure.setting_id, failure.request_id, failure.error.stage) == (SLOW.id, None, "warmup")
    for sample in samples(records).values():
        assert sample.status == ("failed" if sample.setting_id == SLOW.id else "ok")
        if sample.error is not None:
            assert (sample.error.type, sample.error.stage, sample.error.transient) == ("server_error", "warmup", True)


def test_a_fatal_warm_up_replaces_the_worker_for_the_other_settings(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, warmup_fault("out_of_memory", 1), settings=[SLOW, FAST], prompts=1, warmup=1)
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "failure", "sample", "load", "warmup", "sample"]
    assert [sample.status for sample in samples(records).values()] == ["failed", "ok"]


@pytest.mark.parametrize("kind", ["crash", "hang"])
def test_a_death_in_a_warm_up_is_tried_once_more(tmp_path: Path, kind: str) -> None:
    group = faulty_group(tmp_path, warmup_fault(kind, 1), settings=[FAST, SLOW], prompts=1, warmup=1)
    records = run(group, tmp_path, spec=limits_for(kind))
    assert kinds(records) == ["load", "warmup", "failure", "load", "warmup", "warmup", "sample", "sample"]
    assert {sample.status for sample in samples(records).values()} == {"ok"}
    assert all(sample.timing_valid for sample in samples(records).values())


def test_two_deaths_in_a_warm_up_fail_its_setting_for_good(tmp_path: Path) -> None:
    group = faulty_group(tmp_path, warmup_fault("crash", None), settings=[FAST, SLOW], prompts=2, warmup=1)
    records = run(group, tmp_path)
    assert [failure.attempt for failure in failures(records)] == [1, 2]
    for sample in samples(records).values():
        assert sample.status == ("failed" if sample.setting_id == SLOW.id else "ok")
        if sample.error is not None:
            assert (sample.error.type, sample.error.stage, sample.error.transient) == ("crashed", "warmup", False)
    assert len(loads(records)) == 3
    assert [warmup.setting_id for warmup in warmups(records)] == [FAST.id] * 3
