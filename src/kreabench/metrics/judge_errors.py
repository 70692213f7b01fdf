"""What went wrong with a call of a judge, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openai

_FINAL_STATUS = {
    401: "the service does not accept the key",
    402: "the service wants to be paid first",
    403: "the service does not allow this",
    404: "the service has no such model or address",
}
"""Statuses that every further call would meet too."""

_FINAL_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""A spent account, told as a rate limit."""

_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})

_GAVE_UP_WAITING = frozenset({504, 524})
"""Said by what stands before the service, which may have done the work all the same."""

_REFUSAL_WORDS = ("content_policy", "content policy", "content_filter", "content management policy", "moderation")
"""By which services say that it is this picture or prompt which they will not look at."""


class CallFailed(Exception):
    """One attempt failed."""

    def __init__(
        self,
        message: str,
        *,
        again: bool = False,
        final: bool = False,
        unreachable: bool = False,
        may_be_billed: bool = False,
        retry_after_s: float | None = None,
        about_logprobs: bool = False,
    ) -> None:
        super().__init__(message)
        self.again = again
        """Whether the same call may succeed later."""
        self.final = final
        """Whether every other call would fail as well."""
        self.unreachable = unreachable
        """Whether there was no connection."""
        self.may_be_billed = may_be_billed
        """Whether the service may have done the work."""
        self.retry_after_s = retry_after_s
        self.about_logprobs = about_logprobs
        """Whether the service refused to give probabilities."""


def body_failed(message: str, *, again: bool = True) -> CallFailed:
    """The answer began well and was not whole, or was too much."""
    return CallFailed(message, again=again, may_be_billed=True)


def attempt_failed(error: Exception) -> CallFailed:
    """The client's own errors in our words."""
    import httpx2
    import openai

    if isinstance(error, openai.APIStatusError):
        return _by_status(error)
    cause: BaseException | None = error if isinstance(error, httpx2.HTTPError) else error.__cause__
    named = f"{type(cause).__name__}: {cause}" if cause is not None else f"{type(error).__name__}: {error}"
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return CallFailed(f"the service cannot be reached ({named})", again=True, unreachable=True)
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return CallFailed("no answer in time", again=True, may_be_billed=True)
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
        return CallFailed(f"the connection broke ({named})", again=True, may_be_billed=True)
    return CallFailed(named)


def _by_status(error: openai.APIStatusError) -> CallFailed:
    status = error.status_code
    said = _said(error.body) or error.response.reason_phrase
    text = f"HTTP {status}: {said}"
    code = str(error.body.get("code") or "") if isinstance(error.body, dict) else ""
    about = f"{code} {said}".casefold()
    if status in {400, 403, 422, 451} and any(word in about for word in _REFUSAL_WORDS):
        return CallFailed(f"refused by the service's content policy: {text}")
    if status in {400, 422} and "logprob" in about:
        return CallFailed(text, about_logprobs=True)
    if status in _FINAL_STATUS or code in _FINAL_CODES or 300 <= status < 400:
        why = _FINAL_STATUS.get(status) or ("the account is spent" if code in _FINAL_CODES else "the service has moved")
        return CallFailed(f"{why} ({text})", final=True)
    again = status in _TRANSIENT_STATUS or status >= 500
    retry_after_s = _retry_after_s(error.response.headers)
    return CallFailed(text, again=again, may_be_billed=status in _GAVE_UP_WAITING, retry_after_s=retry_after_s)


def _said(body: Any) -> str:
    """The service's words: the client has taken them out of `error` where they are there."""
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return body if isinstance(body, str) else ("" if body is None else repr(body))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """None where it is absent, a date, or no number."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None
