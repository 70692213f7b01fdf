"""What a run relies on when nothing goes wrong: order, warm-ups, first calls, costs, the budget, and a clean end."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from kreabench.core.errors import BudgetReached, EnvironmentProblem, Problem, StorageError
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import Record
from kreabench.core.specs import ServiceSpec
from kreabench.execution import local
from kreabench.execution.engine import GroupWork
from tests.engine_support import (
    engine_spec,
    failures,
    faulty_target,
    is_gone,
    kinds,
    loads,
    run,
    samples,
    start,
    wait_until,
    warmups,
    worker_pids,
)
from tests.support import make_group, make_setting, make_target

FAST, SLOW = make_setting(steps=2), make_setting(steps=8)


def test_records_come_in_the_order_of_the_plan(tmp_path: Path) -> None:
    group = make_group([FAST, SLOW], prompts=3, warmup=1)
    records = run(group, tmp_path)
    assert kinds(records) == ["load", "warmup", "warmup"] + ["sample"] * 6
    assert list(samples(records)) == [request.id for request in group.requests]
    assert [warmup.setting_id for warmup in warmups(records)] == [FAST.id, SLOW.id]
    load = loads(records)[0]
    assert (load.group_id, load.target) == (group.id, "mini_fake")
    assert load.identity["model"] == "builtin:fake"


def test_a_sample_says_what_was_asked_and_what_came_of_it(tmp_path: Path) -> None:
    group = make_group([make_setting(num_images=2, output_format="jpeg")], prompts=1, warmup=1)
    request = group.requests[0]
    sample = samples(run(group, tmp_path))[request.id]
    assert (sample.setting_id, sample.group_id, sample.prompt_id) == (request.setting_id, group.id, request.prompt_id)
    assert (sample.seed, sample.repeat, sample.attempt, sample.status) == (request.seed, request.repeat, 1, "ok")
    assert sample.steps_run == 4
    assert sample.timing_valid
    assert sample.timings is not None
    assert sample.timings.end_to_end_s == pytest.approx(
        sum(sample.timings.stages_s.values()) + sample.timings.residual_s
    )
    assert [image.index for image in sample.images] == [0, 1]
    for image in sample.images:
        assert hashlib.sha256((tmp_path / image.path).read_bytes()).hexdigest() == image.sha256


def test_each_setting_with_work_left_is_warmed_up_with_its_own_first_prompt(tmp_path: Path) -> None:
    group = make_group([FAST, SLOW], prompts=2, warmup=3)
    only_slow = [request for request in group.requests if request.setting_id == SLOW.id]
    records = run(group, tmp_path, pending=only_slow[1:])
    assert [warmup.setting_id for warmup in warmups(records)] == [SLOW.id] * 3
    assert [warmup.timings.first_call for warmup in warmups(records)] == [True, False, False]
    assert list(samples(records)) == [only_slow[1].id]


def test_without_warm_up_the_first_sample_of_each_setting_is_no_timing(tmp_path: Path) -> None:
    group = make_group([FAST, SLOW], prompts=2, warmup=0)
    found = list(samples(run(group, tmp_path)).values())
    assert [sample.timings.first_call for sample in found if sample.timings] == [True, True, False, False]
    assert [sample.timing_valid for sample in found] == [False, False, True, True]


def test_a_group_with_nothing_left_starts_no_worker(tmp_path: Path) -> None:
    assert run(make_group(), tmp_path, pending=[]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_local_sample_costs_its_share_of_the_device_hour(tmp_path: Path) -> None:
    group = make_group([FAST], target=make_target(usd_per_hour=3.6), prompts=1, warmup=1)
    records = run(group, tmp_path)
    costs = [(warmup.timings, warmup.cost) for warmup in warmups(records)]
    costs += [(sample.timings, sample.cost) for sample in samples(records).values() if sample.timings]
    assert len(costs) == 2
    for timings, cost in costs:
        assert cost.basis == "device_hour"
        assert cost.usd == pytest.approx(timings.end_to_end_s / 1000)


def test_the_budget_is_asked_before_every_call(tmp_path: Path) -> None:
    group = make_group([FAST], prompts=2, warmup=2)
    asked: list[Request | None] = []
    seen: list[tuple[str, int]] = []

    def admit(asked_group: LoadGroup, request: Request | None) -> None:
        assert asked_group is group
        asked.append(request)

    for record in start(group, tmp_path, admit=admit):
        seen.append((record.kind, len(asked)))
    assert asked == [None, None, *group.requests]
    assert seen == [("load", 0), ("warmup", 1), ("warmup", 2), ("sample", 3), ("sample", 4)]


def test_a_spent_budget_ends_the_run_and_the_worker(tmp_path: Path) -> None:
    group = make_group([FAST], prompts=3)

    def admit(_: LoadGroup, request: Request | None) -> None:
        if request is group.requests[1]:
            raise BudgetReached("spent")

    got: list[Record] = []
    with pytest.raises(BudgetReached):
        collect(start(group, tmp_path, admit=admit), got)
    assert kinds(got) == ["load", "sample"]
    assert worker_pids() == []


def collect(records: Iterator[Record], got: list[Record]) -> None:
    """Like extend, but keeps what came before an error."""
    for record in records:
        got.append(record)


@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_stopping_early_leaves_no_process(tmp_path: Path, how: str) -> None:
    records = start(make_group([FAST], prompts=3), tmp_path)
    next(records)
    next(records)
    pids = worker_pids()
    assert len(pids) == 1
    if how == "close":
        records.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            records.throw(KeyboardInterrupt())
    assert worker_pids() == []
    assert is_gone(pids[0])


def test_an_interrupt_during_a_call_does_not_wait_for_it(tmp_path: Path) -> None:
    """Ctrl-C reaches the driver alone; the sample in hand is dropped with its worker."""
    script = """
