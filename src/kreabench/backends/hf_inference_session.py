"""Requests to a provider through `InferenceClient.text_to_image`, and how long each stage took. Worker only.

Stages, on one monotonic clock; with the residual they sum to end-to-end:

client      the request was meant to start → the POST is handed to the connection, less `connect`
connect     opening that connection, TLS included; only where one had to be opened
call        … → the answer is whole. Everything that the provider does is in here: its queue, the drawing, often the
            picture itself; of WaveSpeed and Z.ai also the library's asking, every half second and every five
download    the picture's address is opened → its last byte has arrived; only where the answer names an address

The public method is called, so that what is measured is what a user of the library gets. It ends by making a PIL
picture of the bytes; these would be lost, and must be kept as they came. So while the session is open the decoder's
name in the library's client module is bound to a function that keeps the bytes of a call of ours and hands everything
else on. The library repeats nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpx2
import huggingface_hub.inference._client as client_module
from huggingface_hub import InferenceClient, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.inference._providers import get_provider_helper
from huggingface_hub.utils._http import default_client_factory, hf_request_event_hook

from kreabench.backends.base import GeneratedImage, Generation, Ticket
from kreabench.backends.fal_download import DownloadRules
from kreabench.backends.hf_inference_account import hosted_call, picture, service_request_id, timings_of
from kreabench.backends.hf_inference_errors import ProviderAnswer, ProviderFailures
from kreabench.backends.hf_inference_transport import CURRENT, Call, WatchedTransport
from kreabench.backends.opening_errors import no_client
from kreabench.backends.options import HfInferenceOptions
from kreabench.core.errors import GenerationError
from kreabench.core.specs import TargetSpec

_DECODER = "_bytes_to_image"
_LIBRARY_ERRORS = (
    HfHubHTTPError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
)
"""What provider helpers raise over an answer that is not as they expect."""


class HfInferenceSession:
    """One provider and model; `generate` may run in many threads at once."""

    def __init__(
        self,
        target: TargetSpec,
        options: HfInferenceOptions,
        *,
        key: str,
        key_env: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._target = target
        self._options = options
        self._key = key
        self._clock = clock
        self._failures = ProviderFailures(key=key, key_env=key_env, provider=options.provider, model=target.model)
        self._decode: Callable[[bytes], Any] | None = None
        rules = DownloadRules(
            hosts=options.download_hosts,
            loopback=target.emulated,
            max_bytes=options.max_download_bytes,
            timeout_s=options.request_timeout_s,
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
        self._client = InferenceClient(
            model=options.base_url,
            provider=None if options.base_url else options.provider,  # type: ignore[arg-type]
            api_key=key,
            timeout=options.request_timeout_s,
            bill_to=options.bill_to,
        )

    def open(self) -> dict[str, Any]:
        """Take over the library's HTTP client and decoder; look the model up at the Hub. Returns the identity."""
        self._decode = getattr(client_module, _DECODER)
        setattr(client_module, _DECODER, self._keep_bytes)
        set_client_factory(self._http_client)
        prepared = self._look_up()
        return {
            "provider": "base_url" if self._options.base_url else self._options.provider,
            "model": self._target.model,
            "provider_model": None if self._options.base_url else prepared.model,
            "host": urlsplit(prepared.url).hostname,
            "routed": self._options.routed,
            "billed_to_organisation": self._options.bill_to is not None,
            "emulated": self._target.emulated,
            "huggingface_hub": version("huggingface_hub"),
            "httpx2": version("httpx2"),
            "client_retries": False,
            "connection": "opened by the first request and, after a pause of 5 s, by the next: stage `connect`",
        }

    def generate(self, arguments: Mapping[str, Any], ticket: Ticket) -> Generation:
        """One call of the library. Raises GenerationError."""
        with self._transport.call(ticket, self._tell) as call:
            content = self._ask(arguments, call)
            in_flight = self._transport.in_flight()
        account = hosted_call(call, routed=self._options.routed, in_flight=in_flight, scrub=self._failures.scrub)
        return Generation(
            images=(self._picture(content, call),),
            timings=timings_of(call, ticket),
            memory=None,
            steps_run=None,
            hosted=account,
        )

    def close(self) -> None:
        """Let what is being drawn end, for a few seconds: it is paid for. Then end it, and give the library back."""
        self._transport.end_calls()
        set_client_factory(default_client_factory)
        if self._decode is not None and getattr(client_module, _DECODER) == self._keep_bytes:
            setattr(client_module, _DECODER, self._decode)
        self._transport.close_all()

    def _http_client(self) -> httpx2.Client:
        """As the library makes its own, but for redirects, compression and what is below."""
        return httpx2.Client(
            transport=self._transport,
            event_hooks={"request": [hf_request_event_hook]},
            follow_redirects=False,
            timeout=self._options.request_timeout_s,
            headers={"Accept-Encoding": "identity"},
        )

    def _look_up(self) -> Any:
        """The request as the library would send it: asks the Hub which model of the provider is meant, and keeps that.

        Without this the first request would do it, and with several at once each of them.
        """
        try:
            helper = get_provider_helper(self._client.provider, task="text-to-image", model=self._model())
            return helper.prepare_request(inputs="", parameters={}, headers={}, model=self._model(), api_key=self._key)
        except _LIBRARY_ERRORS as error:
            raise self._not_found(error) from None

    def _model(self) -> str:
        return self._options.base_url or self._target.model

    def _not_found(self, error: Exception) -> GenerationError:
        offline = isinstance(error, OfflineModeIsEnabled)
        unreachable = isinstance(error, httpx2.TransportError) and not offline
        response = getattr(error, "response", None)
        refused = response is not None and response.status_code in {401, 403}
        kind = "network" if unreachable else "authentication" if refused else "invalid_request"
        return GenerationError(
            self._failures.scrub(f"the Hub was asked how {self._options.provider} calls {self._model()}: {error}"),
            type=kind,
            stage="load",
            transient=unreachable,
            remedy="See which providers the model's Hub page names."
            if kind == "invalid_request"
            else "Check the connection to huggingface.co and the token.",
        )

    def _ask(self, arguments: Mapping[str, Any], call: Call) -> bytes:
        token = CURRENT.set(call)
        try:
            self._client.text_to_image(model=self._model(), **arguments)
        except _LIBRARY_ERRORS as error:
            if call.begun_s is None:
                raise self._failures.not_sent(error) from None
            raise self._failures.from_library(error, call.body) from None
        finally:
            CURRENT.reset(token)
        if call.content is None:
            raise GenerationError(
                "the library gave a picture without its bytes",
                type="internal",
                stage="call",
                remedy="Please report this with the version of huggingface_hub.",
            )
        return call.content

    def _keep_bytes(self, content: bytes) -> Any:
        call = CURRENT.get()
        if call is None:
            return self._decode(content) if self._decode is not None else None
        call.content, call.ended_s = content, self._clock()
        return None

    def _tell(self, answer: ProviderAnswer, ticket: Ticket) -> None:
        name = service_request_id(answer)
        if name and 200 <= answer.status_code < 300:
            ticket.submitted(self._failures.scrub(name))

    def _picture(self, content: bytes, call: Call) -> GeneratedImage:
        checked = self._target.parameters.get("enable_safety_checker", True)
        return picture(content, call, checked=checked is True, max_bytes=self._options.max_download_bytes)
