"""What goes wrong at a provider of inference, as `GenerationError`. The rules are those of `fal_errors`.

The provider's own word counts, but a call is one long request: nothing says whether what failed in the middle of it
(500, 502) is billed, and providers differ. Only a refusal in JSON (4xx, and 503: not available) says that nothing was
drawn. After any other failure, a gateway's error page, a time-out of any kind (504 too, whoever says it) and a
connection that broke after the request had left, the picture may have been drawn and billed: these are never sent again
without being asked to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2

from kreabench.backends.fal_errors import Failures
from kreabench.backends.service_values import retry_after_s
from kreabench.core.errors import GenerationError

MAYBE_BILLED = "It may have been carried out and billed, so it is not sent again; see the provider's dashboard."
_LATER = "Try again later with `kreabench resume`."
_THEN = "Then: `kreabench resume`."
_AGAIN = "Whether it was billed is not known. To send it again: `kreabench resume --retry-failed`."

_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_POLICY = re.compile(r"nsfw|content[ _-]?policy|content[ _-]?moderation|safety (system|filter|checker)", re.IGNORECASE)
_SPENT = re.compile(r"insufficient_quota|billing_hard_limit", re.IGNORECASE)
"""A spent account, told as a rate limit."""
_TIMEOUT_STATUS = {408, 504, 524}
_UNAVAILABLE = 503
_FAILED = {"failed", "canceled", "cancelled", "aborted"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderAnswer:
    """An answer of HTTP, without the client library's classes."""

    status_code: int
    headers: Mapping[str, str]
    body: Any
    """Parsed JSON; None where the body is none."""
    text: str