import sys
from pathlib import Path
from tests.engine_support import engine_spec, faulty_target, start
from tests.support import make_group
target = faulty_target(Path(sys.argv[1]), {"kind": "hang"})
try:
    for record in start(make_group(target=target), Path(sys.argv[1])):
        print(record.kind, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""
    driver = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
    with driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"load\n"
        pids = worker_pids(driver.pid)
        driver.send_signal(2)
        assert driver.wait(20) == 130
    assert len(pids) == 1
    assert is_gone(pids[0])


def test_no_worker_outlives_a_killed_driver(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.engine_support import faulty_target, start
from tests.support import make_group
target = faulty_target(Path(sys.argv[1]), {"kind": "hang"})
for record in start(make_group(target=target), Path(sys.argv[1])):
    print(record.kind, flush=True)
"""
    driver = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
    with driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"load\n"
        pids = worker_pids(driver.pid)
        driver.kill()
    assert len(pids) == 1
    wait_until(lambda: is_gone(pids[0]), "the worker of a killed driver ends")


def test_the_driver_never_imports_torch(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.engine_support import start
from tests.support import make_group
assert len(list(start(make_group(), Path(sys.argv[1])))) == 3
heavy = {"torch", "diffusers", "pandas", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=Path.cwd(), timeout=60)


def test_groups_run_one_after_the_other(tmp_path: Path) -> None:
    groups = [make_group(target=make_target(name=name), prompts=1) for name in ("one", "two")]
    engine = local.LocalEngine(engine_spec())
    work = [GroupWork(group=group, pending=group.requests) for group in groups]
    seen = [
        (record.kind, record.group_id, len(worker_pids()))  # type: ignore[union-attr]
        for batch in engine.run(work, tmp_path, lambda *_: None)
        for record in batch
    ]
    one, two = (group.id for group in groups)
    assert seen == [("load", one, 1), ("sample", one, 1), ("load", two, 1), ("sample", two, 1)]


def test_a_service_runs_as_long_as_its_group_and_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @contextmanager
    def fake_service(service: ServiceSpec, log_path: Path) -> Iterator[Mapping[str, str]]:
        events.append(f"started, workers: {len(worker_pids())}, log in {log_path.parent}")
        yield {"KREABENCH_TEST_SERVICE": "here"}
        events.append(f"stopped, workers: {len(worker_pids())}")

    monkeypatch.setattr(local, "start_service", fake_service)
    target = make_target(service=ServiceSpec(kind="fal-emulator", options={}))
    records = start(make_group(target=target), tmp_path)
    next(records)
    environ = Path(f"/proc/{worker_pids()[0]}/environ").read_text().split("\0")
    assert "KREABENCH_TEST_SERVICE=here" in environ
    list(records)
    assert events == [f"started, workers: 0, log in {tmp_path / 'logs'}", "stopped, workers: 0"]


def test_a_service_that_does_not_come_up_fails_its_group_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_service(service: ServiceSpec, log_path: Path) -> None:
        raise EnvironmentProblem([Problem(key="service", found="port in use", expected="a free port")])

    monkeypatch.setattr(local, "start_service", broken_service)
    served = make_group(target=make_target(name="served", service=ServiceSpec(kind="fal-emulator", options={})))
    plain = make_group()
    work = [GroupWork(group=group, pending=group.requests) for group in (served, plain)]
    batches = local.LocalEngine(engine_spec()).run(work, tmp_path, lambda *_: None)
    records = [record for batch in batches for record in batch]
    assert kinds(records) == ["failure", "sample", "sample", "load", "sample", "sample"]
    assert failures(records)[0].error.type == "load_failed"
    assert "port in use" in failures(records)[0].error.message
    assert {samples(records)[request.id].status for request in served.requests} == {"failed"}
    assert {samples(records)[request.id].status for request in plain.requests} == {"ok"}


def test_workers_see_the_environment_they_are_given(tmp_path: Path) -> None:
    records = start(make_group(), tmp_path, environ={**os.environ, "KREABENCH_TEST_GIVEN": "yes"})
    next(records)
    assert "KREABENCH_TEST_GIVEN=yes" in Path(f"/proc/{worker_pids()[0]}/environ").read_text().split("\0")
    records.close()


def test_a_log_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(StorageError, match="logs"):
        run(make_group(), tmp_path)


def test_pictures_that_cannot_be_written_end_the_run_after_their_record(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    got: list[Record] = []
    with pytest.raises(StorageError, match="images"):
        collect(start(make_group(), tmp_path), got)
    assert kinds(got) == ["load", "sample"]
    error = next(iter(samples(got).values())).error
    assert error is not None
    assert (error.type, error.stage, error.transient) == ("storage", "store", True)
    assert worker_pids() == []


def test_a_file_in_the_working_directory_is_not_taken_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert kinds(run(make_group(prompts=1), tmp_path / "run")) == ["load", "sample"]


def test_faults_are_for_the_prompts_they_name(tmp_path: Path) -> None:
    target = faulty_target(tmp_path, {"kind": "error", "prompt_contains": " 1 red"})
    found = samples(run(make_group(target=target, prompts=3), tmp_path))
    assert [sample.status for sample in found.values()] == ["ok", "failed", "ok"]
