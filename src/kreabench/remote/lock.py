"""One writer a pushed run: a lease on a store that knows nothing but objects.

`lock/<number>.json` says who holds it and until when. To take it is to create the next number, which only one of
several can (`If-None-Match: *` on S3, a generation of 0 on Google's, a link in a folder); the highest number counts.
The holder writes its own anew before it expires. The last object stays when the lock is let go, so that numbers never
begin again. Whoever was asleep for longer than its lease has lost it, and finds out before it commits.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psutil

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.core.ids import stable_hash
from kreabench.remote.stores import Store
from kreabench.rundir import codec

FOLDER = "lock"
LEASE_S = 120.0
SKEW_S = 60.0
"""By so much clocks of two machines may differ: another's lease counts as over only so long after its end."""

_NAME = re.compile(rf"{FOLDER}/(\d{{8}})\.json")
_ATTEMPTS = 5

Now = Callable[[], datetime]


def now_utc() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Content of a lock's object."""

    token: str
    """Tells this holder from all others."""
    owner: str
    """Machine and process, for people."""
    machine: str
    """Hash of machine, its boot and its name space of processes: where it is ours, the process can be asked for."""
    pid: int
    started_s: float
    """When that process began, by its machine's clock: a number may be given anew."""
    since_utc: str
    until_utc: str
    released: bool = False


def this_process(now: datetime) -> Holder:
    """A holder that is this process, its lease not begun."""
    host, pid = socket.gethostname(), os.getpid()
    return Holder(
        token=secrets.token_hex(16),
        owner=f"process {pid} on {host}",
        machine=_machine(host),
        pid=pid,
        started_s=psutil.Process(pid).create_time(),
        since_utc=now.isoformat(),
        until_utc=now.isoformat(),
    )


class Lease:
    """A lock that is held; see `hold_remote`."""

    def __init__(self, store: Store, number: int, holder: Holder, now: Now, lease_s: float) -> None:
        self._store, self._number, self._now, self._lease_s = store, number, now, lease_s
        self.holder = holder
        self.exclusive = _is_exclusive(store, _name(number), holder)
        """Whether the store lets only one of several create an object; else two may hold one lock."""

    def renew(self) -> None:
        """Hold it for another lease from now on. Raises StorageError."""
        until = self._now() + timedelta(seconds=self._lease_s)
        holder = replace(self.holder, until_utc=until.isoformat())
        self._store.put(_name(self._number), codec.encode(holder))
        self.holder = holder

    def check(self) -> None:
        """Raises RunDirectoryError where it is not held any more."""
        over = self._now() > datetime.fromisoformat(self.holder.until_utc)
        if over or _numbers(self._store)[-1:] != [self._number]:
            raise RunDirectoryError(
                f"the lock of {self._store.location} was lost: this process was stopped, or cut off, for too long",
                remedy="Repeat the push: what was sent is kept.",
            )

    def release(self) -> None:
        """Let it go."""
        self._store.put(_name(self._number), codec.encode(replace(self.holder, released=True)))


@contextmanager
def hold_remote(store: Store, *, now: Now = now_utc, lease_s: float = LEASE_S) -> Iterator[Lease]:
    """The right to push to the run at `store`, renewed until the block ends.

    Raises RunDirectoryError while another has it, naming it, since when and until when; StorageError.
    """
    lease = acquire(store, this_process(now()), now, lease_s)
    ended = threading.Event()
    renewer = threading.Thread(target=_keep, args=(lease, ended, lease_s / 4), daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        ended.set()
        renewer.join()
        with suppress(StorageError):  # it ends by itself
            lease.release()


def _keep(lease: Lease, ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        with suppress(StorageError):  # `check` finds out where it stays so
            lease.renew()


def acquire(store: Store, holder: Holder, now: Now, lease_s: float) -> Lease:
    """Take the lock. Raises as `hold_remote`."""
    for _ in range(_ATTEMPTS):
        last = _last(store)
        if last is not None and not last[1].released:
            _check_over(store, last[1], now())
        number = last[0] + 1 if last is not None else 1
        begun = now()
        mine = replace(holder, since_utc=begun.isoformat(), until_utc=(begun + timedelta(seconds=lease_s)).isoformat())
        try:
            store.create(_name(number), codec.encode(mine))
        except FileExistsError:
            continue
        there = _numbers(store)
        if there[-1:] != [number]:  # the list that we began with was old
            store.delete([_name(number)])
            continue
        store.delete([_name(older) for older in there if older < number])
        return Lease(store, number, mine, now, lease_s)
    raise RunDirectoryError(f"others take the lock of {store.location} again and again", remedy="Repeat the push.")


def holder_of(store: Store, now: datetime) -> Holder | None:
    """Who holds the lock at `store`; None where nobody does."""
    last = _last(store)
    return None if last is None or last[1].released or _is_over(last[1], now) else last[1]


def _is_exclusive(store: Store, name: str, holder: Holder) -> bool:
    try:
        store.create(name, codec.encode(replace(holder, token="")))
    except FileExistsError:
        return True
    store.put(name, codec.encode(holder))
    return False


def _check_over(store: Store, holder: Holder, now: datetime) -> None:
    if _is_over(holder, now):
        return
    raise RunDirectoryError(
        f"{store.location} is being pushed to by {holder.owner}, since {holder.since_utc[:19]}Z",
        remedy=f"Wait until it is done. Where it died, the lock ends {SKEW_S:.0f} s after {holder.until_utc[:19]}Z.",
    )


def _is_over(holder: Holder, now: datetime) -> bool:
    if now > datetime.fromisoformat(holder.until_utc) + timedelta(seconds=SKEW_S):
        return True
    if holder.machine != _machine(socket.gethostname()):
        return False
    try:
        began_s: float = psutil.Process(holder.pid).create_time()
        return abs(began_s - holder.started_s) > 1.0
    except psutil.NoSuchProcess:
        return True


def _last(store: Store) -> tuple[int, Holder] | None:
    for _ in range(_ATTEMPTS):
        numbers = _numbers(store)
        if not numbers:
            return None
        name = _name(numbers[-1])
        try:
            return numbers[-1], _decode(store.get(name), f"{store.location}/{name}")
        except FileNotFoundError:  # a later one took it away
            continue
    raise RunDirectoryError(f"the lock of {store.location} changes hands all the time", remedy="Repeat the push.")


def _decode(content: bytes, where: str) -> Holder:
    try:
        holder = codec.decode(content, Holder)
        if datetime.fromisoformat(holder.until_utc).tzinfo is not None:
            return holder
        raise ValueError("a time without its zone")
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        remedy = "Nobody else pushes there? Then delete that object, and push again."
        raise RunDirectoryError(f"{where} is no lock of ours: {error}", remedy=remedy) from error


def _numbers(store: Store) -> list[int]:
    return sorted(int(match[1]) for name in store.sizes(FOLDER) if (match := _NAME.fullmatch(name)))


def _name(number: int) -> str:
    return f"{FOLDER}/{number:08d}.json"


def _machine(host: str) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return stable_hash([host, boot, str(Path("/proc/self/ns/pid").readlink())])
