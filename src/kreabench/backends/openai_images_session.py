"""Requests to a server with OpenAI's image interface, through the openai client. Imported in the worker only.

Stages are those of `hf_inference_session`: client, connect, call, download. The client repeats nothing, and its HTTP is
`WatchedTransport`, which lets exactly one POST a call through.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import openai

from kreabench.backends.base import GeneratedImage, Generation, Ticket
from kreabench.backends.fal_download import DownloadRules
from kreabench.backends.hf_inference_account import picture, service_request_id, timings_of
from kreabench.backends.hf_inference_errors import ProviderAnswer, ProviderFailures
from kreabench.backends.hf_inference_transport import CURRENT, Call, WatchedTransport
from kreabench.backends.opening_errors import no_client
from kreabench.backends.options import OpenAIImagesOptions
from kreabench.backends.service_check import is_loopback
from kreabench.backends.service_values import amount, seed_of
from kreabench.core.errors import GenerationError
from kreabench.core.records import HostedCall
from kreabench.core.specs import TargetSpec

_NO_KEY = "none"
"""What the client sends where no key is wanted: it insists on one."""


class OpenAIImagesSession:
    """One server and model; `generate` may run in many threads at once."""

    def __init__(
        self,
        target: TargetSpec,
        options: OpenAIImagesOptions,
        *,
        key: str | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._target = target
        self._options = options
        self._clock = clock
        host = urlsplit(options.base_url).hostname or ""
        self._host = host
        self._failures = ProviderFailures(
            key=key or "", key_env=target.key_env or "key_env (none is named)", provider=host, model=target.model
        )
        rules = DownloadRules(
            hosts=options.download_hosts,
            loopback=is_loopback(host),
            max_bytes=options.max_download_bytes,
            timeout_s=options.request_timeout_s,
            own_origin=str(httpx.URL(options.base_url).copy_with(raw_path=b"/")),
        )
        try:
            self._transport = WatchedTransport(
                failures=self._failures,
                rules=rules,
                timeout_s=options.request_timeout_s,
                max_bytes=options.max_download_bytes,
                clock=clock,
                sleep=sleep,
            )
        except OSError as error:
            raise no_client(error) from None
        self._http = httpx2.Client(
            transport=self._transport,
            follow_redirects=False,
            timeout=options.request_timeout_s,
            headers={"Accept-Encoding": "identity"},
        )
        self._client = openai.OpenAI(
            base_url=options.base_url,
            api_key=key or _NO_KEY,
            max_retries=0,
            timeout=options.request_timeout_s,
            http_client=self._http,
        )
        # The client reads these from OpenAI's own variables; they are no business of another service.
        self._client.organization = self._client.project = None

    def identity(self) -> dict[str, Any]:
        """Who is asked and how. No secret, no path."""
        return {
            "provider": "base_url",
            "model": self._target.model,
            "host": self._host,
            "emulated": self._target.emulated,
            "response_format": self._options.response_format,
            "openai": version("openai"),
            "httpx2": version("httpx2"),
            "client_retries": False,
            "connection": "opened by the first request in each place, and kept: stage `connect`",
        }

    def generate(self, body: Mapping[str, Any], ticket: Ticket) -> Generation:
        """One call of the client. Raises GenerationError."""
        with self._transport.call(ticket, self._tell) as call:
            images = self._ask(body, call)
            in_flight = self._transport.in_flight()
        return Generation(
            images=images,
            timings=timings_of(call, ticket),
            memory=None,
            steps_run=None,
            hosted=self._account(call, in_flight),
        )

    def close(self) -> None:
        """Let what is being drawn end, for a few seconds: it is paid for. Then end it."""
        self._transport.end_calls()
        self._transport.close_all()
        self._http.close()

    def _ask(self, body: Mapping[str, Any], call: Call) -> tuple[GeneratedImage, ...]:
        token = CURRENT.set(call)
        try:
            self._post(body)
            contents = [self._content(item, call) for item in _items(call.body)]
            if not contents:
                raise self._failures.from_library(ValueError("no picture in `data`"), call.body)
            call.ended_s = self._clock()
        finally:
            CURRENT.reset(token)
        return tuple(
            self._picture(content, item, call) for content, item in zip(contents, _items(call.body), strict=True)
        )

    def _post(self, body: Mapping[str, Any]) -> None:
        """The answer is in the call: the client would only take it apart a second time."""
        rest = {name: value for name, value in body.items() if name not in {"prompt", "model"}}
        try:
            self._client.images.with_raw_response.generate(prompt=body["prompt"], model=body["model"], extra_body=rest)
        except openai.OpenAIError as error:
            # The client wraps whatever its HTTP raises.
            if isinstance(error.__cause__, GenerationError):
                raise error.__cause__ from None
            raise self._failures.not_sent(error) from None

    def _content(self, item: Any, call: Call) -> bytes:
        encoded, address = (item.get(name) if isinstance(item, dict) else None for name in ("b64_json", "url"))
        if isinstance(encoded, str):
            try:
                return base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError) as error:
                raise self._failures.from_library(error, call.body) from None
        if isinstance(address, str):
            try:
                return self._http.get(address).content
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise self._failures.from_library(error, call.body) from None
        raise self._failures.from_library(ValueError("a picture with neither `b64_json` nor `url`"), call.body)

    def _picture(self, content: bytes, item: Mapping[str, Any], call: Call) -> GeneratedImage:
        found = picture(content, call, checked=False, max_bytes=self._options.max_download_bytes)
        # Some servers tell the seed of each picture; OpenAI's own interface has none.
        seed = seed_of(item.get("seed"))
        return GeneratedImage(content=found.content, seed=found.seed if seed is None else seed, nsfw=None)

    def _account(self, call: Call, in_flight: int) -> HostedCall:
        answer = call.answer
        milliseconds = amount(answer.headers.get("openai-processing-ms")) if answer is not None else None
        return HostedCall(
            service_request_id=self._failures.scrub(service_request_id(answer)) if answer is not None else "",
            attempts=1 + call.repeats,
            polls=0,
            queue_s=None,
            inference_s=None if milliseconds is None else milliseconds / 1000,
            runner=None,
            billable_units=None,
            observed_by="response",
            in_flight=in_flight,
        )

    def _tell(self, answer: ProviderAnswer, ticket: Ticket) -> None:
        name = service_request_id(answer)
        if name and 200 <= answer.status_code < 300:
            ticket.submitted(self._failures.scrub(name))


def _items(body: Any) -> list[Any]:
    """What stands in `data`."""
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, list) else []
