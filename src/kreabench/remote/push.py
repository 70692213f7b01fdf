"""Send a run to shared storage: what it lacks, many objects at a time, and last the manifest that makes it the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.commits import Commit, commit, forget_older, newest
from kreabench.remote.lock import LEASE_S, Lease, Now, hold_remote, now_utc
from kreabench.remote.push_plan import PushPlan, Unsendable, Upload, plan_push
from kreabench.remote.snapshot import Snapshot, take_snapshot
from kreabench.remote.stores import Store
from kreabench.rundir.batches import refuse_open_batches
from kreabench.rundir.directory import RUN_FILE

WORKERS = 16
"""Objects in flight; each is in memory, some MB."""

Progress = Callable[[int, int], None]
"""Told the bytes that are done and all there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What a push did."""

    number: int
    """Of the manifest that is the run now."""
    sent_objects: int
    """0 where nothing was new."""
    sent_bytes: int
    found_objects: int
    """New ones that an earlier push, which was cut off, had left there."""
    pictures: int
    """Of the run, at the URL now."""
    left_out: tuple[str, ...]
    """Pictures that are gone from the run, or were changed."""
    exclusive: bool = True
    """Whether the store keeps two pushes at once apart; see `lock.Lease.exclusive`."""


def push(
    path: Path,
    store: Store,
    *,
    allow_missing: bool = False,
    progress: Progress | None = None,
    now: Now = now_utc,
    lease_s: float = LEASE_S,
) -> Pushed:
    """Bring `store` to what the run at `path` is now. Where it was cut off, the next call goes on.

    Raises RunDirectoryError while jobs may still draw parts of it, where another process pushes to it, where it holds
    another run or more of this one, and, unless `allow_missing`, for pictures that are gone or were changed;
    StorageError where the store refuses.
    """
    refuse_open_batches(path)
    snapshot = take_snapshot(path)
    head = newest(store)
    if head is None:
        _refuse_run_directory(store)
    left_out = _absent(snapshot, head)
    plan = plan_push(snapshot, store, head, left_out, now().isoformat())
    if head is not None and not plan.changed:
        return _pushed(head.number, snapshot, left_out)
    _check_missing(left_out, path, allow_missing=allow_missing)
    with hold_remote(store, now=now, lease_s=lease_s) as lease:
        head = newest(store)
        number = head.number + 1 if head else 1
        sender = _Sender(store, progress)
        while True:
            plan = plan_push(snapshot, store, head, left_out, now().isoformat())
            bad = sender.send(plan)
            if not bad:
                break
            left_out |= bad
            _check_missing(left_out, path, allow_missing=allow_missing)
        _commit(store, lease, number, plan)
    return replace(_pushed(number, snapshot, left_out, sender), exclusive=lease.exclusive)


def _refuse_run_directory(store: Store) -> None:
    """Raises RunDirectoryError where the URL names the folder of a run, this one or another."""
    with suppress(FileNotFoundError):
        store.get(RUN_FILE, 0, 1)
        raise RunDirectoryError(
            f"{store.location} is a run directory, not a pushed run", remedy="Push to a URL of its own."
        )


def _commit(store: Store, lease: Lease, number: int, plan: PushPlan) -> None:
    lease.check()
    commit(store, number, plan.manifest)
    forget_older(store, number)


def _pushed(number: int, snapshot: Snapshot, left_out: Collection[str], sender: _Sender | None = None) -> Pushed:
    return Pushed(
        number=number,
        sent_objects=sender.sent_objects if sender else 0,
        sent_bytes=sender.sent_bytes if sender else 0,
        found_objects=sender.found_objects if sender else 0,
        pictures=len(snapshot.pictures) - len(left_out),
        left_out=tuple(sorted(left_out)),
    )


def _absent(snapshot: Snapshot, head: Commit | None) -> set[str]:
    """Pictures that are neither here nor at the URL."""
    there = {file.sha256 for file in head.manifest.files} if head else set()
    return {
        picture.path
        for picture in snapshot.pictures
        if picture.sha256 not in there and not _is_whole(snapshot.run.path / picture.path, picture.size_bytes)
    }


def _is_whole(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False


def _check_missing(left_out: Collection[str], path: Path, *, allow_missing: bool) -> None:
    if left_out and not allow_missing:
        first = sorted(left_out)[0]
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise RunDirectoryError(
            f"pictures of {path} are gone, or were changed since they were recorded: {first}{more}",
            remedy="Restore them from a copy of the run, or push without them: --allow-missing.",
        )


class _Sender:
    """Sends what is not there; counts over several plans."""

    def __init__(self, store: Store, progress: Progress | None) -> None:
        self._store, self._progress = store, progress
        self._there: dict[str, int] | None = None
        self.sent_objects = self.sent_bytes = self.found_objects = 0

    def send(self, plan: PushPlan) -> set[str]:
        """Paths of pictures that could not be read; all else of `plan` is then there."""
        if not plan.uploads:
            return set()
        is_first = self._there is None
        there = self._there = self._store.sizes() if self._there is None else self._there  # asked once for all objects
        missing = [upload for upload in plan.uploads if there.get(upload.name) != upload.size_bytes]
        if is_first:
            self.found_objects = len(plan.uploads) - len(missing)
        total = sum(upload.size_bytes for upload in plan.uploads)
        done = total - sum(upload.size_bytes for upload in missing)
        bad: set[str] = set()
        for upload, error in _each(missing, self._send):
            if error is not None:
                bad |= {picture.path for picture in error.pictures}
                continue
            there[upload.name] = upload.size_bytes
            self.sent_objects += 1
            self.sent_bytes += upload.size_bytes
            done += upload.size_bytes
            if self._progress is not None:
                self._progress(done, total)
        return bad

    def _send(self, upload: Upload) -> Unsendable | None:
        try:
            content = upload.read()
        except Unsendable as error:
            return error
        self._store.put(upload.name, content)
        return None


def _each(
    uploads: Sequence[Upload], send: Callable[[Upload], Unsendable | None]
) -> Iterator[tuple[Upload, Unsendable | None]]:
    """Each upload as it ends. The first error ends all; what is in flight then is waited for."""
    with _pool() as pool:
        waiting = list(reversed(uploads))
        flying: dict[Future[Unsendable | None], Upload] = {}
        while waiting or flying:
            while waiting and len(flying) < WORKERS:
                upload = waiting.pop()
                flying[pool.submit(send, upload)] = upload
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                yield flying.pop(future), future.result()


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="push") as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
