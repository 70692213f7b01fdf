"""The vote's process: a loopback socket, on request one that others reach, and a clean end by Ctrl-C."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import uvicorn
from starlette.types import ASGIApp

from kreabench.core.errors import EnvironmentProblem, Problem, StorageError
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.votes import read_votes, vote_writer
from kreabench.voting.app import PictureFiles, build_app
from kreabench.voting.ballot import Ballot
from kreabench.voting.connection import Connection
from kreabench.voting.dealer import Dealer
from kreabench.voting.guard import Link, make_link
from kreabench.voting.pool import Pool

LOOPBACK = "127.0.0.1"
_GRACE_S = 1
_MOST_CONNECTIONS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteOptions:
    """How to vote."""

    voter: str | None = None
    """Name of all who vote; None: each is asked."""
    pairs: int = 50
    """That each voter is shown."""
    port: int = 0
    """0: one that is free."""
    share: str | None = None
    """Address of this machine under which others reach it, too; None: nobody else does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a server has taken."""

    votes: int
    """Given, also those taken back."""
    undone: int
    voters: int
    broken: int
    """Pictures that could not be shown."""


def serve(
    run: RunDirectory,
    pool: Pool,
    options: VoteOptions,
    *,
    ready: Callable[[Link, Link | None], None],
    unsaved: Callable[[StorageError], None],
) -> Outcome:
    """Take votes on `pool` of `run` until SIGINT or SIGTERM, the only ways to end it.

    `ready` is told the links, `unsaved` of each vote that could not be written: no further one can, then.

    Raises EnvironmentProblem where a port or an address cannot be used; RunDirectoryError while another server takes
    votes on the run, where votes.jsonl is damaged, and where the run directory cannot be written; StorageError.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(vote_writer(run.path))
        sockets = [stack.enter_context(_bound(LOOPBACK, options.port, "--port"))]
        links = [make_link(LOOPBACK, _port(sockets[0]), "localhost")]
        if options.share is not None:
            address = _address(options.share)
            sockets.append(stack.enter_context(_bound(address, options.port, "--share")))
            links.append(make_link(address, _port(sockets[1])))
        files = PictureFiles(run.path)
        ballot = Ballot(
            pool,
            Dealer(pool, read_votes(run.path), np.random.default_rng()),
            writer,
            voter=options.voter,
            pairs=options.pairs,
            readable=files.png,
        )
        app = build_app(
            ballot,
            files,
            links,
            on_ready=lambda: ready(links[0], links[1] if len(links) > 1 else None),
            unsaved=unsaved,
        )
        _listen(app, sockets)
        return Outcome(votes=ballot.votes, undone=ballot.undone, voters=len(ballot.voters), broken=pool.broken)


def _listen(app: ASGIApp, sockets: list[socket.socket]) -> None:
    config = uvicorn.Config(
        app,
        lifespan="on",
        loop="asyncio",
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,  # it would hold the token
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands the signal on once it has shut down
        uvicorn.Server(config).run(sockets=sockets)


def _address(text: str) -> str:
    """An address of `--share`. Raises EnvironmentProblem."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(text)
        if not address.is_unspecified and not address.is_multicast and str(address) != LOOPBACK:
            return str(address)
    raise EnvironmentProblem(
        [Problem(key="--share", found=repr(text), expected="one address of this machine, such as 192.168.1.20")]
    )


@contextmanager
def _bound(host: str, port: int, key: str) -> Iterator[socket.socket]:
    """A listening socket. Raises EnvironmentProblem, naming `key`, for a port that is taken and a foreign address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            problem = Problem(
                key=key,
                found=f"{host} port {port} ({error.strerror})",
                expected="a free port of an address of this machine",
                remedy="Use --port 0 for one that is free.",
            )
            raise EnvironmentProblem([problem]) from error
        yield listener


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])
