"""What every route does first: who asks, and what the body and the headers say."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Never

from starlette.requests import Request
from starlette.responses import Response

from kreabench.emulator.answers import Rejected, detail
from kreabench.emulator.jobs import Asked, Job
from kreabench.emulator.service import Service
from kreabench.emulator.webhooks import is_loopback

MAX_BODY_BYTES = 32 * 2**20
"""A data URI of the largest input picture fits."""

FORBIDDEN = "forbidden"
"""A key with this word in it is refused with 403."""

Handler = Callable[[Request], Awaitable[Response]]


def guarded(handler: Handler, *, bearer: str | None = None) -> Handler:
    """Wants a key of the right form; any key will do, as nothing here costs anything.

    With `bearer` that token of the storage is accepted too.
    """

    async def wrapped(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        good = scheme.lower() == "key" and token and " " not in token
        if not good and not (bearer is not None and scheme.lower() == "bearer" and token == bearer):
            return detail(401, "Authentication is required to access this application")
        if FORBIDDEN in token and scheme.lower() == "key":
            return detail(403, "You are not authorized to access this application")
        try:
            return await handler(request)
        except Rejected as rejected:
            return rejected.response

    return wrapped


def known_job(service: Service, request: Request) -> Job:
    """The job that the path names, under its own app. Raises Rejected with 404."""
    job = service.dispatcher.find(request.path_params["request_id"])
    if job is None or job.asked.endpoint.app != request.path_params["app"]:
        raise Rejected(detail(404, "Request not found"))
    return job


def wants_logs(request: Request) -> bool:
    """The `logs` of the query: true, false, 1 or 0 in any case."""
    return request.query_params.get("logs", "").lower() in {"1", "true"}


async def read_asked(service: Service, request: Request, via: Literal["queue", "run", "stream"]) -> Asked:
    """Everything that a submission asks for. Raises Rejected with 400, 404 or 413."""
    endpoint = service.endpoints.get(request.path_params["endpoint"])
    if endpoint is None:
        raise Rejected(detail(404, f"Application {request.path_params['endpoint']!r} not found"))
    headers = request.headers
    webhook = request.query_params.get("fal_webhook")
    if webhook is not None and not is_loopback(webhook):
        message = "The emulator delivers webhooks to this machine alone, e.g. http://127.0.0.1:8000/hook"
        raise Rejected(detail(400, message, error_type="bad_request"))
    content = await read_body(request)
    return Asked(
        endpoint=endpoint,
        body=_parsed(content),
        body_bytes=len(content),
        via=via,
        start_timeout_s=_start_timeout_s(headers.get("x-fal-request-timeout")),
        hint=headers.get("x-fal-runner-hint"),
        low_priority=headers.get("x-fal-queue-priority", "normal").lower() == "low",
        no_retry=headers.get("x-fal-no-retry", "").lower() in {"1", "true"},
        disable_fallback=headers.get("x-app-fal-disable-fallback", "").lower() in {"1", "true"},
        store=headers.get("x-fal-store-io", "1") != "0",
        webhook=webhook if via == "queue" else None,
    )


def _start_timeout_s(text: str | None) -> float | None:
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        message = "X-Fal-Request-Timeout should be a number of seconds"
        raise Rejected(detail(400, message, error_type="bad_request"))
    return seconds


async def read_body(request: Request, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises Rejected with 413."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most_bytes:
            raise Rejected(detail(413, "Request body is too large"))
    return bytes(content)


async def read_json(request: Request) -> Any:
    """The body as JSON. Raises Rejected with 400 or 413."""
    return _parsed(await read_body(request))


def _parsed(content: bytes) -> Any:
    try:
        value = json.loads(content, parse_constant=_no_constant)
        if b"\\u" in content:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could not be repeated in an answer
        return value
    except (ValueError, RecursionError):  # also text that is not UTF-8
        raise Rejected(detail(400, "Request body is not JSON", error_type="bad_request")) from None


def _no_constant(name: str) -> Never:
    """Python reads NaN and Infinity, which JSON does not have and no answer could repeat."""
    raise ValueError(f"{name} is not JSON")
