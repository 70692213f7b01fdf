"""The HTTP face of a vote: the page, its pictures, and what it says and asks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kreabench.core.errors import RunDirectoryError, StorageError
from kreabench.rundir import codec
from kreabench.rundir.pictures import read_picture
from kreabench.voting.ballot import Ballot, Refused, State
from kreabench.voting.guard import Guard, Link
from kreabench.voting.pool import Picture

T = TypeVar("T")
_PAGE = Path(__file__).with_name("page")
_TYPES = {"vote.js": "text/javascript", "vote.css": "text/css"}
_MOST_BYTES = 4096
"""Of what a page sends."""
_KEPT_PICTURES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class _Start:
    voter: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Session:
    session: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pair:
    session: str
    pair: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Vote:
    session: str
    pair: str
    choice: str
    seconds: float


class PictureFiles:
    """Pictures as all look alike: PNG of the pixels alone, whatever the file was and says in its margins."""

    def __init__(self, run_path: Path) -> None:
        self._run_path = run_path
        self._encoded = lru_cache(maxsize=_KEPT_PICTURES)(self._encode)

    def png(self, picture: Picture) -> bytes:
        """Raises RunDirectoryError for a file that is gone, changed or no picture."""
        return self._encoded(picture)

    def _encode(self, picture: Picture) -> bytes:
        buffer = io.BytesIO()
        decoded = read_picture(self._run_path, picture.image)
        decoded.info.clear()
        decoded.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()


def build_app(
    ballot: Ballot,
    files: PictureFiles,
    links: Sequence[Link],
    *,
    on_ready: Callable[[], None] = lambda: None,
    unsaved: Callable[[StorageError], None] = lambda _: None,
) -> ASGIApp:
    """The application; `on_ready` is called once the server is about to answer, `unsaved` where the disk refuses."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        on_ready()
        yield

    async def page(_: Request) -> Response:
        text = (_PAGE / "vote.html").read_text(encoding="utf-8")
        ask = "yes" if ballot.voter is None else "no"
        return Response(text.replace('data-ask="yes"', f'data-ask="{ask}"'), media_type="text/html")

    async def part(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return Response((_PAGE / name).read_text(encoding="utf-8"), media_type=_TYPES[name])

    async def picture(request: Request) -> Response:
        return await _answered(
            lambda: Response(files.png(ballot.picture(request.path_params["id"])), media_type="image/png"), unsaved
        )

    def posted(path: str, type_: type[T], act: Callable[[T], State]) -> Route:
        return _posted(path, type_, act, unsaved)

    routes = [
        Route("/", page),
        *(Route(f"/{name}", part) for name in _TYPES),
        Route("/picture/{id}", picture),
        posted("/start", _Start, lambda said: ballot.start(said.voter)),
        posted("/state", _Session, lambda said: ballot.state(said.session)),
        posted("/vote", _Vote, lambda said: ballot.vote(said.session, said.pair, said.choice, said.seconds)),
        posted("/skip", _Pair, lambda said: ballot.skip(said.session, said.pair)),
        posted("/undo", _Pair, lambda said: ballot.undo(said.session, said.pair)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False  # to an address without the token
    return Guard(app, links)


def _posted(path: str, type_: type[T], act: Callable[[T], State], unsaved: Callable[[StorageError], None]) -> Route:
    async def handle(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"Expected at most {_MOST_BYTES} bytes.", 413)
        try:
            said = codec.decode(body, type_)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return PlainTextResponse(f"Not understood: {error}", 400)
        return await _answered(lambda: Response(codec.encode(act(said)), media_type="application/json"), unsaved)

    return Route(path, handle, methods=["POST"])


async def _body(request: Request) -> bytes | None:
    """None where it is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return None
    return body


async def _answered(act: Callable[[], Response], unsaved: Callable[[StorageError], None]) -> Response:
    """What `act` answers, in a thread: it reads pictures and waits for the disk.

    Where files are, is not told: whoever has a shared link would learn it.
    """
    try:
        return await run_in_threadpool(act)
    except Refused as error:
        return PlainTextResponse(str(error), error.status)
    except RunDirectoryError:
        return PlainTextResponse("This picture can no longer be shown: skip the pair.", 410)
    except StorageError as error:
        unsaved(error)
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else "a write failed before"
        return PlainTextResponse(
            f"The vote was not saved ({reason}), and no other can be until the vote is started anew.", 507
        )
