"""The table of what goes wrong at fal and on the way there: one row a case, the first that fits decides.

Two rules are behind it. The service's own word counts: fal documents runner and time-out errors as passing and 5xx as
not billed; only these are `server_error`. And nothing is paid twice: where a request may have been accepted without our
knowing its name (a reset after the body was sent, a gateway's error, an unreadable answer), it is never sent again;
where we know its name, `resume` asks for its result and sends nothing new (`fetch_again`).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import httpx

UPLOAD, SUBMIT, QUEUE, INFERENCE, RESULT, DOWNLOAD = ("upload", "submit", "queue", "inference", "result", "download")
WAITING = (QUEUE, INFERENCE)

_MAYBE_BILLED = "It may have been carried out and billed, so it is not sent again; see the service's dashboard."
_LATER = "Try again later with `kreabench resume`."
FETCHED_LATER = "`kreabench resume` fetches the result; nothing is paid twice."
_NOTHING_SENT = f"Nothing was asked of the endpoint yet. {_LATER}"
_CHECK_KEY = "Check the key in {key_env} and the account's balance and rights."
_CHECK_PAGE = "Check the endpoint id and the settings against the endpoint's API page."
_NOT_BILLED = f"The service failed; such requests are not billed. {_LATER}"
_GONE = "The service no longer has it. Only `kreabench resume --retry-failed` would buy it anew."

_RUNNER_TYPES = frozenset(
    {
        "runner_scheduling_failure",
        "runner_connection_timeout",
        "runner_disconnected",
        "runner_connection_refused",
        "runner_connection_error",
        "runner_incomplete_response",
        "runner_server_error",
        "internal_error",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a case means."""

    type: str
    """One of `records.FAILURE_TYPES`."""
    remedy: str
    """`{key_env}` stands for the variable that holds the key."""
    transient: bool = False
    fetch_again: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRow:
    """An HTTP answer that is no success. None: whatever it is."""

    name: str
    stages: tuple[str, ...] | None = None
    statuses: Container[int] | None = None
    error_types: Container[str] | None = None
    """fal's own names; with `statuses`, either of them is enough."""
    finding: str | None = None
    """Type of a finding in the list that explains a 422."""
    from_service: bool | None = None
    """Whether fal itself said it, not a gateway before it."""
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportRow:
    """The connection failed, or an answer could not be read."""

    name: str
    stages: tuple[str, ...] | None = None
    errors: tuple[type[Exception], ...]
    words: str = ""
    """Part of the error's text."""
    verdict: Verdict


def _lost(type: str = "network") -> Verdict:
    """The request was accepted; what became of it can be asked again later."""
    return Verdict(type=type, transient=True, fetch_again=True, remedy=FETCHED_LATER)


_AFTER = (*WAITING, RESULT)
_ANY_5XX = range(500, 600)
_DENIED = frozenset({401, 402, 403})