class ProviderFailures:
    """Makes the errors of one session."""

    def __init__(self, *, key: str, key_env: str, provider: str, model: str) -> None:
        self.scrub = Failures(key=key, key_env=key_env).scrub
        self._key_env = key_env
        self._provider = provider
        self._model = model

    def from_answer(self, answer: ProviderAnswer, stage: str) -> GenerationError:
        """The request was answered with a status that is no success."""
        kind, transient, remedy = self._judge(answer)
        message = self.scrub(f"HTTP {answer.status_code}: {_detail(answer)}")
        error = GenerationError(message, type=kind, stage=stage, transient=transient, remedy=remedy)
        if kind == "rate_limited":
            error.retry_after_s = retry_after_s(answer.headers)
        return error

    def from_read(self, answer: ProviderAnswer, stage: str) -> GenerationError:
        """A later read (the state of the job, its result) was refused: says nothing about the request itself."""
        message = self.scrub(f"HTTP {answer.status_code}: {_detail(answer)}")
        return GenerationError(message, type="network", stage=stage, remedy=MAYBE_BILLED)

    def from_picture(self, status_code: int) -> GenerationError:
        """The server that holds the picture does not give it."""
        return GenerationError(
            f"HTTP {status_code} for the picture",
            type="expired" if status_code in {403, 404, 410} else "network",
            stage="download",
            remedy=MAYBE_BILLED,
        )

    def from_transport(self, error: Exception, stage: str, *, sent: bool) -> GenerationError:
        """The connection failed, or timed out, before an answer was whole."""
        unsent = not sent and isinstance(error, _NOT_SENT)
        timeout = isinstance(error, httpx.TimeoutException | httpx2.TimeoutException)
        return GenerationError(
            self.scrub(f"{type(error).__name__}: {error}"),
            type="timeout" if timeout else "network",
            stage=stage,
            transient=unsent,
            remedy=f"Check the connection. {_LATER}" if unsent else MAYBE_BILLED,
        )

    def from_library(self, error: Exception, body: Any) -> GenerationError:
        """The library found no picture in a successful answer, whose JSON is `body`."""
        state = _job(body)
        if state.get("status") in _FAILED:
            return self._from_job(state)
        timeout = isinstance(error, TimeoutError)
        what = "no picture came in time" if timeout else "the answer was not understood"
        return GenerationError(
            self.scrub(f"{what}: {type(error).__name__}: {error}"),
            type="timeout" if timeout else "network",
            stage="call",
            remedy=MAYBE_BILLED,
        )

    def not_sent(self, error: Exception) -> GenerationError:
        """The library refused before it sent anything."""
        return GenerationError(
            self.scrub(f"the library did not send the request: {type(error).__name__}: {error}"),
            type="invalid_request",
            stage="client",
            remedy="Check the target's options and HF_HUB_OFFLINE.",
        )

    def too_late(self, seconds: float) -> GenerationError:
        """Our own patience ended."""
        remedy = f"Raise options.request_timeout_s if the provider is that slow. {MAYBE_BILLED}"
        return GenerationError(f"no picture after {seconds:g} s", type="timeout", stage="call", remedy=remedy)

    def _from_job(self, state: Mapping[str, Any]) -> GenerationError:
        """The provider took the request on, and says that it failed."""
        text = self.scrub(f"the provider's job {state['status']}: {state.get('error') or 'no reason given'}")
        if _POLICY.search(text):
            return _policy(text, "call")
        return GenerationError(text, type="server_error", stage="call", remedy=_AGAIN)

    def _judge(self, answer: ProviderAnswer) -> tuple[str, bool, str]:
        """Failure type, whether it passes by itself, and the remedy."""
        code = answer.status_code
        if code in {400, 403, 422, 451} and _POLICY.search(_detail(answer)):
            return "content_policy", False, "The provider's content policy refuses this prompt; leave it out."
        if code in _TIMEOUT_STATUS:
            return "timeout", False, MAYBE_BILLED
        if code >= 500:
            return self._judge_server(answer)
        if 300 <= code < 400:
            return "network", False, "The address of the service has moved; requests are not sent after it."
        return self._judge_refusal(402 if code == 429 and _SPENT.search(_detail(answer)) else code)

    def _judge_server(self, answer: ProviderAnswer) -> tuple[str, bool, str]:
        if not isinstance(answer.body, dict):
            return "network", False, MAYBE_BILLED
        if answer.status_code == _UNAVAILABLE:
            return "server_error", True, f"The provider was not available. {_LATER}"
        return "server_error", False, _AGAIN

    def _judge_refusal(self, code: int) -> tuple[str, bool, str]:
        if code in {401, 403}:
            return "authentication", True, f"Check the key in {self._key_env} and what it may be used for. {_THEN}"
        if code == 402:
            return (
                "authentication",
                True,
                f"The account of {self._key_env} has no credit left: add some, or wait. {_THEN}",
            )
        if code == 404:
            return "invalid_request", False, f"{self._provider} does not serve {self._model}; see the model's Hub page."
        if code == 429:
            return "rate_limited", True, f"The account's limit of requests is reached. {_LATER}"
        return "invalid_request", False, "Check the target's inputs against the provider's API page."


def _policy(text: str, stage: str) -> GenerationError:
    remedy = "The provider's content policy refuses this prompt; leave it out."
    return GenerationError(text, type="content_policy", stage=stage, remedy=remedy)


def _job(body: Any) -> Mapping[str, Any]:
    """State of a provider's job: Replicate tells it at the top, others under `data`."""
    if not isinstance(body, dict):
        return {}
    data = body.get("data")
    return data if isinstance(data, dict) and "status" in data else body


def _detail(answer: ProviderAnswer) -> str:
    """The provider's account of an error: `error`, `detail` or `message`, whose shapes differ; never what was sent."""
    body = answer.body
    if isinstance(body, dict):
        body = next((body[name] for name in ("error", "detail", "message", "title") if body.get(name)), answer.text)
    if isinstance(body, list):
        return "; ".join(_finding(item) for item in body)
    return _finding(body) if body is not None else answer.text


def _finding(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    location = item.get("loc")
    where = ".".join(str(part) for part in location if part != "body") if isinstance(location, list) else ""
    text = str(item.get("msg") or item.get("message") or item.get("detail") or "")
    kinds = " ".join(str(item[name]) for name in ("type", "code") if item.get(name))
    return f"{where}: {text} [{kinds}]" if where else f"{text} [{kinds}]" if kinds else text
