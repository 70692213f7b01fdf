"""For tests of all that speaks to fal: the loopback service, the real client pointed at it, a scripted service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import fal_client.client
import httpx
import pytest
import yaml

from kreabench.backends import fal_calls
from kreabench.backends.base import Generation, Ticket
from kreabench.backends.fal import FalBackend
from kreabench.backends.fal_download import Downloader
from kreabench.backends.fal_wire import Network
from kreabench.backends.input_images import describe_input
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import (
    AccelerationSpec,
    InputField,
    InputImage,
    ServiceSpec,
    TargetSpec,
)
from kreabench.execution.services import start_service
from tests.support import ROOT, encode_image, make_acceleration, make_request, make_setting, make_target, picture

ENDPOINT = "fal-ai/flux/krea"
KEY = "test-key-id:test-key-secret"
PUBLIC_ADDRESS = "93.184.215.14"


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
    _put_back(monkeypatch)


def _put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the back end sets for the whole process is as it was when the test ends."""
    for name in ("REST_URL", "CDN_URL", "MAX_ATTEMPTS", "QUEUE_POLL_TIMEOUT"):
        monkeypatch.setattr(fal_client.client, name, getattr(fal_client.client, name))


def endpoint_inputs(target: str) -> dict[str, InputField]:
    """The inputs of a target as they ship."""
    content = yaml.safe_load((ROOT / "conf" / "target" / f"{target}.yaml").read_text())
    return {
        name: InputField(**(entry | {"values": tuple(entry["values"])} if "values" in entry else entry))
        for name, entry in content["inputs"].items()
    }


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
        "inputs": endpoint_inputs("krea_fal"),
    }
    return make_target(**(values | changes))


def emulated_target(**changes: Any) -> TargetSpec:
    """A target whose service the run would start itself."""
    service = ServiceSpec(kind="fal-emulator", options={})
    return fal_target(**({"emulated": True, "service": service} | changes))


def levels(*names: str) -> tuple[AccelerationSpec, ...]:
    """Accelerations of those names, asking for the level of the same name."""
    return tuple(make_acceleration(name=name, hosted=name) for name in names)


def image_to_image() -> dict[str, Any]:
    """Changes that make `fal_target` one of image-to-image."""
    return {
        "task": "image-to-image",
        "model": f"{ENDPOINT}/image-to-image",
        "inputs": endpoint_inputs("krea_fal_image_to_image"),
    }


def stored_input(folder: Path, *, width: int = 200, height: int = 100, url: str | None = None) -> InputImage:
    """A picture in the run's folder of input pictures."""
    content = encode_image(picture(width=width, height=height))
    image = replace(describe_input("in.png", content), url=url)
    (folder / image.file_name).write_bytes(content)
    return image


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
TOKEN = {
    "token": "storage-token",
    "token_type": "Bearer",
    "base_url": "https://v3.fal.media",
    "expires_at": "2999-01-01T00:00:00+00:00",
}
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
    events: Answers = field(default_factory=lambda: answer(404, {"detail": "Path not found"}))
    cancel: Answers = field(default_factory=lambda: answer(202, {"status": "CANCELLATION_REQUESTED"}))
    picture: Answers = field(
        default_factory=lambda: (
            lambda _: httpx.Response(200, content=encode_image(picture()), headers={"content-type": "image/png"})
        )
    )
    token: Answers = field(default_factory=lambda: answer(200, TOKEN))
    upload: Answers = field(default_factory=lambda: answer(200, {"access_url": "https://v3.fal.media/files/in.png"}))
    connects: Sequence[str] = ()
    """Kinds of calls for which a connection is opened, each time."""
    calls: list[str] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind = _kind(request)
        count = self.calls.count(kind)
        self.calls.append(kind)
        self.requests.append(request)
        _trace(request, connects=kind in self.connects)
        answers: Answers = getattr(self, kind)
        if isinstance(answers, Sequence):
            answers = answers[min(count, len(answers) - 1)]
        reply = answers if isinstance(answers, httpx.Response | Exception) else answers(request)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply.stream, _Events):
            return httpx.Response(reply.status_code, headers=reply.headers, stream=reply.stream)
        # A response object serves once, and here the same answer may be given many times.
        return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(reply.content))

    def body(self) -> Any:
        """What was submitted."""
        return json.loads(self.requests[self.calls.index("submit")].content)