ANSWERS: tuple[AnswerRow, ...] = (
    AnswerRow(
        name="too many requests",
        stages=(UPLOAD, SUBMIT),
        statuses={429},
        verdict=Verdict(
            type="rate_limited",
            transient=True,
            remedy=f"The account's limit of concurrent requests is reached. {_LATER}",
        ),
    ),
    AnswerRow(
        name="key refused",
        stages=(UPLOAD, SUBMIT),
        statuses=_DENIED,
        # It passes when the key is corrected, the account filled: then a plain `resume` shall go on.
        verdict=Verdict(type="authentication", transient=True, remedy=f"{_CHECK_KEY} Then: `kreabench resume`."),
    ),
    AnswerRow(
        name="key refused for an accepted request",
        stages=_AFTER,
        statuses=_DENIED,
        verdict=Verdict(
            type="authentication", transient=True, fetch_again=True, remedy=f"{_CHECK_KEY} {FETCHED_LATER}"
        ),
    ),
    AnswerRow(
        name="request no longer known",
        stages=_AFTER,
        statuses={404, 410},
        from_service=True,
        verdict=Verdict(type="expired", remedy=_GONE),
    ),
    AnswerRow(
        name="picture's address expired",
        stages=(DOWNLOAD,),
        statuses={403, 404, 410},
        verdict=Verdict(type="expired", remedy=_GONE),
    ),
    AnswerRow(name="picture not given", stages=(DOWNLOAD,), verdict=_lost()),
    AnswerRow(name="status not given", stages=WAITING, verdict=_lost()),
    AnswerRow(name="too many reads of the result", stages=(RESULT,), statuses={429}, verdict=_lost()),
    AnswerRow(name="result not given by a gateway", stages=(RESULT,), from_service=False, verdict=_lost()),
    AnswerRow(
        name="gateway at submission",
        stages=(SUBMIT,),
        statuses={408, 499, *_ANY_5XX},
        from_service=False,
        verdict=Verdict(type="network", remedy=_MAYBE_BILLED),
    ),
    AnswerRow(
        name="upload failed",
        stages=(UPLOAD,),
        statuses=_ANY_5XX,
        verdict=Verdict(type="server_error", transient=True, remedy=_NOTHING_SENT),
    ),
    AnswerRow(
        name="content policy",
        statuses={422},
        finding="content_policy_violation",
        verdict=Verdict(
            type="content_policy", remedy="The service's content policy refuses this prompt; leave it out."
        ),
    ),
    AnswerRow(name="validation", statuses={422}, verdict=Verdict(type="invalid_request", remedy=_CHECK_PAGE)),
    AnswerRow(
        name="time-out of the service",
        statuses={408},
        error_types={"request_timeout", "startup_timeout"},
        verdict=Verdict(
            type="timeout", transient=True, remedy=f"The service did not start the request in time. {_LATER}"
        ),
    ),
    AnswerRow(
        name="cancelled",
        statuses={499},
        error_types={"client_cancelled", "client_disconnected"},
        verdict=Verdict(
            type="cancelled",
            transient=True,
            remedy="It was cancelled on the client's side; `kreabench resume` sends it.",
        ),
    ),
    AnswerRow(
        name="runner or service failed",
        statuses=_ANY_5XX,
        error_types=_RUNNER_TYPES,
        verdict=Verdict(type="server_error", transient=True, remedy=_NOT_BILLED),
    ),
    AnswerRow(name="not accepted", verdict=Verdict(type="invalid_request", remedy=_CHECK_PAGE)),
)

_NOT_SENT = (httpx.ConnectError, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Faults that happen before the request leaves this machine; ConnectTimeout is a row of its own."""

TRANSPORT: tuple[TransportRow, ...] = (
    TransportRow(
        name="no connection in time",
        stages=(UPLOAD, SUBMIT),
        errors=(httpx.ConnectTimeout, httpx.PoolTimeout),
        verdict=Verdict(type="timeout", transient=True, remedy=f"Check the connection. {_LATER}"),
    ),
    TransportRow(
        name="no connection",
        stages=(UPLOAD, SUBMIT),
        errors=_NOT_SENT,
        verdict=Verdict(type="network", transient=True, remedy=f"Check the connection. {_LATER}"),
    ),
    TransportRow(
        name="upload hung",
        stages=(UPLOAD,),
        errors=(httpx.TimeoutException,),
        verdict=Verdict(type="timeout", transient=True, remedy=_NOTHING_SENT),
    ),
    TransportRow(
        name="upload lost",
        stages=(UPLOAD,),
        errors=(httpx.HTTPError, httpx.InvalidURL, KeyError, TypeError, ValueError),
        verdict=Verdict(type="network", transient=True, remedy=_NOTHING_SENT),
    ),
    TransportRow(
        name="submission hung",
        stages=(SUBMIT,),
        errors=(httpx.TimeoutException,),
        verdict=Verdict(type="timeout", remedy=_MAYBE_BILLED),
    ),
    TransportRow(
        name="submission lost",
        stages=(SUBMIT,),
        errors=(httpx.HTTPError, httpx.InvalidURL),
        verdict=Verdict(type="network", remedy=_MAYBE_BILLED),
    ),
    TransportRow(
        name="submission's answer unreadable",
        stages=(SUBMIT,),
        errors=(KeyError, TypeError, ValueError),
        verdict=Verdict(type="network", remedy=_MAYBE_BILLED),
    ),
    TransportRow(
        name="picture cut short",
        stages=(DOWNLOAD,),
        errors=(httpx.RemoteProtocolError,),
        words="without sending complete message body",
        verdict=_lost("truncated"),
    ),
    TransportRow(
        name="picture's address is none",
        stages=(DOWNLOAD,),
        errors=(httpx.InvalidURL, httpx.UnsupportedProtocol),
        verdict=Verdict(type="bad_image", remedy="The request has been billed; see the service's dashboard."),
    ),
    TransportRow(name="read hung", errors=(httpx.TimeoutException,), verdict=_lost("timeout")),
    TransportRow(name="read lost", errors=(httpx.HTTPError, httpx.InvalidURL), verdict=_lost()),
    TransportRow(name="answer unreadable", errors=(KeyError, TypeError, ValueError), verdict=_lost()),
)
