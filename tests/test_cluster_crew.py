"""Actors that outlive their driver: taken over with their models, or ended by themselves."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kreabench.core.engine_spec import RaySpec
from kreabench.core.planned import LoadGroup
from kreabench.core.records import SampleRecord
from kreabench.execution.clock import utc_now
from kreabench.execution.cluster import actor, seats
from kreabench.execution.cluster.seats import ClusterSeats
from kreabench.execution.pending import pending_work
from kreabench.execution.pool import Pool
from kreabench.rundir.directory import RunDirectory
from tests.cluster_support import ThreadRay
from tests.engine_support import admit_all, engine_spec, faulty_target, loads, samples, wait_until
from tests.support import make_group, make_plan, make_run
from tests.test_local_devices import light_group

SPEC = RaySpec(
    address="auto", workers=None, gpus_per_worker=0, cpus_per_worker=1, accelerator_type=None, start_timeout_s=60.0
)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadRay]:
    ray = ThreadRay(2)
    monkeypatch.setitem(sys.modules, "ray", ray)
    yield ray
    for one in ray.actors:
        one.kill()


def drive(
    ray: ThreadRay, run: RunDirectory, groups: Sequence[LoadGroup], until: int | None = None, **spec: Any
) -> None:
    """Go on with the run; killed once so many samples are journalled, with requests in hand."""
    plan = make_plan(*groups)
    asked = replace(SPEC, **spec)
    work = pending_work(plan, run.state(), retry_failed=False)
    ray.is_deaf = until is not None
    with run.writer() as writer, closing(ClusterSeats(ray, asked, run.path, work)) as places:
        with closing(Pool(work, places, engine_spec(kind="ray", ray=asked), run.path, admit_all, utc_now)) as pool:
            for batch in pool.batches():
                writer.append(*batch)
                if until is not None and len(run.samples()) >= until:
                    break
        if until is not None:
            places._voice.close()
            places._taken, places._waiting = [], []
    ray.is_deaf = False


def journalled(run: RunDirectory) -> Counter[str]:
    return Counter(record.request_id for record in run.records() if isinstance(record, SampleRecord))


def test_the_next_driver_goes_on_with_the_models_that_are_loaded(ray: ThreadRay, tmp_path: Path) -> None:
    groups = [light_group("one", 12, load_s=2.0), light_group("two", 12, load_s=2.0)]
    run = make_run(tmp_path / "run")
    drive(ray, run, groups, until=5)
    assert len(ray.living()) == 2
    drive(ray, run, groups, until=12)
    drive(ray, run, groups)
    assert journalled(run) == Counter(request.id for group in groups for request in group.requests)
    found = loads(list(run.records()))
    assert len(found) == 2  # a group each, whatever was killed
    assert len(ray.actors) == 2
    assert ray.living() == []
    by_group = {one.group_id: one.worker for one in found}
    assert {(one.group_id, one.worker) for one in run.samples().values()} == set(by_group.items())


def test_a_driver_that_ends_in_good_order_leaves_no_actor(ray: ThreadRay, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    drive(ray, run, [light_group("one", 2)])
    assert ray.living() == []


@pytest.mark.parametrize("spec", [{"address": None}, {"keep_s": 0.0}])
def test_actors_that_are_not_to_outlive_their_driver_are_ordinary_ones(
    ray: ThreadRay, tmp_path: Path, spec: dict[str, Any]
) -> None:
    drive(ray, make_run(tmp_path / "run"), [light_group("one", 2)], **spec)
    assert not any({"name", "namespace", "lifetime"} & one.options.keys() for one in ray.actors)


@pytest.mark.parametrize("change", ["room", "pictures", "time", "no time"])
def test_actors_of_another_kind_and_those_of_other_runs_are_not_taken_over(
    ray: ThreadRay, tmp_path: Path, change: str
) -> None:
    groups = [light_group("one", 12)]
    first, second = make_run(tmp_path / "first"), make_run(tmp_path / "second")
    drive(ray, first, groups, until=3, workers=1)
    drive(ray, second, groups)
    assert len(ray.living()) == 1  # that of the first one still waits
    changes: dict[str, dict[str, Any]] = {
        "room": {"cpus_per_worker": 2},
        "pictures": {"pictures_url": f"file://{tmp_path}/shared"},
        "time": {"keep_s": 600.0},
        "no time": {"keep_s": 0.0},
    }
    drive(ray, first, groups, workers=1, **changes[change])
    assert ray.living() == []
    assert {one.status for one in first.samples().values()} == {"ok"}
    assert len(loads(list(first.records()))) == 2


def test_an_order_of_a_dead_driver_that_takes_too_long_is_cut_short(
    ray: ThreadRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "TAKE_OVER_S", 5.0)
    target = faulty_target(tmp_path, {"kind": "hang", "prompt_contains": " 0 red", "times": 1})
    groups = [make_group(target=target, prompts=3), light_group("two", 6)]
    run = make_run(tmp_path / "run")
    drive(ray, run, groups, until=2)
    assert len(ray.living()) == 2
    began = time.monotonic()
    drive(ray, run, groups)
    assert time.monotonic() - began < 50  # of the 60 that it might have taken
    assert journalled(run) == Counter(request.id for group in groups for request in group.requests)
    assert {sample.status for sample in run.samples().values()} == {"ok"}
    found = Counter(one.target for one in loads(list(run.records())))
    assert (found[target.name], found["two"]) == (2, 1)


def test_a_worker_that_died_meanwhile_is_started_anew(ray: ThreadRay, tmp_path: Path) -> None:
    group = light_group("one", 8)
    run = make_run(tmp_path / "run")
    drive(ray, run, [group], until=3, workers=1)
    (left,) = ray.living()
    left.thread.submit(lambda: None).result()  # it has carried out what it had in hand
    left.object._worker._process.kill()
    left.object._worker._process.wait()
    drive(ray, run, [group], workers=1)
    assert len(ray.actors) == 1
    assert len(loads(list(run.records()))) == 2
    assert len(run.samples()) == 8


def test_without_a_driver_an_actor_ends_and_with_one_it_does_not(ray: ThreadRay, tmp_path: Path) -> None:
    group = light_group("one", 6, latency_s=0.4)
    run = make_run(tmp_path / "run")
    drive(ray, run, [group], until=3, workers=1, keep_s=3.0)
    (one,) = ray.actors
    assert not one.has_left.is_set()
    wait_until(one.has_left.is_set, "an actor without a driver ends")


def test_a_driver_with_nothing_to_ask_still_speaks_to_its_actors(
    ray: ThreadRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: Counter[int] = Counter()
    monkeypatch.setattr(actor.SeatActor, "hear", lambda self: heard.update([id(self)]))
    group = light_group("one", 2)
    run = make_run(tmp_path / "run")
    work = pending_work(make_plan(group), run.state(), retry_failed=False)
    with closing(ClusterSeats(ray, replace(SPEC, keep_s=3.0), run.path, work)) as places:
        wait_until(lambda: len(places.taken()) == 2, "two seats")
        heard.clear()
        wait_until(lambda: len(heard) == 2 and min(heard.values()) >= 2, "each hears of it twice")


def test_an_order_of_a_driver_that_was_followed_by_another_is_not_carried_out(ray: ThreadRay, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    group = light_group("one", 3)
    work = pending_work(make_plan(group), run.state(), retry_failed=False)
    with closing(ClusterSeats(ray, SPEC, run.path, work)) as places:
        wait_until(lambda: len(places.taken()) == 2, "two seats")
        one = ray.actors[0].object
        said = one.ask("of-the-dead", b"", 1.0, "", "", True)
        assert said == {"refused": ("another driver has taken over", "")}
        assert one._worker is None


def test_numbers_of_seats_stay_with_actors_and_those_of_machines_with_the_run(ray: ThreadRay, tmp_path: Path) -> None:
    groups = [light_group(name, 20, load_s=2.0, latency_s=0.05) for name in ("one", "two")]
    run = make_run(tmp_path / "run")
    drive(ray, run, groups, until=6)
    first, second = ray.living()
    names = {one.object._number for one in (first, second)}
    assert names == {1, 2}
    ray.actors.reverse()  # found in another order
    drive(ray, run, groups)
    assert {one.worker for one in run.samples().values()} == {"node 1 cpu #1", "node 1 cpu #2"}
    by_group = {(one.group_id, one.worker) for one in run.samples().values()}
    assert len(by_group) == 2
    assert len(samples(list(run.records()))) == 40
