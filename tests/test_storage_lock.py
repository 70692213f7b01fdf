"""The lock of a pushed run: one holder, who is named; over when its lease is, or its process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.lock import SKEW_S, Lease, acquire, hold_remote, holder_of, this_process
from kreabench.remote.push import push
from kreabench.remote.stores import Store
from tests.storage_support import Watched, drawn_run, folder_store

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return folder_store(tmp_path / "store")


def take(store: Store, clock: Clock, *, machine: str = "another machine", owner: str = "process 7 on far") -> Lease:
    holder = replace(this_process(clock()), machine=machine, owner=owner, token=owner)
    return acquire(store, holder, clock, 100.0)


def test_the_second_is_told_who_holds_it_and_until_when(store: Store) -> None:
    clock = Clock()
    take(store, clock)
    clock.pass_s(50)
    with pytest.raises(
        RunDirectoryError, match=r"by process 7 on far, since 2026-01-02T03:04:05Z\n.*60 s after 2026-01-02T03:05:45Z"
    ):
        take(store, clock, owner="process 8 on near")


def test_one_that_is_not_renewed_is_over_after_its_lease_and_no_sooner(store: Store) -> None:
    clock = Clock()
    first = take(store, clock)
    clock.pass_s(90)
    first.renew()
    clock.pass_s(100 + SKEW_S - 1)
    with pytest.raises(RunDirectoryError):
        take(store, clock, owner="process 8 on near")
    clock.pass_s(2)
    second = take(store, clock, owner="process 8 on near")
    with pytest.raises(RunDirectoryError, match="was lost"):
        first.check()
    first.renew()  # it wakes up, and does no harm
    first.release()
    second.check()
    found = holder_of(store, clock())
    assert found is not None
    assert found.owner == "process 8 on near"


def test_a_lease_that_ended_is_lost_though_nobody_took_it(store: Store) -> None:
    clock = Clock()
    lease = take(store, clock)
    clock.pass_s(101)
    with pytest.raises(RunDirectoryError, match="was lost"):
        lease.check()


def test_after_a_release_the_next_one_has_it_and_numbers_go_on(store: Store) -> None:
    clock = Clock()
    for _ in range(3):
        take(store, clock).release()
    assert list(store.sizes("lock")) == ["lock/00000003.json"]
    assert holder_of(store, clock()) is None


def test_a_holder_of_this_machine_that_died_is_over_at_once(store: Store) -> None:
    code = "import sys; from tests.test_storage_lock import Clock, acquire, folder_store, this_process;\n"
    code += "c = Clock(); acquire(folder_store(sys.argv[1]), this_process(c()), c, 100.0)"
    root = Path(__file__).resolve().parents[1]
    environ = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    subprocess.run([sys.executable, "-c", code, store.location.path], env=environ, timeout=60, check=True)
    clock = Clock()
    held = store.get("lock/00000001.json")
    assert b'"released":false' in held
    take(store, clock)


def test_a_living_process_of_this_machine_keeps_it(store: Store) -> None:
    clock = Clock()
    acquire(store, this_process(clock()), clock, 100.0)
    with pytest.raises(RunDirectoryError, match=f"process {os.getpid()} on"):
        take(store, clock)


def test_of_many_who_try_at_once_one_gets_it(store: Store) -> None:
    clock = Clock()
    take(store, clock).release()
    got, refused = [], []
    barrier = threading.Barrier(8)

    def attempt(number: int) -> None:
        barrier.wait()
        try:
            got.append(take(store, clock, owner=f"process {number}"))
        except RunDirectoryError as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(refused) == 7
    got[0].check()


def test_who_read_an_old_list_does_not_get_it(store: Store) -> None:
    """Between its look and its try two others have come and one is there: its number is free, and not the highest."""
    clock = Clock()
    take(store, clock).release()
    done: list[Lease] = []

    def others_come(call: str, name: str) -> None:
        if call == "create" and not done:
            done.append(take(store, clock, owner="second"))
            done[0].release()
            done.append(take(store, clock, owner="third"))

    with pytest.raises(RunDirectoryError, match="by third"):
        take(Watched(store, others_come), clock, owner="late")
    done[1].check()


def test_a_store_that_ignores_conditions_is_found_out(store: Store, tmp_path: Path) -> None:
    class Careless(Watched):
        def create(self, name: str, content: bytes) -> None:
            self.put(name, content)

    assert not push(drawn_run(tmp_path / "run").path, Careless(store)).exclusive
    with hold_remote(store) as lease:
        lease.check()


def test_a_damaged_lock_says_what_to_do(store: Store) -> None:
    store.put("lock/00000001.json", b"{")
    with pytest.raises(RunDirectoryError, match=r"lock/00000001\.json is no lock of ours.*\n.*delete that object"):
        take(store, Clock())


def test_it_is_renewed_while_it_is_held_and_let_go_after_an_error(store: Store) -> None:
    def work() -> None:
        with hold_remote(store, lease_s=0.4) as lease:
            begun, pause = lease.holder.until_utc, threading.Event()
            for _ in range(500):
                if lease.holder.until_utc != begun:
                    raise ZeroDivisionError
                pause.wait(0.02)

    with pytest.raises(ZeroDivisionError):
        work()
    assert holder_of(store, datetime.now(UTC)) is None


def test_a_push_whose_lock_was_lost_commits_nothing(store: Store, tmp_path: Path) -> None:
    run = drawn_run(tmp_path / "run")
    clock = Clock()

    def sleep(call: str, name: str) -> None:
        if name.startswith("parts/"):
            clock.pass_s(10_000)

    with pytest.raises(RunDirectoryError, match="was lost"):
        push(run.path, Watched(store, sleep), now=clock)
    assert store.sizes("manifests") == {}
