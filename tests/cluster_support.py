"""As much of Ray as the cluster's seats need, in this process: actors are real, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from kreabench.execution.cluster import actor


class Call:
    """A method of an actor, or what it will say."""

    def __init__(self, call: Callable[..., Future[Any]]) -> None:
        self._call = call

    def remote(self, *arguments: Any) -> Any:
        coming = self._call(*arguments)
        return SimpleNamespace(future=lambda: coming)


class ThreadActor:
    """An object whose calls are made one after the other, by one thread."""

    def __init__(self, cls: type, options: dict[str, Any], arguments: tuple[Any, ...]) -> None:
        self.options = options
        self.thread = ThreadPoolExecutor(1)
        self.has_left = Event()
        """Set where its process would end by itself, which is that of the tests here."""
        with patch.object(actor, "leave", self.has_left.set):
            self.object = self.thread.submit(cls, *arguments).result()
        self.is_killed = False

    def __getattr__(self, name: str) -> Call:
        def call(*arguments: Any) -> Future[Any]:
            if self.is_killed:
                gone: Future[Any] = Future()
                gone.set_exception(RuntimeError("the actor is dead"))
                return gone
            return self.thread.submit(getattr(self.object, name), *arguments)

        return Call(call)

    def kill(self) -> None:
        """As when its process is killed: the worker process goes with it."""
        if not self.is_killed:
            self.is_killed = True
            worker = self.object._worker
            if worker is not None:
                worker._process.kill()
            self.thread.submit(self.object._stop).result(30)
            self.thread.shutdown()


class ThreadRay:
    """A cluster of one node with so many processors."""

    def __init__(self, processors: int) -> None:
        self._processors = processors
        self.actors: list[ThreadActor] = []
        self.is_deaf = False
        """As when a driver is killed: whatever it would still say to the cluster is not said."""
        self.util = SimpleNamespace(
            get_node_ip_address=lambda: "127.0.0.1", list_named_actors=lambda all_namespaces: self._named()
        )

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_accelerator_ids=lambda: {"GPU": []})

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(self._processors)}}]

    def remote(self, cls: type) -> Any:
        def make(options: dict[str, Any]) -> Any:
            return SimpleNamespace(remote=lambda *arguments: self._make(cls, options, arguments))

        return SimpleNamespace(options=lambda **options: make(options))

    def get_actor(self, name: str, namespace: str) -> ThreadActor:
        (found,) = (
            one for one in self.living() if (one.options.get("name"), one.options.get("namespace")) == (name, namespace)
        )
        return found

    def kill(self, actor: ThreadActor, no_restart: bool) -> None:
        assert no_restart
        if not self.is_deaf:
            actor.kill()

    def living(self) -> list[ThreadActor]:
        return [actor for actor in self.actors if not actor.is_killed]

    def _named(self) -> list[dict[str, str]]:
        named = [actor.options for actor in self.living() if actor.options.get("lifetime") == "detached"]
        return [{"name": one["name"], "namespace": one["namespace"]} for one in named]

    def _make(self, cls: type, options: dict[str, Any], arguments: tuple[Any, ...]) -> ThreadActor:
        self.actors.append(ThreadActor(cls, options, arguments))
        return self.actors[-1]
