"""What goes wrong at fal, as `GenerationError`: types, whether a later try can help, and messages without secrets.

Two rules decide. The service's own word counts: fal documents runner and time-out errors as passing and 5xx as not
billed; only these are `server_error`. And where a request may have been accepted without our knowing what became of
it (a reset after the body was sent, a gateway's error, an unreadable answer), the type is `network` or `timeout` and
never transient: sending it again could buy the same picture twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from kreabench.core.errors import GenerationError

_MESSAGE_LENGTH = 500
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Faults that happen before the request leaves this machine."""

_MAYBE_BILLED = "It may have been carried out and billed, so it is not sent again; see the service's dashboard."
_LATER = "Try again later with `kreabench resume`."

_GATEWAY_STATUS = {502, 503, 504}
_TIMEOUT_TYPES = {"request_timeout", "startup_timeout"}
_CLIENT_TYPES = {"client_cancelled", "client_disconnected"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP error of the service, without the client library's classes."""

    status_code: int
    headers: Mapping[str, str]
    body: Any
    """Parsed JSON; None where the body is none."""
    text: str

    @property
    def is_of_service(self) -> bool:
        """Whether fal itself said it, not a gateway before it (whose errors are HTML)."""
        return isinstance(self.body, dict) or "x-fal-request-id" in self.headers

    def is_outcome(self, stage: str) -> bool:
        """Whether this answer says what became of the request: that it was refused, or that it failed.

        Answers to status reads never do (a failed request is COMPLETED, its error comes with the result), nor do
        those of a gateway, nor a limit on the number of reads, nor a refusal to show the result to this key: the
        request was accepted with it, so it may have been carried out.
        """
        if stage == "submit":
            return self.is_of_service or self.status_code < 500
        return stage == "result" and self.is_of_service and self.status_code not in {401, 402, 403, 429}

    @property
    def is_passing(self) -> bool:
        """Whether a read met a fault of the way there, and no outcome of the request: ask again."""
        return self.status_code == 429 or (self.status_code in _GATEWAY_STATUS and not self.is_of_service)

    @property
    def error_type(self) -> str | None:
        """fal's name of the error, from the body or its header."""
        named = self.body.get("error_type") if isinstance(self.body, dict) else None
        return named if isinstance(named, str) else self.headers.get("x-fal-error-type")

    @property
    def detail(self) -> Any:
        """fal's account: a text, or a list of findings for invalid input."""
        return self.body.get("detail", self.text) if isinstance(self.body, dict) else self.text


class Failures:
    """Makes the errors of one session; knows the secrets that no message may hold."""

    def __init__(self, *, key: str, key_env: str) -> None:
        parts = [key, *key.split(":")]
        self._secrets = sorted({part for part in parts if len(part) >= 4}, key=len, reverse=True)
        self._key_env = key_env

    def scrub(self, text: str) -> str:
        """`text` on one line, without the key, cut to a readable length."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        text = _UNPRINTABLE.sub(" ", text).strip()
        return text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"

    def from_answer(self, answer: Answer, stage: str) -> GenerationError:
        """An HTTP status that is no success."""
        kind, transient, remedy = self._judge(answer, stage)
        named = f" ({answer.error_type})" if answer.error_type else ""
        message = self.scrub(f"HTTP {answer.status_code}{named}: {_detail_text(answer.detail)}")
        return GenerationError(message, type=kind, stage=stage, transient=transient, remedy=remedy)

    def from_transport(self, error: httpx.HTTPError | httpx.InvalidURL, stage: str) -> GenerationError:
        """The connection failed, or timed out, before an answer was whole."""
        unsent = stage == "submit" and isinstance(error, _NOT_SENT)
        return GenerationError(
            self.scrub(f"{type(error).__name__}: {error}"),
            type="timeout" if isinstance(error, httpx.TimeoutException) else "network",
            stage=stage,
            transient=unsent,
            remedy=f"Check the connection. {_LATER}" if unsent else _MAYBE_BILLED,
        )

    def not_understood(self, error: Exception, stage: str) -> GenerationError:
        """A successful answer that lacks what the protocol promises."""
        return GenerationError(
            self.scrub(f"the service's answer was not understood: {type(error).__name__}: {error}"),
            type="network",
            stage=stage,
            remedy=_MAYBE_BILLED,
        )

    def _judge(self, answer: Answer, stage: str) -> tuple[str, bool, str]:
        """Failure type, whether it passes by itself, and the remedy."""
        code = answer.status_code
        if not answer.is_outcome(stage):
            return "network", False, _MAYBE_BILLED
        if code in {401, 402, 403}:
            return "authentication", False, f"Check the key in {self._key_env} and the account's balance and rights."
        if code == 422:
            return _judge_input(answer.detail)
        if code == 429:
            return "rate_limited", True, f"The account's limit of concurrent requests is reached. {_LATER}"
        if code == 408 or answer.error_type in _TIMEOUT_TYPES:
            return "timeout", True, f"The service did not start the request in time. {_LATER}"
        if code == 499 or answer.error_type in _CLIENT_TYPES:
            return "server_error", False, "The request was cancelled on the side of the client."
        if code >= 500:
            return "server_error", True, f"The service failed; such requests are not billed. {_LATER}"
        return "invalid_request", False, "Check the endpoint id and the settings against the endpoint's API page."


def _judge_input(detail: Any) -> tuple[str, bool, str]:
    types = [finding.get("type") for finding in detail if isinstance(finding, dict)] if isinstance(detail, list) else []
    if "content_policy_violation" in types:
        return "content_policy", False, "The service's content policy refuses this prompt; leave it out."
    return "invalid_request", False, "Check the settings against the endpoint's API page."


def _detail_text(detail: Any) -> str:
    """`prompt: Field required [missing]; …` for findings; other details as they are."""
    if not isinstance(detail, list):
        return str(detail)
    return "; ".join(_finding_text(finding) for finding in detail)


def _finding_text(finding: Any) -> str:
    if not isinstance(finding, dict):
        return str(finding)
    location: Sequence[Any] = finding.get("loc") or ()
    where = ".".join(str(part) for part in location if part != "body")
    text = f"{finding.get('msg', '')} [{finding.get('type', 'unknown')}]"
    return f"{where}: {text}" if where else text
