"""Who may ask at all: a link's own token in every address, its own hosts, and no other site's page."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HTTP_PORT = 80
"""Browsers leave it out."""
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An address under which the vote can be reached."""

    token: str
    hosts: frozenset[str]
    """Names and ports that the header Host may have: a page of another site that points its own name at this machine
    (DNS rebinding) has another one."""
    url: str


def make_link(host: str, port: int, *names: str) -> Link:
    """To `host`, which may also be called by `names`; with a new token."""
    token = secrets.token_urlsafe(24)
    called = [_bracketed(name) for name in (host, *names)]
    hosts = frozenset(f"{name}:{port}" for name in called) | frozenset(called if port == _HTTP_PORT else ())
    return Link(token=token, hosts=hosts, url=f"http://{_bracketed(host)}:{port}/{token}/")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Guard:
    """Lets through what belongs to one of `links`, its path without the token; every answer is marked private."""

    def __init__(self, app: ASGIApp, links: Sequence[Link]) -> None:
        self._app, self._links = app, links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server's own start and end
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope)
        if answer is not None:
            await answer(scope, receive, marked)
            return
        rest = scope["path"].lstrip("/").partition("/")[2]
        inner: dict[str, Any] = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
        await self._app(inner, receive, marked)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        token, slash, _ = scope["path"].removeprefix("/").partition("/")
        # All are compared, each in constant time.
        found = [link for link in self._links if secrets.compare_digest(link.token.encode(), token.encode())]
        if not found or not slash:
            return PlainTextResponse("There is nothing here. Use the whole link.", 404)
        host = headers.get("host", "").lower()
        if host not in found[0].hosts:
            return PlainTextResponse("This link belongs to another host.", 421)
        if scope["method"] in _READING:
            return None
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return PlainTextResponse("Another site's page may not vote.", 403)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return PlainTextResponse("Expected application/json.", 415)
        return None
