"""The commit that a reader starts from, or why there is none."""

from __future__ import annotations

from datetime import datetime

from kreabench.core.errors import RunDirectoryError
from kreabench.remote.commits import Commit, newest
from kreabench.remote.lock import holder_of
from kreabench.remote.stores import Store
from kreabench.rundir.directory import RUN_FILE


def committed(store: Store, now: datetime) -> Commit:
    """The run at `store` as it was last pushed.

    Raises RunDirectoryError where there is none, telling apart: nothing at all, a push under way, one that was cut off.
    """
    found = newest(store)
    if found is not None:
        return found
    there = store.sizes()
    sent = [name for name in there if not name.startswith("lock/")]
    holder = holder_of(store, now) if len(sent) < len(there) else None
    if RUN_FILE in there:
        raise RunDirectoryError(
            f"{store.location} is a run directory, not a pushed run",
            remedy="Copy it here, or, where it is a folder of this machine, name it without file://.",
        )
    if holder is not None:
        raise RunDirectoryError(
            f"{store.location} is only being pushed, by {holder.owner} since {holder.since_utc[:19]}Z",
            remedy="Wait until that is done.",
        )
    if there:
        raise RunDirectoryError(
            f"{store.location} holds a run that was pushed in part: {len(sent)} objects, and no manifest",
            remedy=f"Where the run is, repeat `kreabench push RUN {store.location}`: it goes on where it stopped.",
        )
    raise RunDirectoryError(
        f"no run was pushed to {store.location}", remedy="Correct the URL, or push one: kreabench push RUN URL"
    )
