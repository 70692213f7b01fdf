"""For tests of the providers of inference: a loopback server that speaks as they do, the real client pointed at it."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from huggingface_hub import constants
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference._providers import PROVIDERS
from huggingface_hub.inference._providers._common import HARDCODED_MODEL_INFERENCE_MAPPING

from kreabench.backends.base import Generation, Ticket
from kreabench.backends.hf_inference import HfInferenceBackend
from kreabench.core.planned import Request, Setting
from kreabench.core.specs import InputField, TargetSpec
from tests.support import encode_image, make_acceleration, make_request, make_setting, make_target, picture

MODEL = "black-forest-labs/FLUX.1-Krea-dev"
KEY = "hf_testkeytestkeytestkey"
OWN_KEY = "own-test-key-of-a-provider"
PICTURE = encode_image(picture())
INPUTS = {
    "prompt": InputField(type="string", required=True),
    "image_size": InputField(type="image_size", multiple_px=16),
    "num_inference_steps": InputField(type="integer", minimum=1, maximum=50),
    "guidance_scale": InputField(type="number", minimum=0, maximum=20),
    "seed": InputField(type="integer"),
}
PROVIDER_IDS = {
    "fal-ai": "fal-ai/flux/krea",
    "replicate": "black-forest-labs/flux-krea-dev",
    "together": "black-forest-labs/FLUX.1-krea-dev",
    "nscale": "black-forest-labs/FLUX.1-krea-dev",
    "wavespeed": "wavespeed-ai/flux-krea-dev",
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the server answers, or does."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    """Before the answer."""
    fault: str = ""
    """`reset` in place of the answer, or `truncate`: the connection ends within the body."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def json_reply(body: Any, status: int = 200, **changes: Any) -> Reply:
    headers = {"content-type": "application/json"} | changes.pop("headers", {})
    return Reply(status=status, body=json.dumps(body).encode(), headers=headers, **changes)


def picture_reply(**changes: Any) -> Reply:
    values: dict[str, Any] = {"body": PICTURE, "headers": {"content-type": "image/png"}} | changes
    return Reply(**values)


class Server:
    """Answers with `answer(seen)`, over http or https, and keeps what it saw."""

    def __init__(self, answer: Callable[[Seen], Reply], *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.seen: list[Seen] = []
        self.connections = 0
        self._stopping = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": self}))
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def posts(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "POST"]

    def wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def stop(self) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Server

    def setup(self) -> None:
        self.provider.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(method=self.command, path=self.path, headers=headers, body=body)
        self.provider.seen.append(seen)
        self._give(self.provider.answer(seen))

    def do_GET(self) -> None:
        self.do_POST()

    def handle(self) -> None:
        # The client may go away, and a fault closes the connection under the handler.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        return

    def _give(self, reply: Reply) -> None:
        self.provider.wait(reply.wait_s)
        if reply.fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        body = reply.body[: len(reply.body) // 2] if reply.fault == "truncate" else reply.body
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = reply.fault == "truncate"


@contextmanager
def serving(answer: Callable[[Seen], Reply], *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(answer, tls=tls)
    try:
        yield server
    finally:
        server.stop()


def certificate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of 127.0.0.1; the clients of this process trust its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return context


def hf_target(**changes: Any) -> TargetSpec:
    """An emulated target of some provider."""
    values: dict[str, Any] = {
        "name": "krea_hf",
        "backend": "hf_inference",
        "model": MODEL,
        "hosted": True,
        "emulated": True,
        "accelerations": (),
        "key_env": "HF_TOKEN",
        "options": {},
        "inputs": INPUTS,
    }
    return make_target(**(values | changes))


def point_library_at(provider: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's own address and the router are `url`; its name of the model needs no look-up."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(PROVIDERS[provider]["text-to-image"], "base_url", url)  # type: ignore[index]
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{url}/router/{{provider}}")
    if provider in PROVIDER_IDS:
        mapping = InferenceProviderMapping(  # type: ignore[no-untyped-call]
            provider=provider,
            providerId=PROVIDER_IDS[provider],
            hf_model_id=MODEL,
            status="live",
            task="text-to-image",
        )
        monkeypatch.setitem(HARDCODED_MODEL_INFERENCE_MAPPING, provider, {MODEL: mapping})


@contextmanager
def opened(
    provider: str,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    key: str = KEY,
    target: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[HfInferenceBackend]:
    """The real back end on the real library. `hf-inference` is asked by `base_url`."""
    point_library_at(provider, url, monkeypatch)
    monkeypatch.setenv("HF_TOKEN", key)
    values: dict[str, Any] = {"provider": provider, "routed": key.startswith("hf_"), **options}
    if provider == "hf-inference":
        values["base_url"] = url
    backend = HfInferenceBackend()
    levels = (make_acceleration(),)
    try:
        backend.open(hf_target(options=values, **(target or {})), levels, (), concurrency=1)
        yield backend
    finally:
        backend.close()


def ticket(submitted: Callable[[str], None] = lambda _: None, **changes: Any) -> Ticket:
    values: dict[str, Any] = {"intended_s": time.perf_counter(), "submitted": submitted}
    return Ticket(**(values | changes))


def setting(**changes: Any) -> Setting:
    return make_setting(target="krea_hf", width=64, height=96, **changes)


def draw(
    backend: HfInferenceBackend,
    *,
    of: Setting | None = None,
    request: Request | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Generation:
    """One request."""
    of = of or setting()
    return backend.generate(of, request or make_request(of, seed=7), ticket(tell))


def base64_reply(content: bytes = PICTURE) -> Reply:
    """As Together and Nscale answer."""
    return json_reply({"id": "together-1", "data": [{"index": 0, "b64_json": base64.b64encode(content).decode()}]})
