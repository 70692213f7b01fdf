"""One level of load at a local target: one line before all workers, batches without waiting, an end by the clock."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.errors import ConfigError, StorageError
from kreabench.core.planned import LoadGroup
from kreabench.core.records import SHARED, Record, SampleRecord, Served, Timings
from kreabench.core.traffic import TrafficSpec
from kreabench.execution.lane import DISTURBED
from kreabench.execution.messages import BatchDone, Delivery
from kreabench.execution.pending import pending_work
from kreabench.execution.served import served_sample
from kreabench.execution.waiting_line import Arrival, WaitingLine
from kreabench.rundir.directory import RunState
from tests.engine_support import (
    engine_spec,
    failures,
    faulty_target,
    kinds,
    loads,
    run,
    samples,
    start_batches,
    warmups,
    worker_pids,
)
from tests.support import make_group, make_plan, make_request, make_sample, make_setting
from tests.test_traffic_run import every, keep
from tests.test_traffic_run import traffic as hosted_traffic


def traffic(**changes: Any) -> TrafficSpec:
    return hosted_traffic(**({"rate_per_s": (10.0,), "duration_s": 2.0} | changes))


def level(
    state_dir: Path,
    *faults: dict[str, Any],
    at_s: Sequence[float | None],
    latency_s: float = 0.0,
    batch_size: int = 1,
    in_flight: int = 1,
    spec: TrafficSpec | None = None,
    warmup: int = 0,
    **target: Any,
) -> LoadGroup:
    """A group whose requests are meant to come at these seconds."""
    made = faulty_target(state_dir, *faults, **target)
    made = replace(made, options={**made.options, "latency_s": latency_s, "batch_share": 0.0})
    setting = make_setting(batch_size=batch_size, concurrency=in_flight)
    requests = tuple(
        make_request(setting, id=f"{number}-request", prompt=f"prompt number {number} of all", at_s=at)
        for number, at in enumerate(at_s)
    )
    group = make_group(target=made, settings=(setting,), requests=requests, warmup=warmup)
    return replace(group, concurrency=in_flight, traffic=spec or traffic())


def served(sample: SampleRecord) -> Served:
    assert sample.served is not None
    return sample.served


def seconds(sample: SampleRecord) -> float:
    assert sample.timings is not None
    return sample.timings.end_to_end_s


def test_one_worker_serves_first_come_first_served_and_waiting_is_part_of_the_latency(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0] * 4, latency_s=0.2)
    records = run(group, tmp_path)
    found = samples(records)
    order = [record.request_id for record in records if isinstance(record, SampleRecord)]
    assert order == [request.id for request in group.requests]
    for number, request in enumerate(group.requests):
        sample = found[request.id]
        assert (sample.status, sample.attempt, sample.timing_valid, sample.flags) == ("ok", 1, number > 0, ())
        assert served(sample).batch == 1
        assert served(sample).queue_s >= number * 0.2
        assert seconds(sample) == pytest.approx(served(sample).queue_s + served(sample).service_s)
        assert sample.timings is not None
        assert sum(sample.timings.stages_s.values()) + sample.timings.residual_s == pytest.approx(seconds(sample))
        assert list(sample.timings.stages_s) == ["client", "queue", "text_encode", "denoise", "decode", "deliver"]
        assert (tmp_path / sample.images[0].path).is_file()


def test_nobody_comes_before_it_is_meant_to_and_none_before_the_model_is_warm(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=every(0.2, 6), warmup=2, batch_size=3)
    group = replace(group, target=replace(group.target, options={**group.target.options, "load_s": 0.5}))
    records: list[Record] = []
    told_s: list[float] = []
    for batch in start_batches(group, tmp_path):
        records += batch
        told_s += [time.perf_counter()] * len(batch)
    assert kinds(records)[:7] == ["load", *["warmup"] * 6]
    assert [record.batch for record in warmups(records)] == [1, 1, 2, 2, 3, 3]
    at_s = {request.id: request.at_s or 0.0 for request in group.requests}
    for record, seen_s in zip(records, told_s, strict=True):
        if isinstance(record, SampleRecord):
            # Loading and warming up are in nobody's latency: it fits between the end of that and now.
            assert seconds(record) <= seen_s - told_s[6] - at_s[record.request_id]
            assert record.timing_valid


def answer_of(began_s: float, ended_s: float) -> BatchDone:
    timings = Timings(end_to_end_s=ended_s - began_s, stages_s={}, residual_s=0.0)
    delivery = Delivery(images=(), timings=timings, memory=None, hosted=None, steps_run=4)
    return BatchDone(
        started_utc="2026-01-01T00:00:00Z", began_s=began_s, ended_s=ended_s, deliveries=(delivery,), errors=(None,)
    )


@pytest.mark.parametrize(
    ("late_s", "free_s", "client_s"),
    [
        (0.0, None, 0.0),
        (0.5, None, 0.5),
        (0.0, 12.0, 1.0),  # the worker was free a second before it was given anything
        (0.0, 5.0, 3.0),  # nobody can be drawn before it is there
        (2.0, 12.5, 2.0),
        (0.0, 13.0, 0.0),
    ],
)
def test_what_the_driver_is_late_by_is_told_apart_from_waiting_for_a_worker(
    tmp_path: Path, late_s: float, free_s: float | None, client_s: float
) -> None:
    group = level(tmp_path, at_s=[0.0])
    arrival = Arrival(request=group.requests[0], intended_s=10.0, started_utc="2026-01-01T00:00:02Z", late_s=late_s)
    sample = served_sample(group, arrival, answer_of(13.0, 15.0), 0, free_s=free_s)
    assert sample.timings is not None
    assert (seconds(sample), served(sample).queue_s, served(sample).service_s) == (5.0, 3.0, 2.0)
    assert sample.timings.stages_s["client"] == client_s
    assert sample.timings.stages_s["queue"] == 3.0 - client_s


def test_who_was_drawn_beside_others_at_any_time_was_disturbed(tmp_path: Path) -> None:
    """The second begins beside the first, which ends long before it; the third is alone."""
    line = WaitingLine()
    for request in level(tmp_path, at_s=[0.0] * 4).requests:
        line.come(Arrival(request=request, intended_s=0.0, started_utc=""))
    first, second = line.take(1), line.take(2)
    assert line.settle(first)
    assert line.settle(second)
    assert not line.settle(line.take(2))
    assert len(line) == 0


def test_an_answer_that_came_while_the_journal_was_written_counts(tmp_path: Path) -> None:
    """Whoever journals holds the driver up until the level is over, with the second picture long drawn."""
    group = level(tmp_path, at_s=[0.0, 0.0, 0.0], latency_s=0.01, spec=traffic(duration_s=2.5, drain_s=0.1))
    records: list[Record] = []
    for batch in start_batches(group, tmp_path):
        first = not samples(records)
        records += batch
        if first and samples(records):
            time.sleep(3.0)
    assert [sample.status for sample in samples(records).values()][:2] == ["ok", "ok"]
    assert len(samples(records)) == 3


def test_those_that_wait_are_drawn_together_and_nobody_is_waited_for(tmp_path: Path) -> None:
    """Of six that come at once four are drawn in a call; the other two do not wait for more."""
    group = level(tmp_path, at_s=[0.0] * 6, batch_size=4)
    found = samples(run(group, tmp_path))
    assert [served(found[request.id]).batch for request in group.requests] == [4, 4, 4, 4, 2, 2]
    together = [found[request.id] for request in group.requests[:4]]
    assert len({(served(one).service_s) for one in together}) == 1
    assert len({one.images[0].sha256 for one in found.values()}) == 6
    assert all(one.cost.usd is None for one in found.values())


def test_pictures_do_not_depend_on_who_was_drawn_beside(tmp_path: Path) -> None:
    one = level(tmp_path, at_s=[0.0] * 5, latency_s=0.05)
    four = replace(one, settings=(replace(one.settings[0], batch_size=4),))  # the fake draws from the setting's id
    alone, together = (samples(run(group, tmp_path / name)) for group, name in ((one, "alone"), (four, "together")))
    assert max(served(sample).batch for sample in together.values()) == 4
    assert {key: sample.images[0].sha256 for key, sample in alone.items()} == {
        key: sample.images[0].sha256 for key, sample in together.items()
    }


def test_replicas_share_one_line_and_say_who_drew_beside_whom(tmp_path: Path) -> None:
    spec = engine_spec(devices=("cpu", "cpu"))
    group = level(tmp_path, at_s=[0.0] * 6, latency_s=0.05, spec=traffic(replicas=2))
    records = run(group, tmp_path, spec=spec)
    found = samples(records)
    by_worker = Counter(sample.worker for sample in found.values())
    assert set(by_worker) == {"cpu #1", "cpu #2"}
    assert len(loads(records)) == 2
    # Contention is what is measured: it is said, and is a timing all the same.
    assert all(SHARED in found[request.id].flags for request in group.requests[:2])
    assert all(DISTURBED not in sample.flags for sample in found.values())
    assert sum(sample.timing_valid for sample in found.values()) == 4, "two first calls, as nothing warmed up"


def test_a_closed_loop_keeps_so_many_there_and_ends_by_the_clock(tmp_path: Path) -> None:
    spec = traffic(arrivals="closed", in_flight=(3,), duration_s=0.8, replicas=2)
    group = level(tmp_path, at_s=[None] * 200, in_flight=3, latency_s=0.1, spec=spec)
    found = samples(run(group, tmp_path, spec=engine_spec(devices=("cpu", "cpu"))))
    assert 3 <= len(found) <= 2 * 0.8 / 0.1 + 3
    assert all(sample.status == "ok" for sample in found.values())
    # Three come at first and two are drawn, so that the third waits for one of them.
    assert served(found[group.requests[2].id]).queue_s > 0.09


def test_what_is_unanswered_at_the_end_is_a_record_that_says_so(tmp_path: Path) -> None:
    group = level(
        tmp_path, at_s=every(0.05, 4), latency_s=300.0, batch_size=2, spec=traffic(duration_s=0.3, drain_s=0.5)
    )
    begun = time.monotonic()
    found = samples(run(group, tmp_path))
    assert time.monotonic() - begun < 60
    assert [found[request.id].status for request in group.requests] == ["failed"] * 4
    for sample in found.values():
        assert sample.error is not None
        assert (sample.error.type, sample.error.stage, sample.error.transient) == ("timeout", "level", False)
        assert "load.drain_s=0.5" in sample.error.message
        assert sample.failed_after_s is None


def test_memory_that_runs_out_fails_all_of_the_batch_and_the_worker_is_replaced(tmp_path: Path) -> None:
    faults = {"kind": "out_of_memory", "prompt_contains": "number 2 "}
    group = level(tmp_path, faults, at_s=[0.0] * 5, batch_size=3)
    records = run(group, tmp_path)
    found = samples(records)
    errors = [found[request.id].error for request in group.requests]
    assert [error.type if error else None for error in errors] == [*["out_of_memory"] * 3, None, None]
    assert errors[0] is not None
    assert errors[0].message.endswith("(in a batch of 3)")
    assert len(loads(records)) == 2
    assert all(found[request.id].failed_after_s for request in group.requests[:3])
    assert all(sample.attempt == 1 for sample in found.values()), "under load nothing is tried again"


def test_a_worker_that_dies_fails_its_batch_and_is_replaced_while_others_go_on(tmp_path: Path) -> None:
    faults = {"kind": "crash", "prompt_contains": "number 1 "}
    group = level(tmp_path, faults, at_s=every(0.05, 12), latency_s=0.05, spec=traffic(replicas=2), warmup=0)
    records = run(group, tmp_path, spec=engine_spec(devices=("cpu", "cpu")))
    found = samples(records)
    assert [key for key, sample in found.items() if sample.status == "failed"] == [group.requests[1].id]
    error = found[group.requests[1].id].error
    assert error is not None
    assert (error.type, error.transient) == ("crashed", False)
    assert len(loads(records)) in {2, 3}, "the level may end before the successor has loaded"
    assert failures(records) == []


def test_a_worker_that_always_dies_is_given_up_and_the_level_ends(tmp_path: Path) -> None:
    faults = {"kind": "crash"}
    group = level(tmp_path, faults, at_s=[*[0.0] * 4, 60.0], spec=traffic(duration_s=61.0))
    begun = time.monotonic()
    records = run(group, tmp_path)
    assert time.monotonic() - begun < 50
    found = samples(records)
    assert [found[request.id].status for request in group.requests[:4]] == ["failed"] * 4
    assert group.requests[4].id not in found, "it never came"
    errors = [found[request.id].error for request in group.requests[2:4]]
    assert [error and error.stage for error in errors] == ["queue"] * 2
    (loss,) = failures(records)
    assert loss.error.type == "crashed"


def test_a_level_whose_model_was_not_loaded_is_left_whole_and_one_that_has_begun_is_not(tmp_path: Path) -> None:
    group = level(tmp_path, {"kind": "load_error"}, at_s=every(0.1, 3))
    not_loaded = samples(run(group, tmp_path / "first"))
    state = RunState(samples=not_loaded, deaths={}, tries={})
    (left,) = pending_work(make_plan(group), state, retry_failed=False)
    assert left.pending == group.requests
    first = group.requests[0]
    begun = RunState(samples={first.id: make_sample(first)}, deaths={}, tries={first.id: 1})
    assert pending_work(make_plan(group), begun, retry_failed=True) == []


@pytest.mark.parametrize("kind", ["load_error", "load_crash"])
def test_without_a_worker_nothing_comes_and_a_resume_tries_all_again(tmp_path: Path, kind: str) -> None:
    group = level(tmp_path, {"kind": kind}, at_s=every(0.1, 3))
    records = run(group, tmp_path)
    found = samples(records)
    errors = [found[request.id].error for request in group.requests]
    assert [(error.type, error.stage, error.transient) for error in errors if error] == [
        ("load_failed", "load", True)
    ] * 3
    assert len(failures(records)) == (1 if kind == "load_error" else 2)


def test_a_warm_up_that_fails_says_at_which_size(tmp_path: Path) -> None:
    faults = {"kind": "out_of_memory", "prompt_contains": "number 1 "}
    group = level(tmp_path, faults, at_s=every(0.1, 3), batch_size=2, warmup=1)
    records = run(group, tmp_path)
    (failure,) = failures(records)
    assert (failure.error.type, failure.error.stage) == ("out_of_memory", "warmup")
    assert failure.error.message.endswith("(a batch of 2)")
    for sample in samples(records).values():
        assert sample.error is not None
        assert (sample.error.type, sample.error.stage, sample.error.transient) == ("out_of_memory", "warmup", False)


def test_a_damaged_file_fails_its_request_alone(tmp_path: Path) -> None:
    faults = {"kind": "bad_image", "prompt_contains": "number 2 "}
    group = level(tmp_path, faults, at_s=[0.0] * 4, batch_size=3)
    found = samples(run(group, tmp_path))
    assert [found[request.id].status for request in group.requests] == ["ok", "ok", "failed", "ok"]
    failed = found[group.requests[2].id]
    assert failed.error is not None
    assert failed.error.type == "bad_image"
    assert served(failed).batch == 3


def test_a_disk_that_refuses_ends_the_run_after_what_was_drawn(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0, 0.5])
    (tmp_path / "images").write_text("no folder")
    records: list[Record] = []
    with pytest.raises(StorageError):
        keep(start_batches(group, tmp_path), records)
    (sample,) = samples(records).values()
    assert sample.error is not None
    assert sample.error.type == "storage"
    assert worker_pids() == []


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0, 0.0, 30.0], latency_s=0.05, spec=traffic(duration_s=31.0))
    records: list[Record] = []
    with pytest.raises(KeyboardInterrupt):
        keep(start_batches(group, tmp_path), records, interrupt_at=2)
    assert sorted(samples(records)) == sorted(request.id for request in group.requests[:2])
    assert worker_pids() == []


def test_an_interrupt_while_loading_does_not_wait_for_it(tmp_path: Path) -> None:
    group = level(tmp_path, {"kind": "load_hang"}, at_s=[0.0])
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        keep(start_batches(group, tmp_path), [])
    assert time.monotonic() - begun < 30
    assert worker_pids() == []


def test_levels_planned_for_other_workers_are_refused(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0], spec=traffic(replicas=2))
    with pytest.raises(ConfigError, match="as many workers as these levels of load were planned for: 2"):
        keep(start_batches(group, tmp_path), [])


def test_dollars_are_those_of_the_device_while_it_drew_shared_among_the_batch(tmp_path: Path) -> None:
    group = level(tmp_path, at_s=[0.0] * 3, latency_s=0.1, batch_size=2, usd_per_hour=36.0)
    found = samples(run(group, tmp_path))
    for sample in found.values():
        assert sample.cost.basis == "device_hour"
        assert sample.cost.usd == pytest.approx(0.01 * served(sample).service_s / served(sample).batch)
    waited = [served(found[request.id]) for request in group.requests]
    assert [one.batch for one in waited] == [2, 2, 1]
    assert waited[2].queue_s > 0.09