def _kind(request: httpx.Request) -> str:
    path = request.url.path
    if path.endswith("/storage/auth/token"):
        return "token"
    if path.endswith("/files/upload"):
        return "upload"
    if request.url.host != "queue.fal.run":
        return "picture"
    if request.method == "POST":
        return "submit"
    if path.endswith("/stream"):
        return "events"
    if path.endswith("/status"):
        return "status"
    return "cancel" if path.endswith("/cancel") else "result"


def _trace(request: httpx.Request, *, connects: bool) -> None:
    """What httpcore tells a request's `trace`."""
    trace = request.extensions["trace"]
    if connects:
        for name in ("connect_tcp", "start_tls"):
            trace(f"connection.{name}.started", {})
            trace(f"connection.{name}.complete", {"return_value": None})
    trace("http11.send_request_headers.started", {})


class _Events(httpx.SyncByteStream):
    """Server-sent events, one a chunk; an exception breaks the stream."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[bytes]:
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            yield item if isinstance(item, bytes) else f"data: {json.dumps(item)}\n\n".encode()


def events(*items: Any) -> httpx.Response:
    """The answer of a status stream: statuses, raw bytes, or an exception in the middle."""
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Events(items))


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
    target: dict[str, Any] | None = None,
    inputs: Path | None = None,
    **options: Any,
) -> FalBackend:
    """The real back end on the real client, whose transport is the script; names resolve to a public address."""
    transport = httpx.MockTransport(script)
    time = FakeTime()
    monkeypatch.setenv("FAL_KEY", KEY)
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", "https://queue.fal.run/")
    _put_back(monkeypatch)
    monkeypatch.setattr(fal_calls, "Network", partial(Network, transport=transport))
    monkeypatch.setattr(fal_calls, "Downloader", partial(Downloader, resolve=lambda _: [PUBLIC_ADDRESS]))
    monkeypatch.setattr(fal_calls, "CDNTokenManager", partial(_ScriptedToken, script))
    backend = FalBackend(clock=time.clock, sleep=sleep or time.sleep)
    changes = {"options": {"observe": "polling"} | options} | (target or {})
    backend.open(fal_target(**changes), levels("none", "regular", "high"), (), concurrency=1, inputs=inputs)
    return backend


class _ScriptedToken(fal_client.client.CDNTokenManager):  # type: ignore[misc]
    """The library makes a client of its own for the token: here it asks the script."""

    def __init__(self, script: ScriptedFal, auth: Any) -> None:
        super().__init__(auth)
        self._script = script

    def _refresh_token(self) -> Any:
        request = httpx.Request("POST", self._url, headers=self._headers, extensions={"trace": lambda *_: None})
        response = self._script(request)
        response.request = request
        response.read()
        response.raise_for_status()
        data = response.json()
        expires = datetime.fromisoformat(data["expires_at"])
        return fal_client.client.CDNToken(data["token"], data["token_type"], data["base_url"], expires)


def draw(
    backend: FalBackend,
    setting: Setting | None = None,
    request: Request | None = None,
    *,
    submitted: Callable[[str], None] = lambda _: None,
    earlier_id: str | None = None,
) -> Generation:
    """One request, meant to start now."""
    setting = setting or make_setting(target="krea_fal")
    ticket = Ticket(intended_s=backend._clock(), submitted=submitted, earlier_id=earlier_id)
    return backend.generate(setting, request or make_request(setting, seed=7), ticket)
