"""Several workers on one machine: who draws what, what ran beside what, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kreabench import pipeline
from kreabench.config.resolve import load
from kreabench.core.errors import BudgetReached, ConfigError, EnvironmentProblem, StorageError
from kreabench.core.planned import LoadGroup, Request
from kreabench.core.records import Failure, Record, SampleRecord
from kreabench.core.specs import Gpu
from kreabench.execution.engine import GroupWork
from kreabench.execution.lane import DISTURBED
from kreabench.execution.local import LocalEngine
from kreabench.execution.local_seats import LocalSeat, LocalSeats, device_problems
from kreabench.execution.messages import Done, Failed, Opened, Warmup
from kreabench.rundir import codec
from tests.engine_support import (
    InThisProcess,
    admit_all,
    engine_spec,
    failures,
    faulty_target,
    kinds,
    loads,
    of_kind,
    samples,
    worker_pids,
)
from tests.hosted_support import hosted_group, submissions
from tests.support import make_group, make_setting, make_target

H100 = Gpu(name="NVIDIA H100", capability=(9, 0), memory_bytes=80 * 2**30)
A100 = Gpu(name="NVIDIA A100", capability=(8, 0), memory_bytes=80 * 2**30)


def light_group(name: str, prompts: int, *, load_s: float = 0.0, latency_s: float = 0.02, **options: Any) -> LoadGroup:
    settings = [make_setting(target=name, width=64, height=64)]
    own = {"load_s": load_s, "latency_s": latency_s, "faults": [], "state_dir": None, **options}
    return make_group(settings, target=make_target(name=name, options=own), prompts=prompts)


def draw(
    groups: Sequence[LoadGroup],
    run_path: Path,
    *,
    devices: Sequence[str] = ("cpu", "cpu"),
    device: str | None = None,
    processors: int | None = None,
    tell: Callable[[tuple[Record, ...]], None] = lambda batch: None,
    **spec: Any,
) -> list[Record]:
    """All records; no worker is left when this returns, whatever happened."""
    engine = LocalEngine(engine_spec(devices=tuple(devices), **spec), processors=processors)
    work = [GroupWork(group=group, pending=group.requests, device=device) for group in groups]
    records: list[Record] = []
    try:
        with closing(engine.run(work, run_path, admit_all)) as batches:
            for batch in batches:
                tell(batch)
                records += batch
    finally:
        assert worker_pids() == []
    return records


def drawn_by(records: Sequence[Record]) -> Counter[str | None]:
    return Counter(sample.worker for sample in samples(records).values())


def test_each_worker_takes_a_group_of_its_own_and_leaves_a_short_one_to_whom_it_belongs(tmp_path: Path) -> None:
    groups = [light_group("one", 6), light_group("two", 12, load_s=0.5)]  # joining would take longer than all of it
    records = draw(groups, tmp_path)
    assert [load.target for load in loads(records)] == ["one", "two"]
    workers = {sample.group_id: sample.worker for sample in samples(records).values()}
    assert workers == {groups[0].id: "cpu #1", groups[1].id: "cpu #2"}
    for group in groups:  # each in the order of the plan
        drawn = [record.request_id for record in of_kind(records, SampleRecord) if record.group_id == group.id]
        assert drawn == [request.id for request in group.requests]


def test_a_long_group_is_shared_once_that_is_quicker_than_waiting(tmp_path: Path) -> None:
    group = light_group("one", 90, latency_s=0.04)
    records = draw([group], tmp_path)
    assert samples(records).keys() == {request.id for request in group.requests}
    assert [load.worker for load in loads(records)] == ["cpu #1", "cpu #2"]
    assert min(drawn_by(records).values()) >= 10
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        f"worker-{group.id}-cpu-{number}.log" for number in (1, 2)
    ]


def test_pictures_are_the_same_whoever_draws_them(tmp_path: Path) -> None:
    groups = [light_group("one", 20, latency_s=0.01), light_group("two", 3, latency_s=0.01)]
    together, alone = draw(groups, tmp_path / "two"), draw(groups, tmp_path / "one", devices=())
    hashes = [
        {id_: [image.sha256 for image in sample.images] for id_, sample in samples(records).items()}
        for records in (together, alone)
    ]
    assert hashes[0] == hashes[1]
    assert {sample.worker for sample in samples(alone).values()} == {None}


def test_what_is_drawn_beside_others_of_the_processor_is_no_timing_and_says_beside_what(tmp_path: Path) -> None:
    groups = [light_group("short", 4), light_group("long", 14, load_s=0.8)]
    found = list(samples(draw(groups, tmp_path)).values())
    assert any(sample.beside for sample in found)
    for sample in found:
        assert sample.timings is not None
        assert sample.timing_valid == (not sample.beside and not sample.timings.first_call)
        assert (DISTURBED in sample.flags) == bool(sample.beside)
    last = found[-1]  # by then the other worker has nothing left to do
    assert (last.beside, last.timing_valid) == ((), True)
    assert codec.decode_record(codec.encode(found[0])) == found[0]


def test_one_device_draws_beside_nothing(tmp_path: Path) -> None:
    found = list(samples(draw([light_group("one", 3)], tmp_path, devices=("cpu",))).values())
    assert [(sample.worker, sample.beside, sample.timing_valid) for sample in found] == [
        ("cpu", (), False),  # the first call
        ("cpu", (), True),
        ("cpu", (), True),
    ]


def test_a_poison_request_fails_after_two_crashes_and_the_other_worker_goes_on(tmp_path: Path) -> None:
    fault = {"kind": "crash", "prompt_contains": " 1 red"}
    poisoned = make_group(target=faulty_target(tmp_path, fault, name="poisoned"), prompts=3)
    records = draw([poisoned, light_group("other", 20, load_s=0.5)], tmp_path)
    by_status = Counter(sample.status for sample in samples(records).values())
    assert by_status == {"ok": 22, "failed": 1}
    assert [failure.attempt for failure in failures(records)] == [1]
    assert samples(records)[poisoned.requests[1].id].attempt == 2
    assert len(loads(records)) == 4


def test_a_model_that_cannot_be_loaded_fails_its_group_once(tmp_path: Path) -> None:
    broken = make_group(target=faulty_target(tmp_path, {"kind": "load_error"}, name="broken"), prompts=20)
    records = draw([broken, light_group("other", 10)], tmp_path)
    assert len(failures(records)) == 1
    assert Counter(sample.status for sample in samples(records).values()) == {"failed": 20, "ok": 10}


@pytest.mark.parametrize("stage", ["load", "warmup"])
@pytest.mark.parametrize("type_", ["out_of_memory", "load_failed"])
def test_a_seat_that_cannot_hold_a_model_leaves_the_group_to_the_one_that_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, type_: Any
) -> None:
    class Short(InThisProcess):
        def poll(self) -> Any:
            answer = super().poll()
            if not (isinstance(answer, Opened) if stage == "load" else isinstance(answer, Done)):
                return answer
            error = Failure(type=type_, stage=stage, message="no room here", remedy="", transient=False)
            return Failed(error=error, started_utc="2026-01-01T00:00:00.000Z", elapsed_s=0.1, fatal=True, delivery=None)

    def launch(seat: LocalSeat, log_path: Path, label: str) -> Any:
        return Short() if seat.name == "cpu #2" else InThisProcess()

    monkeypatch.setattr(LocalSeat, "launch", launch)
    group = replace(light_group("one", 40), warmup=1)
    records = draw([group], tmp_path)
    assert Counter((sample.status, sample.worker) for sample in samples(records).values()) == {("ok", "cpu #1"): 40}
    assert [failure.error.stage for failure in failures(records)] == [stage]


@pytest.mark.parametrize(
    ("type_", "lost", "deaths", "status"),
    [
        ("device_lost", ["cpu #1"], 2, "ok"),  # the place is to blame
        ("device_lost", ["cpu #1", "cpu #2"], 4, "failed"),  # of two that say the same the setting is
        ("internal", ["cpu #1"], 1, "failed"),  # a worker that only refuses is believed
    ],
)
def test_a_setting_that_nobody_has_warmed_up_fails_once_two_places_have_lost_workers_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: Any, lost: list[str], deaths: int, status: str
) -> None:
    class Lost(InThisProcess):
        def begin(self, order: Any, limit_s: float) -> None:
            super().begin(order, limit_s)
            if isinstance(order, Warmup):
                error = Failure(type=type_, stage="warmup", message="gone", remedy="", transient=True)
                utc = "2026-01-01T00:00:00.000Z"
                self._answer = Failed(error=error, started_utc=utc, elapsed_s=0.1, fatal=True, delivery=None)

    def launch(seat: LocalSeat, log_path: Path, label: str) -> Any:
        return Lost() if seat.name in lost else InThisProcess()

    monkeypatch.setattr(LocalSeat, "launch", launch)
    records = draw([replace(light_group("one", 6), warmup=1)], tmp_path)
    assert [failure.error.stage for failure in failures(records)] == ["warmup"] * deaths
    assert {sample.status for sample in samples(records).values()} == {status}
    assert len(samples(records)) == 6


def test_what_came_before_an_error_is_handed_over_first(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    got: list[Record] = []
    with pytest.raises(StorageError, match="images"):
        draw([light_group("one", 3), light_group("two", 3)], tmp_path, tell=got.extend)
    assert "sample" in kinds(got)
    assert all(sample.status == "failed" for sample in samples(got).values())


def test_stopping_early_leaves_no_process(tmp_path: Path) -> None:
    engine = LocalEngine(engine_spec(devices=("cpu", "cpu", "cpu")))
    groups = [light_group(name, 20) for name in ("one", "two", "three")]
    batches = engine.run([GroupWork(group=group, pending=group.requests) for group in groups], tmp_path, admit_all)
    for batch in batches:
        if len(worker_pids()) == 3 and any(isinstance(record, SampleRecord) for record in batch):
            break
    batches.close()
    assert worker_pids() == []


def test_gpus_that_are_absent_are_refused_before_a_run_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kreabench.execution.local_seats.look", lambda: SimpleNamespace(gpus=()))
    experiment = load(["experiment=trial", "target=[fake_local]", "engine.devices=[0]"]).experiment
    with pytest.raises(ConfigError, match="GPUs of this machine"):
        pipeline.start(tmp_path / "run", experiment, "", {})
    assert not (tmp_path / "run").exists()


def test_another_kind_of_device_than_the_one_that_drew_before_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no median is of two kinds of device") as caught:
        draw([light_group("one", 3)], tmp_path, device="cuda (NVIDIA H100)")
    assert "cuda (NVIDIA H100)" in str(caught.value)
    assert len(samples(draw([light_group("one", 3)], tmp_path, device="cpu"))) == 3


def test_each_gpu_is_all_that_its_worker_sees(tmp_path: Path) -> None:
    seen: list[str] = []

    def launch(*, log_path: Path, environ: dict[str, str], label: str) -> None:
        seen.append(environ["CUDA_VISIBLE_DEVICES"])

    for shown in ({}, {"CUDA_VISIBLE_DEVICES": "GPU-aa, 3"}):
        with closing(LocalSeats(["cuda:0", "cuda:1"], shown, launch)) as seats:
            assert [(seat.name, seat.on_processor) for seat in seats.taken()] == [("cuda:0", False), ("cuda:1", False)]
            for seat in seats.taken():
                seat.launch(tmp_path / "log", "label")
    assert seen == ["0", "1", "GPU-aa", "3"]


@pytest.mark.parametrize(
    ("devices", "gpus", "device", "expected"),
    [
        (["cuda:0", "cpu"], [H100], "auto", "no median is of two kinds of device"),
        (["cuda:0", "cuda:0"], [H100], "auto", "each GPU once"),
        (["cuda:0", "cuda:1"], [H100], "auto", "GPUs of this machine: 0"),
        (["cuda:0"], [], "auto", "none that CUDA shows"),
        (["cuda:0", "cuda:1"], [H100, A100], "auto", "NVIDIA A100 and NVIDIA H100"),
        (["cuda:0"], [H100], "cuda:0", "found 'cuda:0'; expected auto or cuda"),
        (["cuda:0"], [H100], "cpu", "found 'cpu'; expected auto or cuda"),
        (["cpu", "cpu"], [], "cuda", "found 'cuda'; expected auto or cpu"),
    ],
)
def test_devices_that_do_not_fit_are_refused(devices: list[str], gpus: list[Gpu], device: str, expected: str) -> None:
    target = make_target(backend="diffusers", options={"device": device})
    problems = device_problems(devices, [target], gpus)
    assert len(problems) == 1
    assert expected in str(problems[0])


def test_devices_that_fit(tmp_path: Path) -> None:
    target = make_target(backend="diffusers", options={"device": "auto"})
    assert device_problems(["cuda:1", "cuda:0"], [target, make_target()], [H100, H100]) == []
    assert device_problems(["cpu", "cpu"], [target], []) == []
    with pytest.raises(ConfigError, match=r"engine\.devices"):
        draw([light_group("one", 1)], tmp_path, devices=("cuda:63",))


def test_a_hosted_target_is_asked_while_this_machine_draws_and_both_say_so(tmp_path: Path) -> None:
    # Three seconds each, so that they meet however much later one of the workers is ready.
    hosted = hosted_group(tmp_path, prompts=24, concurrency=2, inference_s=0.25)
    local = light_group("here", 60, latency_s=0.05)
    journalled: set[str] = set()

    def tell(batch: tuple[Record, ...]) -> None:
        journalled.update(record.request_id for record in submissions(batch))
        assert {sample.request_id for sample in samples(batch).values() if sample.hosted} <= journalled

    records = draw([local, hosted], tmp_path, devices=(), processors=8, tell=tell)
    found = samples(records)
    assert found.keys() == {request.id for group in (local, hosted) for request in group.requests}
    asked, drawn = ([sample for sample in found.values() if (sample.hosted is None) == here] for here in (False, True))
    order = [sample.hosted is None for sample in found.values()]
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)
    assert any("here" in sample.beside for sample in asked)
    assert any(sample.beside == (hosted.target.name,) for sample in drawn)
    assert all(sample.timing_valid for sample in drawn[1:])  # neither touches the other


@pytest.mark.parametrize(
    "how", [{"processors": 2}, {"side_by_side": False, "processors": 64}, {"devices": ("cpu",), "processors": 64}]
)
def test_hosted_targets_wait_where_they_would_be_felt(tmp_path: Path, how: dict[str, Any]) -> None:
    hosted = hosted_group(tmp_path, prompts=2)
    found = list(samples(draw([light_group("here", 3), hosted], tmp_path, **{"devices": (), **how})).values())
    assert [sample.hosted is None for sample in found] == [True] * 3 + [False] * 2
    assert {sample.beside for sample in found} == {()}


def test_a_service_that_ends_while_others_draw_leaves_them_alone(tmp_path: Path) -> None:
    """The hosted worker dies twice; the pool draws all of its own."""
    hosted = hosted_group(tmp_path, {"kind": "crash", "times": 2}, prompts=2, concurrency=1)
    local = light_group("here", 10)
    found = samples(draw([local, hosted], tmp_path, devices=(), processors=8))
    assert all(found[request.id].status == "ok" for request in local.requests)
    assert len(found) == 12


def test_a_spent_budget_stops_no_free_drawing(tmp_path: Path) -> None:
    def admit(group: LoadGroup, request: Request | None) -> None:
        if group.target.hosted:
            raise BudgetReached("spent")

    hosted, local = hosted_group(tmp_path, prompts=2), light_group("here", 10)
    engine = LocalEngine(engine_spec(), processors=8)
    work = [GroupWork(group=group, pending=group.requests) for group in (hosted, local)]
    records: list[Record] = []
    with closing(engine.run(work, tmp_path, admit)) as batches, pytest.raises(BudgetReached):
        records.extend(record for batch in batches for record in batch)
    assert samples(records).keys() == {request.id for request in local.requests}
