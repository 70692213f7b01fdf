"""The actors of one run: made, found again by the next driver of the run where one was killed, kept awake, dismissed.

On a cluster that outlives its driver an actor does too, so that a model that is loaded stays loaded until the run is
gone on with. It ends by itself once no driver has spoken to it for a while.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from kreabench.core.engine_spec import RaySpec
from kreabench.core.ids import stable_hash
from kreabench.execution.cluster.actor import SeatActor

SPOKEN_PER_KEEP = 6
"""How often a driver speaks to an actor in the time after which that would end."""


class Crew:
    """Of the run that is called `key` on the cluster."""

    def __init__(self, ray: Any, spec: RaySpec, key: str) -> None:
        self._ray = ray
        self._is_ours = spec.address is None
        """Whether the driver started the cluster, which then ends with it."""
        self.keep_s = 0.0 if self._is_ours else spec.keep_s
        self._namespace = f"kreabench-{key}"
        options: dict[str, Any] = {"num_cpus": spec.cpus_per_worker, "num_gpus": spec.gpus_per_worker}
        if spec.accelerator_type is not None:
            options["accelerator_type"] = spec.accelerator_type
        # Who holds other room, hands its pictures over another way, or waits for another time, is of no use to the next
        # driver: it would end between two words of one that speaks less often.
        self._kind = f"seat-{stable_hash([options, spec.pictures_url, self.keep_s])}-"
        self._options = {**options, "scheduling_strategy": "SPREAD", "max_restarts": 0, "max_task_retries": 0}

    def hire(self) -> Any:
        """A new actor, placed once there is room."""
        options = dict(self._options)
        if self.keep_s:
            name = f"{self._kind}{secrets.token_hex(8)}"
            options |= {"name": name, "namespace": self._namespace, "lifetime": "detached"}
        return self._ray.remote(SeatActor).options(**options).remote(self.keep_s)

    def left_behind(self) -> list[Any]:
        """Actors of an earlier driver of the run, which is dead, as the run is ours; those of no use are ended."""
        if self._is_ours:
            return []
        found = []
        with suppress(Exception):  # one that ends meanwhile; without any, models are loaded anew
            for one in self._ray.util.list_named_actors(all_namespaces=True):
                if one["namespace"] == self._namespace:
                    with suppress(ValueError):
                        actor = self._ray.get_actor(one["name"], namespace=self._namespace)
                        found.append((one["name"], actor))
        for name, actor in found:
            if not name.startswith(self._kind):
                self.dismiss(actor)
        return [actor for name, actor in found if name.startswith(self._kind)]

    def dismiss(self, actor: Any) -> None:
        """End it, and with it its worker, at once."""
        with suppress(Exception):  # the cluster may be gone, and with it the actor
            self._ray.kill(actor, no_restart=True)


class Listener(Protocol):
    """A seat."""

    actor: Any


class Voice:
    """Speaks to all actors from a thread of its own, whatever the driver is waiting for."""

    def __init__(self, seats: Callable[[], Iterable[Listener]], keep_s: float) -> None:
        """Speaks to none where `keep_s` is 0."""
        self._seats, self._every_s = seats, keep_s / SPOKEN_PER_KEEP
        self._unheard: dict[int, Future[Any]] = {}
        """By actor; one that is busy hears when it is done, and needs to be told only once."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, name="voice", daemon=True)
        if keep_s:
            self._thread.start()

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _speak(self) -> None:
        while not self._over.wait(self._every_s):
            actors = [seat.actor for seat in self._seats()]
            self._unheard = {key: said for key, said in self._unheard.items() if not said.done()}
            for actor in actors:
                if id(actor) not in self._unheard:
                    with suppress(Exception):  # it is gone; the pool finds out by itself
                        self._unheard[id(actor)] = actor.hear.remote().future()
