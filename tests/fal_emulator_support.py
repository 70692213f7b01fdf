"""The loopback fal inside the test's own process, over plain http, so that a test can say which fault strikes next."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fal_client.client
import httpx
import pytest
import uvicorn

from kreabench.backends.options import FalEmulatorOptions
from kreabench.emulator.app import build_app
from kreabench.emulator.certificates import write_certificates
from kreabench.emulator.endpoints import read_endpoints
from kreabench.emulator.faults import FaultPlan
from kreabench.emulator.painters import make_painter
from kreabench.emulator.serve import Server, bound_socket, ready_line
from kreabench.emulator.service import Place, Service, make_service
from kreabench.emulator.studio import Studio
from kreabench.emulator.truth import TruthLog
from kreabench.execution.services import _environment

ENDPOINT = "fal-ai/flux/krea"
SMALL = {"width": 64, "height": 48}
HEADERS = {"Authorization": "Key test"}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A service that answers."""

    service: Service
    url: str
    """Of the queue host."""
    run_url: str
    environment: dict[str, str]
    """By which the real client finds it; empty over plain http."""

    def strike(self, fault: str | None) -> None:
        """From now on every submission has this fault."""
        self.service.faults = FaultPlan(probabilities={} if fault is None else {fault: 1.0}, seed=0)

    def account(self) -> dict[str, Any]:
        """The totals."""
        found: dict[str, Any] = httpx.get(f"{self.url}/emulator/account").json()
        return found


@functools.cache
def _certificates() -> tuple[Path, Path]:
    """Of this process; the folder goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="kreabench-test-")
    atexit.register(folder.cleanup)
    return write_certificates(Path(folder.name))


@contextlib.contextmanager
def served(
    truth: Path | None = None, *, http: bool = True, through: Callable[[int], int] = int, **options: Any
) -> Iterator[Served]:
    """A service on a free port, until the block ends; without `http` over TLS, as the back end insists on.

    `through`: the port where clients find what listens at the given one.
    """
    chosen = FalEmulatorOptions(images="patterns", http=http, **{"seed": 3, **options})
    ca_file, server_file = (None, None) if http else _certificates()
    studio = Studio(make_painter(chosen))
    studio.start()
    ready = threading.Event()
    with bound_socket(0) as listener, TruthLog(truth) as log:
        place = Place(scheme="http" if http else "https", port=through(listener.getsockname()[1]))
        service = make_service(chosen, place, read_endpoints([Path(file) for file in chosen.endpoint]), studio, log)
        config = uvicorn.Config(
            build_app(service, on_ready=ready.set),
            ssl_certfile=server_file,
            http=service.connections.protocol(),
            log_config=None,
            timeout_graceful_shutdown=2,
        )
        server = Server(config, service)
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        try:
            assert ready.wait(10)
            yield Served(
                service=service,
                url=place.queue_url,
                run_url=f"{place.scheme}://{place.run_host}",
                environment=_environment(ready_line(place, ca_file), os.environ) if ca_file else {},
            )
        finally:
            server.should_exit = True
            thread.join(10)
            studio.stop()
    assert not thread.is_alive()


@contextlib.contextmanager
def client_of(place: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    """The real client, unchanged, pointed at `place` as the printed instructions say; its retries are off."""
    monkeypatch.setenv("FAL_KEY", "test")
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"{place.run_url}/")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{place.url}/")
    monkeypatch.setattr(fal_client.client, "REST_URL", place.url)
    monkeypatch.setattr(fal_client.client, "CDN_URL", place.url)
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 1)
    client = fal_client.SyncClient()
    try:
        yield client
    finally:
        client._client.close()


def arguments(**changes: Any) -> dict[str, Any]:
    """A small request."""
    return {"prompt": "a red bicycle", "image_size": SMALL, "output_format": "png", **changes}


def until(condition: Any, seconds: float = 5.0) -> bool:
    """Wait for something that has to happen; the limit only ends a test that fails."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(condition())
