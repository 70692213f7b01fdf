"""For tests of all that speaks to fal: the loopback service, the real client pointed at it, a scripted service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fal_client.client
import httpx
import pytest

from kreabench.backends import fal_calls
from kreabench.backends.fal import FalBackend
from kreabench.backends.fal_download import Downloader
from kreabench.core.specs import AccelerationSpec, ServiceSpec, TargetSpec
from kreabench.execution.services import start_service
from tests.support import encode_image, make_acceleration, make_target, picture

ENDPOINT = "fal-ai/flux/krea"
KEY = "test-key-id:test-key-secret"
PUBLIC_ADDRESS = "93.184.215.14"
BACKUP_DOMAINS = {"fal.run": "falrun.com", "queue.fal.run": "queue.falrun.com"}
"""As fal-client has them when it is imported."""


@contextmanager
def emulator(folder: Path, **options: Any) -> Iterator[dict[str, str]]:
    """A loopback fal that draws patterns; yields the environment that finds it."""
    service = ServiceSpec(kind="fal-emulator", options={"images": "patterns", **options})
    with start_service(service, folder / "service.log") as environment:
        yield environment


def point_client_at(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment alone does in a fresh process: here the client was imported long ago."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"https://{environment['FAL_RUN_HOST']}/")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"https://{environment['FAL_QUEUE_RUN_HOST']}/")


def fal_target(**changes: Any) -> TargetSpec:
    """A hosted target with the options' defaults, not emulated."""
    values: dict[str, Any] = {
        "name": "krea_fal",
        "backend": "fal",
        "model": ENDPOINT,
        "hosted": True,
        "untrained": False,
        "accelerations": ("none", "regular", "high"),
        "key_env": "FAL_KEY",
        "options": {},
    }
    return make_target(**(values | changes))


def emulated_target(**changes: Any) -> TargetSpec:
    """A target whose service the run would start itself."""
    service = ServiceSpec(kind="fal-emulator", options={})
    return fal_target(**({"emulated": True, "service": service} | changes))


def levels(*names: str) -> tuple[AccelerationSpec, ...]:
    """Accelerations of those names, asking for the level of the same name."""
    return tuple(make_acceleration(name=name, hosted=name) for name in names)


Reply = httpx.Response | Exception
Answers = Reply | Sequence[Reply] | Callable[[httpx.Request], Reply]


def answer(status_code: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    """A JSON answer; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status_code, json=body, headers=named)


def gateway_error(status_code: int) -> httpx.Response:
    """What a proxy in front of the service says."""
    return httpx.Response(status_code, html=f"<html><h1>{status_code}</h1><center>nginx</center></html>")


BASE = "https://queue.fal.run/fal-ai/flux/requests/r1"
ACCEPTED = {"request_id": "r1", "response_url": BASE, "status_url": f"{BASE}/status", "cancel_url": f"{BASE}/cancel"}
QUEUED = {"status": "IN_QUEUE", "queue_position": 0}
RUNNING = {"status": "IN_PROGRESS", "logs": None}
COMPLETED = {"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 0.75}}


def result_body(count: int = 1, **changes: Any) -> dict[str, Any]:
    """A result with `count` pictures."""
    images = [{"url": f"https://v3.fal.media/files/{index}.png", "content_type": "image/png"} for index in range(count)]
    body = {"images": images, "seed": 7, "has_nsfw_concepts": [False] * count, "timings": {}, "prompt": "x"}
    return body | changes


@dataclass
class ScriptedFal:
    """Answers each kind of call from a list (the last one again and again), at the real client's transport."""

    submit: Answers = field(default_factory=lambda: answer(200, ACCEPTED))
    status: Answers = field(default_factory=lambda: [answer(202, QUEUED), answer(202, RUNNING), answer(200, COMPLETED)])
    result: Answers = field(default_factory=lambda: answer(200, result_body()))
    cancel: Answers = field(default_factory=lambda: answer(202, {"status": "CANCELLATION_REQUESTED"}))
    picture: Answers = field(
        default_factory=lambda: (
            lambda _: httpx.Response(200, content=encode_image(picture()), headers={"content-type": "image/png"})
        )
    )
    calls: list[str] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind = _kind(request)
        count = self.calls.count(kind)
        self.calls.append(kind)
        self.requests.append(request)
        answers: Answers = getattr(self, kind)
        if isinstance(answers, Sequence):
            answers = answers[min(count, len(answers) - 1)]
        reply = answers if isinstance(answers, httpx.Response | Exception) else answers(request)
        if isinstance(reply, Exception):
            raise reply
        # A response object serves once, and here the same answer may be given many times.
        return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(reply.content))

    def body(self) -> Any:
        """What was submitted."""
        return json.loads(self.requests[self.calls.index("submit")].content)


def _kind(request: httpx.Request) -> str:
    path = request.url.path
    if request.url.host != "queue.fal.run":
        return "picture"
    if request.method == "POST":
        return "submit"
    if path.endswith("/status"):
        return "status"
    return "cancel" if path.endswith("/cancel") else "result"


class FakeTime:
    """A clock that moves by a hundredth of a second a look, and by what is slept."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        self.now += 0.01
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def open_backend(
    script: ScriptedFal,
    monkeypatch: pytest.MonkeyPatch,
    *,
    sleep: Callable[[float], None] | None = None,
    **options: Any,
) -> FalBackend:
    """The real back end on the real client, whose transport is the script; names resolve to a public address."""
    transport = httpx.MockTransport(script)
    time = FakeTime()
    monkeypatch.setenv("FAL_KEY", KEY)
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", "https://queue.fal.run/")
    monkeypatch.setattr(fal_client.client, "BackupDomainTransport", lambda: transport)
    monkeypatch.setattr(fal_client.client, "_BACKUP_DOMAINS", dict(BACKUP_DOMAINS))
    monkeypatch.setattr(
        fal_calls, "Downloader", partial(Downloader, transport=transport, resolve=lambda _: [PUBLIC_ADDRESS])
    )
    backend = FalBackend(clock=time.clock, sleep=sleep or time.sleep)
    backend.open(fal_target(options=options), levels("none", "regular", "high"), ())
    return backend
